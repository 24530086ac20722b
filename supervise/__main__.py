"""The entry: the fast way in, or the typer app for whatever the fast reader does not know whole."""

import sys


def main() -> None:
    """Run supervise with the words of the command line."""
    import os

    from supervise import argv

    request = argv.read(sys.argv[1:], os.environ)
    if request is None:
        from supervise import cli

        request = cli.main(sys.argv[1:], os.environ)
    from supervise import launch

    launch.run(request)


if __name__ == "__main__":
    main()
