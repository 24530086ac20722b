"""The output on record: it is read as it was written, within its bound, and damaged files do no harm."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervise.process import file_calls
from supervise.records.bounded_output import (
    HEAD_BYTES,
    PARTS_KEPT,
    RESERVED_BYTES,
    SMALLEST_BOUND_BYTES,
    Chunk,
    Reader,
    Writer,
)

NOW = 1763816820.5
FRESH = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
PIECES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(1, 9000)), max_size=60)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def fresh(folder: Path) -> str:
    new = folder / os.urandom(8).hex()
    new.mkdir()
    return str(new)


def read(path: str) -> list[Chunk]:
    return list(Reader(path).chunks())


def size_of(path: str) -> int:
    return sum(one.stat().st_size for one in Path(path).iterdir())


def data_of(chunks: list[Chunk], stream: str = "") -> bytes:
    return b"".join(chunk.data for chunk in chunks if stream in ("", chunk.stream))


def test_each_chunk_has_its_stream_and_its_time(folder: Path) -> None:
    path = fresh(folder)
    writer = Writer(path, SMALLEST_BOUND_BYTES)
    writer.write("stdout", NOW, b"one\n")
    writer.write("stderr", NOW + 1, b"two\n")
    assert [(one.stream, one.at, one.data, one.left_out) for one in read(path)] == [
        ("stdout", NOW, b"one\n", 0),
        ("stderr", NOW + 1, b"two\n", 0),
    ]


def test_bytes_are_taken_out_of_a_pipe(folder: Path) -> None:
    path = fresh(folder)
    writer = Writer(path, 1 << 20)
    ours, theirs = os.pipe()
    try:
        for number in range(40):
            os.write(theirs, bytes([number]) * 30_000)
            writer.take("stdout", NOW, ours, 30_000)
    finally:
        os.close(ours)
        os.close(theirs)
    whole = b"".join(bytes([number]) * 30_000 for number in range(40))
    chunks = read(path)
    assert size_of(path) <= 1 << 20
    assert whole.startswith(data_of(chunks)[: 1 << 17])
    assert whole.endswith(data_of(chunks)[-(1 << 17) :])
    assert len(data_of(chunks)) + sum(one.left_out for one in chunks) == len(whole)


def test_blocks_are_reserved_for_a_flood_and_given_back(folder: Path) -> None:
    path = fresh(folder)
    writer = Writer(path, 1 << 30)
    file = Path(path) / "output"
    ours, theirs = os.pipe()
    try:
        for data in (b"a" * 30_000, b"b" * 30_000):
            os.write(theirs, data)
            writer.take("stdout", NOW, ours, len(data))
    finally:
        os.close(ours)
        os.close(theirs)
    with (folder / "other").open("wb") as other:
        if not file_calls.reserve(other.fileno(), 0, 1 << 12):
            pytest.skip("this file system reserves nothing")
    size = file.stat().st_size
    assert file.stat().st_blocks * 512 >= RESERVED_BYTES
    writer.settle()
    assert file.stat().st_size == size
    assert file.stat().st_blocks * 512 <= size + (1 << 16)
    writer.write("stdout", NOW, b"end")
    assert data_of(read(path)) == b"a" * 30_000 + b"b" * 30_000 + b"end"


def test_blocks_are_reserved_beyond_four_gigabytes(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        if not file_calls.reserve(file.fileno(), 0, 1 << 12):
            pytest.skip("this file system reserves nothing")
        # As an int of 32 bits the position would be 0, where blocks are reserved already.
        assert file_calls.reserve(file.fileno(), 1 << 33, 1 << 12)
        assert os.fstat(file.fileno()).st_size == 0
        assert os.fstat(file.fileno()).st_blocks * 512 == 2 << 12


@FRESH
@given(pieces=PIECES, most=st.integers(SMALLEST_BOUND_BYTES, 2 * SMALLEST_BOUND_BYTES))
def test_the_beginning_and_the_end_are_kept(folder: Path, pieces: list[tuple[str, int]], most: int) -> None:
    path, whole, count = fresh(folder), b"", 0
    writer = Writer(path, most)
    for stream, size in pieces:
        data = b"".join(b"%07d\n" % (count + number) for number in range(size // 8 + 1))
        count += size // 8 + 1
        whole += data
        writer.write(stream, NOW, data)
        assert size_of(path) <= most
    chunks = read(path)
    kept = data_of(chunks)
    gaps = [at for at, one in enumerate(chunks) if one.left_out]
    if not gaps:
        assert kept == whole
        return
    [gap] = gaps
    head, tail = data_of(chunks[:gap]), data_of(chunks[gap:])
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + len(tail) + chunks[gap].left_out == len(whole)
    heads = HEAD_BYTES * (len(pieces) + 2)
    assert most // 4 - heads <= len(head) <= most // 4
    assert len(tail) >= most * 3 // 4 * (PARTS_KEPT - 1) // PARTS_KEPT - heads - HEAD_BYTES * PARTS_KEPT * 2


def test_bytes_left_out_for_a_slow_disk_are_counted(folder: Path) -> None:
    path = fresh(folder)
    writer = Writer(path, SMALLEST_BOUND_BYTES)
    writer.write("stdout", NOW, b"one\n")
    writer.skip(1000)
    writer.write("stdout", NOW, b"two\n")
    assert [one.left_out for one in read(path)] == [0, 1000]


def test_the_output_is_read_while_it_grows(folder: Path) -> None:
    path = fresh(folder)
    reader = Reader(path)
    assert list(reader.chunks(is_over=False)) == []
    writer, found = Writer(path, SMALLEST_BOUND_BYTES), b""
    for number in range(20_000):
        writer.write("stdout", NOW, b"%d\n" % number)
        if number % 7 == 0:
            found += data_of(list(reader.chunks(is_over=False)))
    found += data_of(list(reader.chunks()))
    assert found == b"".join(b"%d\n" % number for number in range(20_000))


def test_a_half_written_chunk_is_read_later(folder: Path) -> None:
    path = fresh(folder)
    Writer(path, SMALLEST_BOUND_BYTES).write("stdout", NOW, b"whole\n")
    whole = Path(path, "output").read_bytes()
    Path(path, "output").write_bytes(whole[:-2])
    reader = Reader(path)
    assert list(reader.chunks(is_over=False)) == []
    Path(path, "output").write_bytes(whole)
    assert data_of(list(reader.chunks(is_over=False))) == b"whole\n"


def test_the_half_chunk_of_a_killed_run_is_read_at_its_end(folder: Path) -> None:
    path = fresh(folder)
    Writer(path, SMALLEST_BOUND_BYTES).write("stdout", NOW, b"whole\n")
    whole = Path(path, "output").read_bytes()
    for size in range(len(whole)):
        Path(path, "output").write_bytes(whole[:size])
        assert data_of(read(path)) == b"whole\n"[: max(0, size - HEAD_BYTES)]


@FRESH
@given(garbage=st.binary(max_size=200), at=st.integers(0, 400), length=st.integers(0, 100))
def test_garbage_harms_only_what_it_replaces(folder: Path, garbage: bytes, at: int, length: int) -> None:
    path = fresh(folder)
    writer = Writer(path, SMALLEST_BOUND_BYTES)
    for number in range(10):
        writer.write("stdout", NOW, b"line %d\n" % number)
    file = Path(path, "output")
    whole = file.read_bytes()
    file.write_bytes(whole[:at] + garbage + whole[at + length :])
    # The chunks before the garbage are read in any case.
    intact = at // (HEAD_BYTES + 7)
    assert data_of(read(path)).startswith(b"".join(b"line %d\n" % number for number in range(min(10, intact))))


@FRESH
@given(data=st.binary(max_size=3000))
def test_garbage_alone_is_read_without_an_error(folder: Path, data: bytes) -> None:
    path = fresh(folder)
    Path(path, "output").write_bytes(data)
    Path(path, "output.7").write_bytes(data[::-1])
    read(path)


def test_a_file_that_is_not_regular_is_not_read(folder: Path) -> None:
    path = fresh(folder)
    os.mkfifo(f"{path}/output")
    Path(path, "output.1").mkdir()
    Path(path, "output.2").symlink_to("/dev/zero")
    for name in ("output.x", "output.-1", "output.", "output.03", "output.99999999999999999999"):
        Path(path, name).write_bytes(b"x")
    assert read(path) == []
    assert read(f"{path}/none") == []


@given(pieces=PIECES, more=PIECES, share=st.floats(0, 1), cut=st.integers(0, 9000))
@FRESH
def test_a_reader_goes_on_at_the_place_of_another(
    folder: Path, pieces: list[tuple[str, int]], more: list[tuple[str, int]], share: float, cut: int
) -> None:
    """Each byte is read once, or counted as left out once, while parts are removed between the two readers."""
    path = fresh(folder)
    writer = Writer(path, SMALLEST_BOUND_BYTES)
    for stream, length in pieces:
        writer.write(stream, NOW, b"x" * length)
    first, seen = Reader(path), 0
    place = first.place
    for _, chunk in zip(range(int(share * len(pieces))), first.chunks(is_over=False), strict=False):
        unread = min(cut, len(chunk.data))
        seen += chunk.left_out + len(chunk.data)
        place, read_of_it = first.place_before(unread), seen - unread
    for stream, length in more:
        writer.write(stream, NOW, b"x" * length)
    rest = list(Reader(path, place).chunks())
    printed = sum(length for _, length in pieces + more)
    assert (read_of_it if seen else 0) + sum(one.left_out + len(one.data) for one in rest) == printed


NUMBERS = st.integers(0, 1 << 62) | st.integers(0, 100)


@given(place=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
@FRESH
def test_a_place_that_a_record_has_not_is_its_beginning(folder: Path, place: tuple[int, int, int, int]) -> None:
    path = fresh(folder)
    Writer(path, SMALLEST_BOUND_BYTES).write("stdout", NOW, b"abc")
    found = data_of(list(Reader(path, place).chunks()))
    number, position, before, skipped = place
    is_begin = (number, position, before) == (0, 0, 0) and skipped <= 3
    is_end = (number, position, skipped) == (0, HEAD_BYTES + 3, 0)
    assert found == b"abc" or is_begin or is_end
