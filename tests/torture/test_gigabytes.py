"""Much output: memory does not grow with it, and no byte is lost."""

import os
from pathlib import Path

import pytest

from tests.support.harness import Place, child, wait_for_file

GIGABYTE = 1_000_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pause", "mark"), [(0.0, ""), (1.0, ""), (0.0, "é ")], ids=["at once", "after a while", "with a mark"]
)
def test_a_gigabyte_in_one_line_takes_little_memory(supervise: Place, pause: float, mark: str) -> None:
    done, go = supervise.file("done"), supervise.file("go")
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as reader:
        words = (f"sleep={pause}", f"flood={GIGABYTE}", f"mark={done}", f"wait_for={go}", "exit=3")
        running = supervise.start("-i", "30", "--prefix", mark, "--", *child(*words), stdout=theirs)
        os.close(theirs)
        guardian = running.guardian()
        arrived, buffer = -len(mark.encode()), bytearray(1 << 20)
        while arrived < GIGABYTE:
            arrived += reader.readinto(buffer) or 0
        wait_for_file(done)
        for pid in (running.pid, guardian):
            peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])
            assert peak < 64_000, f"{peak} kB at most in {pid}"
        go.touch()
        assert not reader.read()
        ended = running.wait()
    assert ended.code == 3
    assert ended.report["usage"]["stdout_bytes"] == GIGABYTE


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader",
    [
        "cat",
        pytest.param("pv -q -L 200m", marks=pytest.mark.needs("pv")),
        "dd bs=7 count=2000000 status=none; cat",
    ],
)
def test_fast_and_slow_readers_get_the_same_bytes(supervise: Place, reader: str) -> None:
    """They read in large pieces and in small ones."""
    path = supervise.file("random")
    with path.open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1_000_000))
    script = f"supervise -- cat random random | {{ {reader}; }} | sha256sum; cat random random | sha256sum"
    first, second = supervise.shell(script).out.split(b"\n")[:2]
    assert first == second


@pytest.mark.slow
def test_both_streams_at_full_speed_arrive_whole(supervise: Place) -> None:
    path = supervise.file("random")
    path.write_bytes(os.urandom(50_000_000))
    script = (
        "{ supervise -- sh -c 'cat random & cat random random >&2; wait' 2>&3 | sha256sum >out; } "
        "3>&1 | sha256sum >err; cat out err; cat random | sha256sum; cat random random | sha256sum"
    )
    out, err, one, two = supervise.shell(script).out.split(b"\n")[:4]
    assert (out, err) == (one, two)
