"""What the tree of the command is doing, measured at little cost."""
