"""What models cost on targets: measured in separate passes, kept raw, compared with care.

The package is not called ``profile``: importing it would hide the function :func:`ashore.profile`.
"""
