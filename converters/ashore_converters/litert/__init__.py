"""From a prepared model to a LiteRT file; ``converter.py`` is the way in."""
