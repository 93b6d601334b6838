"""Where an artifact runs: one module per kind of target."""
