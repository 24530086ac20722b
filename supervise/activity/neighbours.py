"""Other processes in the process group of supervise, which may print to its terminal at any moment."""

import os

from supervise.process import tree


def exist() -> bool:
    """Return whether a process that is neither an ancestor nor in the tree of a run is in supervise's process group.

    That is another command of a script (`supervise make & other`), another recipe of `make -j`, or another part of a
    pipeline, which may print on stderr. All of these are children of an ancestor of supervise in its session.
    """
    own = child = tree.stat(os.getpid())
    while own and child and (parent := tree.stat(child.ppid)) and parent.session == own.session:
        others = (tree.stat(pid) for pid in tree.children(parent.pid) if pid != child.pid)
        if any(one.pgrp == own.pgrp and tree.is_alive(one) for one in others if one):
            return True
        child = parent
    return False
