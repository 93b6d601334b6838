"""What an emulated board needs beside the runner: its C library and files, and the counting of instructions."""
