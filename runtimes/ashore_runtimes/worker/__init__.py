"""The runner in Python, and the engines inside it. Only this runs in the child process."""
