"""The names of signals, for people and programs (signal(7))."""


def signal_table() -> "dict[str, int]":
    """Return the names without SIG and their numbers on this system."""
    import _signal

    return {
        name[3:]: int(getattr(_signal, name))
        for name in dir(_signal)
        if name.startswith("SIG") and not name.startswith(("SIG_", "SIGRT"))
    }


def real_time_signals() -> "dict[str, int]":
    """Return the names without SIG and the numbers of the real-time signals (signal(7)).

    `RTMIN`, `RTMIN+1`, ... and `RTMAX`, `RTMAX-1`, ...
    """
    from _signal import SIGRTMAX, SIGRTMIN

    count = SIGRTMAX - SIGRTMIN
    ups = {"RTMIN" + (f"+{by}" if by else ""): SIGRTMIN + by for by in range(count + 1)}
    return ups | {"RTMAX" + (f"-{by}" if by else ""): SIGRTMAX - by for by in range(count + 1)}


def signal_name(number: int) -> str:
    """Return `TERM` for 15, `RTMIN+3` for 37, `32` for a signal without a name."""
    names = [name for name, known in signal_table().items() if known == number]
    # Some signals have an old second name: CLD, POLL, IOT.
    name = next((name for name in names if name not in ("CLD", "POLL", "IOT")), "")
    # A real-time signal is named from the nearer end of its range, as in bash(1).
    real = [name for name, known in real_time_signals().items() if known == number]
    return name or min(real, key=lambda one: (int(one[6:] or 0), one[:5] == "RTMAX"), default=str(number))
