"""The caller's side of a runner: its process, the conversation with it, the arrays that go there and back."""
