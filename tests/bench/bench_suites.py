"""The test suites of pexpect and ptyprocess, plain and under supervise, with and without a terminal.

    .venv/bin/python tests/bench/bench_suites.py [--only pexpect|ptyprocess] [-k WORDS]

Both are fetched by pip, as sources, into a temporary folder, which is removed at the end.  The results of each test are
compared with those of the plain run of the same kind; one that differs is run three times more, alone, both ways, since
some of these tests depend on the moment.  Exits with 1 where a difference stays.  As root the runs go side by side,
each in a network namespace, because the tests of sockets use fixed ports; else one after the other.
"""

import argparse
import fcntl
import os
import shlex
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
SUITES = ("pexpect", "ptyprocess")
WAYS: dict[str, list[str]] = {
    "plain": [],
    "supervise --": [SUPERVISE, "--no-record", "-q", "--"],
    "supervise --pty --": [SUPERVISE, "--no-record", "-q", "--pty", "--"],
}
SUITE_SECONDS = 900
"""Seconds that one suite may take."""
IFF_UP = 1

Results = dict[str, str]


def fetch(name: str, folder: Path) -> Path:
    """Fetch the sources of that package, and return their folder."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder), name]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    (archive,) = folder.glob(f"{name}-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else file.extractall(folder)
    return folder / archive.name.removesuffix(".tar.gz")


def run(source: Path, way: str, *, is_on_terminal: bool, words: list[str]) -> tuple[Results, int, float]:
    """Run the suite; return the result of each test, the exit code, and the seconds that it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *words]
        command = [*WAYS[way], *pytest]
        if is_on_terminal:
            command = ["script", "-qec", shlex.join(command), "/dev/null"]
        environ = {**os.environ, "PYTHONPATH": str(source), "TMPDIR": place, "HOME": place, "TERM": "xterm"}
        environ.pop("PYTHONUNBUFFERED", None)
        with (Path(place) / "out").open("wb") as out:
            code = subprocess.run(
                command,
                cwd=source / "tests",
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=SUITE_SECONDS,
                start_new_session=True,
                preexec_fn=alone_in_the_network if os.getuid() == 0 else None,
                check=False,
            ).returncode
        if not report.exists():
            print((Path(place) / "out").read_text(errors="replace")[-2000:], file=sys.stderr)
            return {}, code, time.monotonic() - began
        return results_of(report), code, time.monotonic() - began


def alone_in_the_network() -> None:
    """Move this process into a network namespace with a loopback of its own (netdevice(7))."""
    if hasattr(os, "unshare"):
        os.unshare(os.CLONE_NEWNET)
    else:
        import ctypes

        ctypes.CDLL(None).unshare(0x40000000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", IFF_UP))


def results_of(report: Path) -> Results:
    """Return the result of each test in a JUnit report."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = next((one.tag for one in case if one.tag in ("failure", "error", "skipped")), "passed")
        found[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SUITES)
    parser.add_argument("-k", default="", help="as for pytest")
    asked = parser.parse_args()
    words = ["-k", asked.k] if asked.k else []
    with tempfile.TemporaryDirectory() as folder:
        sources = {name: fetch(name, Path(folder)) for name in SUITES if asked.only in (None, name)}
        kinds = [(name, way, on) for name in sources for on in (False, True) for way in WAYS]
        with ThreadPoolExecutor(len(kinds) if os.getuid() == 0 else 1) as pool:
            runs = {
                kind: pool.submit(run, sources[kind[0]], kind[1], is_on_terminal=kind[2], words=words) for kind in kinds
            }
        return compare(sources, {kind: future.result() for kind, future in runs.items()})


def compare(sources: dict[str, Path], runs: dict[tuple[str, str, bool], tuple[Results, int, float]]) -> int:
    """Print the results of all runs and the tests that differ; return 1 where a difference stays."""
    is_different = False
    for (name, way, on), (found, code, seconds) in runs.items():
        counts = {outcome: list(found.values()).count(outcome) for outcome in sorted({*found.values()})}
        where = "on a terminal" if on else "without a terminal"
        print(f"{sources[name].name:18} {where:18} {way:18} exit {code}, {seconds:.0f} s: {counts}")
        plain = runs[name, "plain", on][0]
        for test in sorted({*plain, *found}):
            if plain.get(test) != found.get(test):
                again = [one_more(sources[name], test, each, on=on) for each in ("plain", way)]
                stays = again[0] != again[1]
                is_different |= stays
                print(f"    {test}: {plain.get(test)}, {way}: {found.get(test)}; alone, three times each: {again}")
        is_different |= not found
    return int(is_different)


def one_more(source: Path, test: str, way: str, *, on: bool) -> list[str]:
    """Run one test alone three times; return the different results."""
    words = ["-k", test.rpartition("::")[2]]
    return sorted({run(source, way, is_on_terminal=on, words=words)[0].get(test, "absent") for _ in range(3)})


if __name__ == "__main__":
    sys.exit(main())
