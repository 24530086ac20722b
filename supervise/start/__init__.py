"""What becomes the program `supervise` when the package is built; not in the wheel as modules."""
