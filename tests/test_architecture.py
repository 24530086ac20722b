"""The arrows between our modules and what they may load, from the code's own imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import supervise
from tests.harness import wait_until

PACKAGE = Path(supervise.__file__).parent
BOUND = 60.0

OURS = {
    "core": {"core"},
    "text": {"text"},
    "files": {"files"},
    "process": {"access_kinds", "core", "process", "text"},
    "terminal": {"core", "process", "terminal"},
    "runs": {"files", "folders", "options", "process", "report_shape", "runs", "text", "values"},
    "faces": {"core", "faces", "files", "report_shape", "text", "values"},
    "report_shape": set(),
    "access_kinds": {"text"},
    "options": {"access_kinds"},
    "folders": {"files"},
    "values": {"access_kinds", "options", "text"},
    "plain_toml": set(),
    "toml_lines": set(),
    "config": {"files", "options", "plain_toml", "text", "toml_lines", "values"},
    "variables": {"options"},
    "argv": {"config", "config_file", "folders", "options", "process", "values", "variables"},
    "config_file": {"argv", "files", "folders", "options", "process", "values"},
    "commands": {
        "argv",
        "commands",
        "config",
        "config_file",
        "files",
        "folders",
        "options",
        "process",
        "report_shape",
        "runs",
        "terminal",
        "text",
        "values",
    },
    "cli": {"argv", "commands", "core", "options", "process", "text", "values"},
    "pages": {"access_kinds", "commands", "core", "pages", "options"},
    "recording": {"argv", "folders", "options", "process", "runs", "text"},
    "detaching": {"process", "text"},
    "beside": {"faces", "files", "options", "process", "runs", "text"},
    "outer": {"options", "values"},
    "locking": {"files", "process", "recording", "report_shape", "runs", "text"},
    "launch": {
        "admission",
        "argv",
        "detaching",
        "locking",
        "options",
        "own_terminal",
        "process",
        "recording",
        "refusal",
        "registration",
        "runs",
        "short_run",
        "terminal",
        "text",
    },
    "admission": {"beside", "launch", "locking", "options", "outer", "process", "recording", "runs"},
    "own_terminal": {"launch", "terminal"},
    "registration": {"launch", "recording", "runs"},
    "short_run": {"launch", "process", "registration"},
    "refusal": {"faces", "launch", "recording", "runs", "values"},
    "flowing": {"core", "launch", "process", "recording", "short_run", "terminal"},
    "attempts": {"flowing", "launch"},
    "reaping": {"launch", "process"},
    "adoption": {"launch", "process"},
    "teller": {"core", "faces", "launch", "process", "runs", "text"},
    "lost": {"faces", "files", "folders", "runs"},
    "diagnosis": {"core", "faces", "launch", "process"},
    "policies": {"core", "options"},
    "observing": {"core", "diagnosis", "faces", "launch", "process", "teller"},
    "overseer": {"core", "launch", "process"},
    "runner": {
        "adoption",
        "attempts",
        "core",
        "faces",
        "launch",
        "observing",
        "overseer",
        "policies",
        "process",
        "reaping",
        "teller",
        "text",
        "values",
    },
    "finishing": {"core", "faces", "launch", "process", "runner", "runs"},
    "turning_away": {"core", "faces", "launch", "locking", "policies", "process", "teller", "values"},
    "steering": {"core", "faces", "report_shape", "runner", "runs", "text", "values"},
    "gauging": {"process", "runner", "runs"},
    "drawing": {"faces", "process", "runner"},
    "loop": {"drawing", "faces", "finishing", "gauging", "overseer", "process", "runner", "runs", "steering"},
}
"""What of ours each part may import; arrows run one way, from the last line to the first."""
STANDARD_IN_CORE = {"collections.abc", "dataclasses", "enum", "math", "typing"}
LIBRARIES = {
    "typer": {"cli"},
    "rich": {"commands.show", "faces.live"},
    "trio": {"drawing", "loop", "runs.control"},
    "psutil": {"process.portable", "process.sockets"},
    "tomli_w": {"commands.config_set"},
    "platformdirs": {"folders"},
}
"""Which modules of ours may import each library; there are no others."""
SLOW = {
    "asyncio",
    "ctypes",
    "dataclasses",
    "enum",
    "logging",
    "re",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "typing",
}
"""What costs too much before the command is born, and need not be loaded at all for one that is done at once."""


def modules():
    """Our modules by their name within the package: `core.machine`, and `core` for core/__init__.py."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts if parts[-1] != "__init__" else parts[:-1])] = path
    return found


MODULES = modules()


def imports(name):
    """All that a module imports, anywhere in it; `from a import b` is `a.b` where that is a module of ours."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "ours are imported by their full names"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.removeprefix("supervise.") in MODULES else node.module)
    return found


def ours(name):
    return {one.removeprefix("supervise.") for one in imports(name) if one.startswith("supervise.")}


def part(name):
    return name.split(".")[0]


def test_the_modules_were_found():
    assert {"core.machine", "process.guardian", "faces.plain", "argv", "cli", "runner", "__main__"} <= set(MODULES)


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in OURS])
def test_arrows_run_one_way(name):
    assert {part(one) for one in ours(name)} <= OURS[part(name)]


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in OURS])
def test_the_files_between_import_neither_the_way_in_by_words_nor_the_pages(name):
    assert {part(one) for one in ours(name)} & {"cli", "pages"} <= ({"cli"} if name == "__main__" else set())


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "core"])
def test_core_is_pure(name):
    assert {one for one in imports(name) if part(one) != "supervise"} <= STANDARD_IN_CORE


@pytest.mark.parametrize("name", MODULES)
def test_libraries_are_imported_in_their_places_alone(name):
    foreign = {part(one) for one in imports(name)} - set(sys.stdlib_module_names) - {"supervise"}
    assert {library for library in foreign if name not in LIBRARIES.get(library, set())} == set()


@pytest.mark.parametrize("name", ["options", "values", "argv"])
def test_the_fast_reader_imports_only_itself(name):
    """But for types, which no run imports, and what every interpreter has."""
    assert {one for one in imports(name) if part(one) != "supervise"} <= {
        "collections.abc",
        "os",
        "sys",
        "typing",
        "_signal",
    }
    needed = {"options": [], "values": ["options"], "argv": ["folders", "options"]}[name]
    assert loaded(f"import supervise.{name}") == {"supervise", *(f"supervise.{one}" for one in [*needed, name])}


def loaded(code):
    """What a new interpreter loads for that code, beyond what every interpreter has."""
    script = f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
before = set(sys.modules)
{code}
print(*set(sys.modules) - before)
"""
    call = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=BOUND, check=True
    )  # fmt: skip
    return set(call.stdout.split())


def test_importing_the_package_loads_nothing():
    assert loaded("import supervise") == {"supervise"}


def loaded_by(*words, code=0):
    """What an interpreter says on stderr that it has loaded, with these words; they must end with that code."""
    call = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, timeout=BOUND)
    assert call.returncode == code, call.stderr
    lines = [line for line in call.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def loaded_by_a_short_run(*words):
    """On a busy machine one of `true` is not always short: then the engine was loaded as well, and it is run again."""

    def of_a_short_one():
        found = loaded_by(*words)
        return found if "supervise.runner" not in found else None

    return wait_until(of_a_short_one)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sleep", "0"], 0),
        (["ready", "20000101-000000-123456abcd"], 125),
        (["extend", "20000101-000000-123456abcd", "5m"], 125),
        (["stop", "20000101-000000-123456abcd"], 125),
        (["wait", "20000101-000000-123456abcd"], 125),
    ],
)
def test_a_command_that_only_asks_loads_nothing_slow(program, words, code):
    foreign = loaded_by(program, *words, code=code) - loaded_by("-c", "pass")
    assert "supervise.commands.reading" in foreign
    assert {part(one) for one in foreign} & set(LIBRARIES) == set()
    assert not any(one.startswith(("supervise.core", "supervise.runner", "supervise.cli")) for one in foreign)


def test_a_short_run_loads_nothing_slow(program):
    foreign = loaded_by_a_short_run(program, "run", "--", "true") - loaded_by("-c", "pass")
    assert "supervise.launch" in foreign
    assert foreign & {"supervise.locking", "supervise.config", "supervise.process.wall"} == set()
    assert foreign & SLOW == set()
    assert {part(one) for one in foreign} & set(LIBRARIES) == set()
    assert not any(one.startswith(("supervise.core", "supervise.runner", "supervise.cli")) for one in foreign)


def test_a_short_run_without_a_record_loads_nothing_of_what_it_does_not_use(program, monkeypatch):
    """What has to do with files, a lock, a record, a terminal, or an environment that no mapping holds."""
    monkeypatch.delenv("SUPERVISE_DEADLINE", raising=False)
    foreign = loaded_by_a_short_run(program, "--no-record", "--", "true")
    assert "supervise.short_run" in foreign
    unused = {"admission", "config", "own_terminal", "recording", "registration", "process.exact", "process.null"}
    assert foreign & {f"supervise.{one}" for one in unused} == set()


def test_a_short_run_with_a_report_loads_no_event_loop(program, tmp_path):
    """It has ended before there would be anything to wait for."""

    def libraries_of_a_short_one():
        found = loaded_by(program, "--report", tmp_path / "r.json", "--", "true")
        # Beside the answer: an empty set would be none.
        return (True, {part(one) for one in found} & set(LIBRARIES)) if "supervise.loop" not in found else None

    assert wait_until(libraries_of_a_short_one) == (True, set())


def test_a_long_run_loads_nothing_of_what_it_does_not_use(program):
    """What looks for signs of access, hears sd_notify or starts another attempt."""
    foreign = loaded_by(program, "run", "-a", "30", "--", "sh", "-c", "sleep 2; echo")
    assert "supervise.loop" in foreign
    unused = {"signs", "news", "probes", "looks", "lines", "matcher", "helpers", "http", "notify"}
    assert foreign & {f"supervise.process.{one}" for one in unused} == set()


def test_a_long_run_loads_nothing_that_its_library_never_uses(program):
    """What is loaded is unloaded at the supervisor's exit, for which the caller waits."""
    foreign = loaded_by(program, "run", "--", "sleep", "2")
    assert "supervise.loop" in foreign
    unused = {"ssl", "_ssl", "hashlib", "_hashlib", "hmac", "idna", "ipaddress", "subprocess", "ctypes.util", "shutil"}
    assert foreign & unused == set()


def test_a_long_run_without_a_live_line_loads_nothing_of_it(program):
    foreign = loaded_by(program, "run", "-t", "30", "--", "sh", "-c", "sleep 2; echo")
    assert "supervise.loop" in foreign
    assert foreign & {"supervise.drawing", "supervise.faces.live", "supervise.process.overlay", "rich"} == set()


def test_a_plain_configuration_costs_no_library(program, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('warn-at = ["5m", "1m"]  # for all\n\n[profiles.ci]\ntimeout = "1h"\n')
    words = ("--config", file, "--profile", "ci", "--", "true")
    foreign = loaded_by_a_short_run(program, *words) - loaded_by("-c", "pass")
    assert "supervise.config" in foreign
    assert foreign & {*SLOW, "tomllib", "supervise.toml_lines", "supervise.cli"} == set()
