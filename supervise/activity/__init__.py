"""Measures, at little cost, what the tree of the command is doing."""
