"""What the commands do: convert, verify, run, inspect."""
