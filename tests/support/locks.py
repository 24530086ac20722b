"""Runs that hold a lock."""

from tests.support.harness import Place, Running, child


def hold(supervise: Place, name: str, *words: str, go: str = "go") -> Running:
    """Start a run that holds the lock until the file `go` exists."""
    running = supervise.start("--lock", name, *words, "--", *child("ready", f"wait_for={supervise.file(go)}"))
    running.wait_for_out(b"ready")
    return running
