"""Numbers of bytes for people."""

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Return the number of bytes in powers of 1000: `999 B`, `1.2 MB`, `12 MB`."""
    number, units = float(count), list(UNITS)
    while round(number) >= 1000 and len(units) > 1:
        number /= 1000
        del units[0]
    return f"{number:.1f} {units[0]}" if units[0] != "B" and round(number, 1) < 10 else f"{number:.0f} {units[0]}"
