"""From a prepared model to an ExecuTorch file; ``converter.py`` is the way in."""
