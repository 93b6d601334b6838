"""Data types: frozen, without behaviour that reaches outside themselves."""
