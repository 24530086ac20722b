"""The faces of a run: messages for people, JSON for programs. They report notices and decide nothing."""
