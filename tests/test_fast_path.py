"""The fast path's modules, loaded from their bytecode: the same ones, the current ones, and none where that fails."""

import ast
import compileall
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import supervise
from supervise.__main__ import FAST_PATH, ROOMS, SHORT_RUN
from tests.support.harness import HANG_SECONDS

LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
from supervise import __main__
__main__._load(__main__.FAST_PATH + __main__.SHORT_RUN)
print(*(name for name in sys.modules if name.startswith("supervise.")))
import supervise.launch.short_run, supervise.process.cgroup
assert sys.modules["supervise.options.table"] is supervise.options.table
print(supervise.options.table.__file__, supervise.options.table.__package__, supervise.launch.__package__)
"""
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from supervise.__main__ import main; main()"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The folder of a compiled copy of the package."""
    source = Path(supervise.__file__).parent
    shutil.copytree(source, tmp_path / "supervise", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(tmp_path / "supervise", quiet=1)
    return tmp_path


def python(code: str, *words: object, options: tuple[str, ...] = ()) -> str:
    """Run the code in an interpreter without anything of the environment, and return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-I", *options, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        # An interpreter with another place for its bytecode makes folders here.
        cwd=str(words[0]),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def run(place: Path) -> str:
    """Return the output of a run by the package in that folder."""
    return python(RUN, place, "run", "--no-record", "--", "echo", "shown")


def bytecode(place: Path, module: str) -> Path:
    """Return the file of the bytecode of that module of the copy."""
    folder, _, name = module.rpartition("/")
    return place / f"supervise/{folder}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc"


def test_the_modules_are_those_that_an_import_finds(copy: Path) -> None:
    names, about = python(LOADED, copy).splitlines()
    assert names.split() == ["supervise.__main__", *(f"supervise.{name}" for name in FAST_PATH + SHORT_RUN)]
    assert about == f"{copy}/supervise/options/table.py supervise.options supervise.launch"


@pytest.mark.parametrize("options", [("-X", "utf8"), ("-O",), ("-X", "pycache_prefix=/nowhere")])
def test_an_interpreter_that_names_its_bytecode_otherwise_imports_as_usual(
    copy: Path, options: tuple[str, ...]
) -> None:
    names, _ = python(LOADED, copy, options=options).splitlines()
    assert names == "supervise.__main__"
    assert python(RUN, copy, "run", "--no-record", "--", "echo", "shown", options=options) == "shown\n"


@pytest.mark.parametrize("room", ROOMS)
def test_the_file_of_a_room_holds_a_docstring_alone(copy: Path, room: str) -> None:
    (only,) = ast.parse((copy / f"supervise/{room}/__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)


def lose(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def mark_unchecked(file: Path) -> None:
    """Flags of 1: the bytecode is checked by a hash of the source, if at all (PEP 552)."""
    data = file.read_bytes()
    file.write_bytes(data[:4] + b"\1\0\0\0" + data[8:])


@pytest.mark.parametrize("damage", [lose, cut, empty, mark_unchecked])
@pytest.mark.parametrize("module", ["options/__init__", "options/table", "process/guardian"])
def test_bytecode_that_cannot_be_used_is_left_to_the_import(
    copy: Path, damage: Callable[[Path], None], module: str
) -> None:
    damage(bytecode(copy, module))
    if damage is cut:
        # Python does not load such a file either, so the source has to look newer to it.
        os.utime(copy / f"supervise/{module}.py", (1, 1))
    assert run(copy) == "shown\n"


def test_bytecode_that_is_older_than_its_source_is_not_loaded(copy: Path) -> None:
    table = copy / "supervise/options/table.py"
    kept = table.stat()
    table.write_text(table.read_text().replace('PREFIX = "SUPERVISE_"', 'PREFIX = "SUPERVISE2"'))
    # The size is the same, so that the time alone tells.
    assert table.stat().st_size == kept.st_size
    os.utime(table, (kept.st_atime + 5, kept.st_mtime + 5))
    code = "print(sys.modules['supervise.options.table'].PREFIX)"
    assert python(f"{LOADED}\n{code}", copy).splitlines()[-1] == "SUPERVISE2"
