"""Wheel, sdist and installation; and man page, README and program agree."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supervise import __version__
from supervise.commands import manual_pages
from supervise.commands.help_page import EPILOG
from supervise.commands.subcommands import SUBCOMMANDS
from supervise.core.outcome import Cause, Exit
from supervise.core.policy import Policy
from supervise.core.verdict import settle
from supervise.launch.lock import TurnedAway
from supervise.options.table import OPTIONS, option_names
from supervise.pages.code_list import EXIT_CODES
from supervise.runner.unstarted_run import outcome_of
from tests.support.native_start import native_needed, script_of

ROOT = Path(__file__).parents[1]
HANG_SECONDS = 300.0
SHARED = {
    **{f"share/man/{page.path}": f"man/{page.path}" for page in manual_pages.pages()},
    "share/bash-completion/completions/supervise": "completions/supervise.bash",
    "share/zsh/site-functions/_supervise": "completions/_supervise",
    "share/fish/vendor_completions.d/supervise.fish": "completions/supervise.fish",
}


SCRIPT = ROOT / "supervise/start/script"
WHEEL_BYTES = 1_000_000
NATIVE_BYTES = 10_000
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
WEIGHED = {
    *("click", "rich", "trio", "tomli-w"),
    *("markdown-it-py", "mdurl", "pygments"),
    *("attrs", "idna", "outcome", "sniffio", "sortedcontainers"),
}
"""What is installed on Linux: what supervise names, what rich brings, and what trio brings."""
IMPORT_ALL_BUT = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import supervise, rich.console, rich.live, rich.progress, rich.table, rich.text
for module in pkgutil.walk_packages(supervise.__path__, "supervise."):
    if module.name != "supervise.__main__" and not module.name.startswith("supervise.pages"):
        importlib.import_module(module.name)
"""


def build(target, folder, **variables):
    """Build a wheel or an sdist of the checkout with the installed back end, in an environment with these variables."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=ROOT,
        env=os.environ | variables,
        check=True,
        capture_output=True,
        timeout=HANG_SECONDS,
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as file:
        yield file


def content_of(wheel, ending):
    """Return the text of the only file in the wheel whose name ends so."""
    (name,) = [name for name in wheel.namelist() if name.endswith(ending)]
    return wheel.read(name).decode()


# --- what is built ---------------------------------------------------------------------------------------------------


@pytest.mark.needs("cc")
def test_the_wheel_has_the_native_start_its_script_and_no_entry_point(wheel):
    # What pip makes of `#!python` is the interpreter's path; an entry point it would wrap in a script that imports re.
    assert content_of(wheel, ".data/scripts/supervise-python") == SCRIPT.read_text()
    assert SCRIPT.read_text().startswith("#!python\n")
    assert not any(name.endswith("entry_points.txt") for name in wheel.namelist())
    (native,) = [one for one in wheel.infolist() if one.filename.endswith(".data/scripts/supervise")]
    assert wheel.read(native).startswith(b"\x7fELF")
    assert native.file_size < NATIVE_BYTES
    assert f"Tag: py3-none-{sysconfig.get_platform().replace('-', '_')}\n" in content_of(wheel, "/WHEEL")


@pytest.mark.parametrize("compiler", ["/nonexistent", "false", "true"])
def test_without_a_compiler_that_works_the_script_is_the_program(tmp_path, compiler):
    with zipfile.ZipFile(build("wheel", tmp_path, CC=compiler)) as wheel:
        assert [name for name in wheel.namelist() if "/scripts/" in name] == [
            f"supervise_cli-{__version__}.data/scripts/supervise"
        ]
        assert content_of(wheel, ".data/scripts/supervise") == SCRIPT.read_text()
        assert "Tag: py3-none-any\n" in content_of(wheel, "/WHEEL")


@pytest.mark.parametrize("place", SHARED)
def test_the_wheel_installs_the_man_page_and_the_completions(wheel, place):
    assert content_of(wheel, f".data/data/{place}") == (ROOT / SHARED[place]).read_text()


def test_the_wheel_has_every_file_of_the_package_but_what_makes_the_pages_and_the_start(wheel):
    left_out = (ROOT / "supervise" / "pages", ROOT / "supervise" / "start")
    there = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "supervise").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not any(map(path.is_relative_to, left_out))
    }
    assert {name for name in wheel.namelist() if name.startswith("supervise/")} == there
    assert {"supervise/py.typed", "supervise/schema/report.schema.json"} <= there


def test_the_sdist_builds_the_same_wheel_and_has_the_tests(wheel, tmp_path):
    sdist = build("sdist", tmp_path)
    with tarfile.open(sdist) as file:
        names = {name.split("/", 1)[1] for name in file.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "supervise/pages/templates/man/supervise.1",
        "supervise/start/build_hook.py",
        "supervise/start/native.c",
        "supervise/start/script",
        "tests/conftest.py",
        ".github/CHANGELOG.md",
        *SHARED.values(),
    } <= names
    assert {name for name in wheel.namelist() if name.startswith("supervise/")} <= names


def test_the_wheel_is_small(wheel):
    assert sum(one.compress_size for one in wheel.infolist()) < WHEEL_BYTES


def test_it_needs_no_more_than_the_libraries_that_are_weighed():
    """CONTRIBUTING says what each of them costs."""
    found, left = set(), ["supervise-cli"]
    while left:
        name = left.pop()
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if canonicalize_name(needed.name) not in found and (not needed.marker or needed.marker.evaluate(LINUX)):
                found.add(canonicalize_name(needed.name))
                left.append(needed.name)
    assert found == WEIGHED
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text().split("## Dependencies")[1].split("\n## ")[0]
    assert all(re.search(rf"\b{name}\b", text) for name in found)


def test_the_debian_package_leaves_out_only_what_is_never_imported():
    script = (ROOT / ".github" / "packaging" / "build-deb").read_text()
    names = re.search(r'^rm -rf "\$\{private:\?\}"/\{bin,(.*)\}$', script, re.MULTILINE)[1].replace("/", ".").split(",")
    assert "pygments" in names
    subprocess.run([sys.executable, "-c", IMPORT_ALL_BUT, *names], check=True, timeout=HANG_SECONDS)


def test_the_checkout_has_no_other_visible_folder():
    """Folders that git ignores do not count."""
    made = {"dist", "build", "__pycache__"}
    visible = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - made
    assert visible == {"supervise", "tests", "completions", "man"}


# --- what is installed -----------------------------------------------------------------------------------------------


def test_the_installed_script_is_that_script(program):
    first, *rest = script_of(program).read_text().splitlines(keepends=True)
    interpreter = Path(first.removeprefix("#!").strip())
    assert interpreter.is_absolute()
    assert interpreter.resolve() == Path(sys.executable).resolve()
    found = re.sub(r"^CHECKOUT = .*$", "CHECKOUT = None", "".join(rest), flags=re.MULTILINE)
    assert found == SCRIPT.read_text().split("\n", 1)[1]


@pytest.mark.parametrize("is_native", [True, False])
def test_no_file_beside_the_program_is_imported(program, tmp_path, is_native):
    if is_native:
        native_needed(program)
    script = tmp_path / "supervise"
    shutil.copy(script_of(program), script)
    if is_native:
        script.rename(tmp_path / "supervise-python")
        shutil.copy(program, script)
    for name in ("select", "_ctypes", "trio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    words = [script, "--no-record", "-t", "30", "--", "sleep", "0.2"]
    assert subprocess.run(words, timeout=HANG_SECONDS, check=False).returncode == 0


def test_no_console_script_is_installed():
    assert [one for one in distribution("supervise-cli").entry_points if one.group == "console_scripts"] == []


@pytest.mark.slow
def test_pip_installs_it_into_a_fresh_environment(tmp_path):
    """The dependencies are left out: a plain short run loads none of them."""
    wheel = build("wheel", tmp_path / "dist")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=HANG_SECONDS)
    pip = [tmp_path / "venv" / "bin" / "python", "-m", "pip", "--isolated", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True, timeout=HANG_SECONDS)
    script = tmp_path / "venv" / "bin" / "supervise"
    first, rest = script_of(script).read_text().split("\n", 1)
    assert first.startswith(f"#!{tmp_path}/venv/bin/python")
    assert rest == SCRIPT.read_text().split("\n", 1)[1]
    for place, source in SHARED.items():
        assert (tmp_path / "venv" / place).read_text() == (ROOT / source).read_text()
    # The manual and the completions are found there, too, although man(1) and the shells do not look there.
    page = subprocess.run([script, "man", "ps"], timeout=HANG_SECONDS, check=True, capture_output=True, text=True)
    assert page.stdout.startswith("SUPERVISE-PS(1)")
    shell = subprocess.run([script, "completions", "bash"], timeout=HANG_SECONDS, check=True, capture_output=True)
    assert shell.stdout == (ROOT / "completions" / "supervise.bash").read_bytes()
    ended = subprocess.run([script, "run", "--", "sh", "-c", "exit 3"], timeout=HANG_SECONDS, check=False)
    assert ended.returncode == 3


# --- what is said ----------------------------------------------------------------------------------------------------

CAUSES = {
    "completed": (None, Exit(0)),
    "failed": (None, Exit(3)),
    "resumable": (None, Exit(75)),
    "signaled": (None, Exit(None, 11)),
    "access_timeout": (Cause("access_timeout", 1.0, "access"), Exit(0)),
    "idle_timeout": (Cause("idle_timeout", 1.0, "idle"), Exit(0)),
    "completion_timeout": (Cause("completion_timeout", 1.0, "completion"), Exit(0)),
    "cancelled": (Cause("cancelled", 1.0, signal=15), Exit(0)),
    "error": (Cause("spawn_failed", 1.0, failure="error"), None),
    "not_executable": (Cause("spawn_failed", 1.0, failure="not_executable"), None),
    "not_found": (Cause("spawn_failed", 1.0, failure="not_found"), None),
}


@pytest.mark.parametrize(("code", "name"), [(code, name) for code, name, _ in EXIT_CODES if name])
def test_the_exit_codes_of_the_man_page_are_those_of_the_program(code, name):
    outcome = outcome_of(TurnedAway("busy"), 1.0, Policy()) if name == "busy" else settle(*CAUSES[name], Policy())
    signal = {"signaled": 11, "cancelled": 15}.get(name, 0)
    assert outcome.name == name
    assert outcome.exit_code == int({"its own": "3", "128+N": str(128 + signal)}.get(code, code))


def test_the_man_page_has_every_outcome_that_a_run_can_have():
    assert {name for _, name, _ in EXIT_CODES if name} == {*CAUSES, "busy"}


def test_the_man_page_has_every_name_of_the_report():
    schema = json.loads((ROOT / "supervise" / "schema" / "report.schema.json").read_text())
    text = (ROOT / "man/man5/supervise-report.5").read_text().split(".SH THE REPORT")[1].split(".SH THE EVENTS")[0]
    assert set(schema["required"]) <= set(re.findall(r"[a-z_]+", text))


def test_the_help_has_the_exit_codes_of_the_man_page():
    codes = {code for code, name, _ in EXIT_CODES if re.fullmatch(r"12.*", code)}
    assert set(re.findall(r"\b12[\dN+]+", " ".join(EPILOG))) == codes


@pytest.mark.parametrize(("code", "name"), [(code, name) for code, name, _ in EXIT_CODES if code.isdigit()])
def test_the_readme_has_the_exit_codes_of_the_man_page(code, name):
    lines = (ROOT / "README.md").read_text().replace("_", " ").splitlines()
    assert any(re.search(rf"\b{code}\b", line) and name.replace("_", " ") in line for line in lines)


def test_the_readme_names_no_unknown_option():
    # An option of an engine is no option of supervise.
    text = re.sub(r"--engine-option=\S+", "--engine-option", (ROOT / "README.md").read_text())
    # Of each line only the words between `supervise` and the command count.
    ours = " ".join(part.split(" -- ")[0] for part in re.findall(r"\bsupervise\b(.*)", text))
    rows = (*OPTIONS, *(option for row in SUBCOMMANDS for option in row.options))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) <= {*option_names(rows), "--help", "--version"}
