"""What passes between a session and its runner: frames on two pipes, and memory that both see."""
