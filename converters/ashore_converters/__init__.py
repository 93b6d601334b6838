"""PyTorch in, model files out: one module per backend."""
