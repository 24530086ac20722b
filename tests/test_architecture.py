"""The imports between the modules of supervise, and the modules that a run may load."""

import ast
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from supervise import __main__ as entry
from supervise.commands.subcommands import SUBCOMMANDS
from tests.support.harness import wait_until
from tests.support.native_start import script_of

PACKAGE = Path(__file__).parents[1] / "supervise"
HANG_SECONDS = 60.0

ROOMS = {
    "core": set(),
    "text": set(),
    "files": {"text"},
    "faces": {"core", "text"},
    "process": {"text"},
    "options": {"files", "process", "text"},
    "monitoring": {"faces", "files", "options", "process", "text"},
    "output": {"core", "process", "text"},
    "activity": {"core", "process"},
    "access": {"activity", "options", "output", "process", "text"},
    "terminal": {"core", "output", "process", "text"},
    "control": {"files", "options", "process", "text"},
    "records": {"control", "faces", "files", "monitoring", "options", "output", "process", "text"},
    "launch": {
        "access",
        "control",
        "core",
        "faces",
        "files",
        "monitoring",
        "options",
        "output",
        "process",
        "records",
        "terminal",
        "text",
    },
    "runner": {
        "access",
        "activity",
        "control",
        "core",
        "faces",
        "files",
        "launch",
        "monitoring",
        "options",
        "output",
        "process",
        "records",
        "terminal",
        "text",
    },
    "batch": {"core", "faces", "files", "options", "process", "records", "text"},
    "commands": {
        "access",
        "activity",
        "batch",
        "control",
        "core",
        "faces",
        "files",
        "options",
        "process",
        "records",
        "terminal",
        "text",
    },
    "pages": {"commands", "core", "faces", "options"},
    "start": set(),
    "__main__": {"commands", "launch", "options", "process", "records", "runner"},
}
"""The rooms that each room may import beside itself; each arrow points upwards in this table."""
SHORT_RUN = {
    "__main__",
    "launch",
    "launch.early_exit",
    "launch.environment",
    "launch.launch",
    "launch.short_run",
    "launch.state",
    "options",
    "options.argv",
    "options.paths",
    "options.table",
    "process",
    "process.channel",
    "process.guardian",
    "process.holder",
    "process.spawn",
    "process.system",
}
"""The modules of supervise that `supervise --no-record -- true` may load; each room costs 0.1 ms."""
SHORT_RUN_WITH_A_RECORD = {
    "faces",
    "faces.report_shape",
    "launch.registration",
    "launch.run_record",
    "options.serializer",
    "process.hang_risk",
    "process.identity",
    "records",
    "records.short_run_report",
    "records.store",
}
"""The modules that a record adds to these."""
STATE = ("launch.state", "launch.streams")
"""The modules of the state of a run; each part is written in the module of its class alone."""
CHANGES = {"append", "extend", "insert", "pop", "remove", "clear", "add", "discard", "update", "setdefault", "popitem"}
"""The methods that change a list, a set or a dictionary."""
SETTERS = {"setattr", "delattr", "object.__setattr__", "object.__delattr__"}
ENDS = {
    "__main__: _end_process",
    "process.bounded_call: _operate_and_exit",
    "process.file_worker: _serve_and_exit",
    "process.guardian: _serve_and_exit",
    "batch.local: _become_or_exit",
    "commands.top_child: _carry_out_and_exit",
    "launch.ties: _signal_and_exit",
    "process.raw_environment: _become_or_exit",
}
"""The functions that end a process: the supervisor's, and those of the processes that the supervisor forks."""
STANDARD_IN_CORE = {"collections.abc", "dataclasses", "enum", "math", "typing"}
LIBRARIES = {
    "click": {"commands.app"},
    "hatchling": {"start.build_hook"},
    "rich": {"commands.batch_progress", "commands.show", "faces.live_line_text"},
    "trio": {
        "control.server",
        "runner.allocation_watch",
        "runner.hand_back",
        "runner.heartbeat",
        "runner.live_line",
        "runner.loop",
        "runner.prompt_watch",
        "runner.worker_thread",
    },
    "psutil": {"activity.psutil_tree"},
    "tomli_w": {"commands.config_set"},
    "platformdirs": {"options.paths"},
}
"""The modules that may import each library; no other module may."""
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
"""Modules that cost too much before the command starts, and that a short run need not load at all."""


def modules():
    """Return the modules by their name within the package: `core.machine`, and `core` for core/__init__.py."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts if parts[-1] != "__init__" else parts[:-1])] = path
    return found


MODULES = modules()


def imports(name):
    """Return all imports in a module; `from a import b` is `a.b` where that is a module of supervise."""
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


def test_all_modules_are_found():
    assert {"__main__", "core.machine", "options.argv", "process.guardian", "runner.dispatcher"} <= set(MODULES)


def test_no_module_lies_outside_of_the_rooms():
    assert {name for name in MODULES if "." not in name} == {"", *ROOMS}


def test_no_two_modules_have_one_name():
    """The file of a subcommand is an exception: it bears the name of the subcommand."""
    words = {row.module for row in SUBCOMMANDS}
    others = [name for name in MODULES if "." in name and f"supervise.{name}" not in words]
    names = Counter(name.rpartition(".")[2] for name in others)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_arrows_run_one_way(name):
    assert {part(one) for one in ours(name)} <= {part(name), *ROOMS[part(name)]}


def tree_of(name):
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def classes_of_state():
    return [node for name in STATE for node in tree_of(name).body if isinstance(node, ast.ClassDef)]


def parts_of_state():
    """The attributes of `Launched`, each of which holds a part of the state, with the names of the parts' classes."""
    (whole,) = (node for node in classes_of_state() if node.name == "Launched")
    found = {}
    for node in ast.walk(whole):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                if isinstance(target, ast.Attribute):
                    found[target.attr] = node.value.func.id
    return found


PARTS = parts_of_state()


def containers_of_state():
    """The names of the attributes that are lists, sets or dictionaries."""
    return {
        node.target.attr
        for part in classes_of_state()
        for node in ast.walk(part)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Attribute)
        and isinstance(node.value, (ast.List, ast.Dict, ast.Call))
    }


CONTAINERS = containers_of_state()


def is_part(node, aliases):
    """The expression is a part of the state: `launched.streams`, or a name for that."""
    if isinstance(node, ast.Attribute):
        return node.attr in PARTS
    return isinstance(node, ast.Name) and node.id in aliases


def pairs_of(target, value):
    """The names of an assignment, each with what it stands for: also of `child, files = x.child, x.files`."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(target, value)]


def aliases_in(tree):
    """The names that stand for a part of the state somewhere in that module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            if ast.unparse(node.annotation).strip("'\"") in PARTS.values():
                found.add(node.arg)
        elif isinstance(node, ast.Assign):
            for target, value in (pair for each in node.targets for pair in pairs_of(each, node.value)):
                if isinstance(target, ast.Name) and is_part(value, found):
                    found.add(target.id)
    return found


def is_change(method):
    """The method changes a list, a set or a dictionary of the state."""
    changed = method.value
    return method.attr in CHANGES and isinstance(changed, ast.Attribute) and changed.attr in CONTAINERS


def stores_in(tree):
    """Every expression that the module assigns, augments or deletes, by a statement or by `setattr` and the like."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield node
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in SETTERS:
            yield ast.copy_location(ast.Attribute(node.args[0], "?", ast.Store()), node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_change(node.func):
            yield node.func.value


def writes_of_state(tree):
    """The lines where a module changes an attribute of a part of the state, or an item of one."""
    aliases = aliases_in(tree)
    found = []
    for node in stores_in(tree):
        changed = node.value if isinstance(node, ast.Subscript) else node
        if isinstance(changed, ast.Attribute) and is_part(changed.value, aliases):
            found.append(f"{node.lineno}: {ast.unparse(changed)}")
    return found


@pytest.mark.parametrize("name", MODULES)
def test_the_state_is_written_in_its_module_alone(name):
    """Elsewhere a method says what happens to it."""
    assert writes_of_state(tree_of(name)) == []


@pytest.mark.parametrize("node", classes_of_state(), ids=lambda node: node.name)
def test_each_part_of_the_state_writes_itself_alone(node):
    stored = [one for one in stores_in(node) if isinstance(one, ast.Attribute)]
    bases = [
        ast.unparse(one.value) for one in stored if not (isinstance(one.value, ast.Name) and one.value.id == "self")
    ]
    assert bases == []


@pytest.mark.parametrize(
    "code",
    [
        "launched.streams.pumps = ()",
        "self._launched.child.root += 1",
        "del launched.files.record",
        "a, launched.info.budgets = 1, 2",
        "for launched.files.events in (): pass",
        "launched.child.variables[b'X'] = None",
        "launched.child.heard.append(())",
        "streams = launched.streams; streams.cut = 1",
        "info, files = launched.info, launched.files; files.lock = None",
        "def f(info: 'RunInfo') -> None: info.started = 0.0",
        "setattr(launched.child, name, 1)",
        "object.__setattr__(launched.child, name, 1)",
    ],
)
def test_a_write_to_the_state_is_found(code):
    assert writes_of_state(ast.parse(code)) != []


def functions_that_call(attribute):
    """Every function in which `MODULE.attribute` stands for the given name, as `module: function`."""
    found = set()
    for name in MODULES:
        for node in ast.walk(tree_of(name)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found |= {f"{name}: {node.name}" for one in ast.walk(node) if ast.unparse(one) == attribute}
    return found


def test_a_process_ends_in_the_functions_that_are_named_for_it():
    """All other code returns, or raises EarlyExit."""
    assert functions_that_call("os._exit") | functions_that_call("posix._exit") == ENDS
    assert [name for name in MODULES if "import _exit" in MODULES[name].read_text(encoding="utf-8")] == []


def test_no_test_module_imports_another():
    """Helpers of several test modules are in tests/support."""
    found = [
        (path.name, node.module)
        for path in Path(__file__).parent.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and ".test_" in f".{node.module}"
    ]
    assert found == []


def test_no_arrow_leads_back():
    rooms = [*ROOMS]
    assert [(one, other) for one in rooms for other in ROOMS[one] if rooms.index(other) >= rooms.index(one)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "core"])
def test_core_is_pure(name):
    assert {one for one in imports(name) if part(one) != "supervise"} <= STANDARD_IN_CORE


@pytest.mark.parametrize("name", MODULES)
def test_libraries_are_imported_in_their_places_alone(name):
    foreign = {part(one) for one in imports(name)} - set(sys.stdlib_module_names) - {"supervise"}
    assert {library for library in foreign if name not in LIBRARIES.get(library, set())} == set()


@pytest.mark.parametrize("name", ["options.table", "options.values", "options.argv"])
def test_the_fast_reader_imports_only_itself(name):
    """Imports for types, which no run executes, and modules that every interpreter has are exceptions."""
    assert {one for one in imports(name) if part(one) != "supervise"} <= {
        "collections.abc",
        "os",
        "posix",
        "sys",
        "typing",
        "_signal",
    }
    needed = {
        "options.table": set(),
        "options.values": {"options.table"},
        "options.argv": {"options.paths", "options.table"},
    }[name]
    assert modules_loaded(f"import supervise.{name}") == full({"options", *needed, name})


def full(names):
    """Return the full names of these modules, and of the package itself."""
    return {"supervise", *(f"supervise.{one}" for one in names)}


def modules_loaded(code):
    """Return the modules that a new interpreter loads for that code, beyond those that every interpreter has."""
    script = f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
before = set(sys.modules)
{code}
print(*set(sys.modules) - before)
"""
    call = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=HANG_SECONDS, check=True
    )  # fmt: skip
    return set(call.stdout.split())


def test_importing_the_package_loads_nothing():
    assert modules_loaded("import supervise") == {"supervise"}


@pytest.fixture
def program(program):
    """Return the script of the program: an interpreter with an option of the test executes it, not the native start."""
    return script_of(program)


def loaded_by(*words, code=0, **variables):
    """Run an interpreter with these words, check its exit code, and return the modules that it has loaded."""
    call = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        env=os.environ | variables,
    )
    assert call.returncode == code, call.stderr
    lines = [line for line in call.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def loaded_by_a_short_run(state, *words):
    """Return the modules that a short run loads; on a busy machine a run that became a long one is repeated."""
    # The first run of a day that has the time removes old records, and loads the modules for that.
    unwanted = {"supervise.runner", "supervise.records.retention"}

    def of_a_short_one():
        found = loaded_by(*words, XDG_STATE_HOME=str(state))
        return None if found & unwanted else found

    return wait_until(of_a_short_one)


def test_a_short_run_of_the_native_start_loads_neither_site_nor_os(tmp_path):
    code = f"import sys; sys.path.append({str(PACKAGE.parent)!r}); from supervise.__main__ import main; main()"
    loaded = loaded_by_a_short_run(tmp_path, "-I", "-S", "-c", code, "--no-record", "--", "true")
    assert "supervise.process.guardian" in loaded
    assert loaded & {"site", "os", "_collections_abc"} == set()


def loaded_by_a_long_run(*words):
    """Return the modules that a long run loads.

    A run is repeated that ended before its loop, on a busy machine, or that removed old records, as the first one of a
    day does.
    """

    def of_a_long_one():
        found = loaded_by(*words)
        return found if "supervise.runner.loop" in found and "supervise.records.retention" not in found else None

    return wait_until(of_a_long_one)


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
def test_a_command_that_only_asks_loads_no_library(program, words, code):
    foreign = loaded_by(program, *words, code=code) - loaded_by("-c", "pass")
    assert "supervise.commands.invocation" in foreign
    assert {part(one) for one in foreign} & set(LIBRARIES) == set()
    assert not any(one.startswith(("supervise.core", "supervise.runner", "supervise.commands.app")) for one in foreign)


@pytest.mark.parametrize(("options", "most"), [(["--no-record"], SHORT_RUN), ([], SHORT_RUN | SHORT_RUN_WITH_A_RECORD)])
def test_a_short_run_loads_only_its_modules(program, tmp_path, options, most):
    foreign = loaded_by_a_short_run(tmp_path, program, "run", *options, "--", "true") - loaded_by("-c", "pass")
    assert "supervise.launch.launch" in foreign
    assert {one for one in foreign if part(one) == "supervise"} <= full(most)
    assert foreign & SLOW == set()
    assert {part(one) for one in foreign} & set(LIBRARIES) == set()


def test_the_fast_path_is_what_a_short_run_loads_before_its_command():
    # The supervisor loads that one while the guardian starts the command.
    assert {*entry.FAST_PATH} == SHORT_RUN - {"__main__", "launch.short_run"}
    assert {*entry.ROOMS} == {name for name in entry.FAST_PATH if "." not in name}


def test_a_short_run_without_a_record_loads_no_module_for_files_or_terminals(program, tmp_path, monkeypatch):
    """Among them are modules for locks, records, and an environment that no mapping holds."""
    monkeypatch.delenv("SUPERVISE_DEADLINE", raising=False)
    foreign = loaded_by_a_short_run(tmp_path, program, "--no-record", "--", "true")
    assert "supervise.launch.short_run" in foreign
    unused = {
        "launch.admission",
        "options.config",
        "launch.command_terminal",
        "launch.run_record",
        "launch.registration",
        "process.raw_environment",
        "process.null",
    }
    assert foreign & {f"supervise.{one}" for one in unused} == set()


@pytest.mark.parametrize("option", ["--timestamps", "--prefix=x", "--quiet-unless-failed"])
def test_an_option_for_the_output_costs_a_short_run_no_library(program, option):
    def of_a_short_one():
        found = loaded_by(program, "--no-record", option, "--", "sh", "-c", "echo; exit 0")
        return found if "supervise.core.machine" not in found else None

    foreign = wait_until(of_a_short_one) - loaded_by("-c", "pass")
    assert foreign & {"supervise.output.line_marks", "supervise.output.spool"}
    assert foreign & SLOW == set()


@pytest.mark.parametrize("options", [[], ["--no-record"]])
def test_a_short_run_with_a_report_writes_it_without_the_faces(program, tmp_path, options):
    foreign = loaded_by_a_short_run(tmp_path, program, *options, "--report", tmp_path / "r.json", "--", "true")
    foreign -= loaded_by("-c", "pass")
    assert "supervise.files.whole_file" in foreign
    assert foreign & {*SLOW, "json", "supervise.core.machine", "supervise.faces.full_report"} == set()
    assert {part(one) for one in foreign} & set(LIBRARIES) == set()


def test_a_long_run_loads_no_module_for_unused_features(program):
    """The features are signs of access, hooks, sd_notify, further attempts, files made of the report, other runs."""
    foreign = loaded_by_a_long_run(program, "run", "-a", "30", "--", "sh", "-c", "sleep 2; echo")
    assert {one for one in foreign if one.startswith(("supervise.access", "supervise.monitoring"))} == set()
    assert foreign & {"supervise.runner.messenger_link", "supervise.launch.monitors"} == set()
    assert foreign & {"supervise.control.client", "supervise.records.output_follower"} == set()
    assert foreign & {"supervise.faces.metrics", "supervise.faces.junit", "supervise.faces.report_values"} == set()
    assert foreign & {"supervise.records.result_files", "supervise.files.whole_file"} == set()


def test_a_long_run_without_a_live_line_loads_no_module_for_it(program):
    foreign = loaded_by_a_long_run(program, "run", "-t", "30", "--", "sh", "-c", "sleep 2; echo")
    assert (
        foreign & {"supervise.runner.live_line", "supervise.faces.live_line_text", "supervise.terminal.overlay", "rich"}
        == set()
    )
    assert foreign & {"supervise.core.eta", "supervise.records.named_runs", "supervise.records.ended_record"} == set()


LINE_MODULES = ("runner.live_line", "faces.live_line_text", "terminal.overlay", "terminal.screen_track")
"""The modules of the live line, but for the small one that keeps the first bytes of the output."""


def loaded_on_a_terminal(folder, *words):
    """Return the modules that the words load with stdin, stdout and stderr on a terminal."""
    ours, theirs = os.openpty()
    modules = folder / "modules"
    # The interpreter writes its report to stderr, which has to be the terminal; so the modules are written at the end.
    code = f"""
import os, posix, sys
sys.argv = sys.argv[1:]
end, own = posix._exit, os.getpid()
def write_and_end(code):
    if os.getpid() == own:
        with open({str(modules)!r}, "w") as file:
            file.write(" ".join(sys.modules))
    end(code)
posix._exit = write_and_end
from supervise.__main__ import main
main()
"""
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONPATH")}
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environ, "TERM": "xterm"},
        ) as run:
            os.close(theirs)
            text = b""
            with suppress(OSError):
                while data := os.read(ours, 1 << 16):
                    text += data
            assert run.wait(HANG_SECONDS) == 0, text
    finally:
        os.close(ours)
    return set(modules.read_text().split())


@pytest.mark.parametrize(
    ("command", "watched"),
    [(("true",), False), (("sh", "-c", "echo up; sleep 1.5; echo down"), True)],
    ids=["short", "long"],
)
def test_a_run_on_a_terminal_loads_the_live_line_only_when_it_is_due(program, tmp_path, command, watched):
    def loaded():
        found = loaded_on_a_terminal(tmp_path, program, "run", "--no-record", "-t", "1m", "--", *command)
        # On a busy machine a run that became a long one is repeated.
        return found if watched == ("supervise.runner.relay" in found) else None

    found = wait_until(loaded)
    assert ("supervise.terminal.watched_outlet" in found) == watched
    assert found & {*(f"supervise.{name}" for name in LINE_MODULES), "rich"} == set()


def test_a_plain_configuration_costs_no_library(program, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('warn-at = ["5m", "1m"]  # for all\n\n[profiles.ci]\ntimeout = "1h"\n')
    words = ("--config", file, "--profile", "ci", "--", "true")
    foreign = loaded_by_a_short_run(tmp_path, program, *words) - loaded_by("-c", "pass")
    assert "supervise.options.config" in foreign
    assert foreign & {*SLOW, "tomllib", "supervise.options.toml_lines", "supervise.commands.app"} == set()
