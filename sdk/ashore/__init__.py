"""ashore: bring compressed PyTorch models ashore."""
