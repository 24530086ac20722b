"""Opens files where another user may write: `user_files` at paths that the user names, `private_files` for supervise.

No file is opened by its path alone: `path_walk` goes down a path by descriptors, and `ownership` checks each step.
"""
