"""The environment belongs to the command: it gets every byte, and supervise itself is not changed by it."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place
from tests.support.native_start import is_native, native_needed, script_of

LISTEN_FDS = (
    "import os, sys; os.dup2(0, 3); name, offset = sys.argv[1:3]; "
    "os.environ.update({name: str(os.getpid() + int(offset)), 'LISTEN_FDS': '1', 'LISTEN_PIDFDID': '7'}); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
SHOW = ["cat", "/proc/self/environ"]
MODULES = (
    "random", "platform", "types", "logging", "signal", "socket", "select", "fcntl", "re", "trio", "rich", "click",
    "outcome", "supervise", "encodings_of_mine", "sitecustomize",
)  # fmt: skip


def executed(words: list[str], environ: list[bytes]) -> tuple[int, bytes]:
    """Execute a program with exactly these entries as its environment; return its exit code and output."""
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None)
    arguments = (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words), None)
    entries = (ctypes.c_char_p * (len(environ) + 1))(*environ, None)
    pid = os.fork()
    if not pid:
        os.dup2(writer, 1)
        libc.execve(os.fsencode(words[0]), arguments, entries)
        os._exit(99)
    os.close(writer)
    out = b""
    while more := os.read(reader, 1 << 16):
        out += more
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out


USUAL = [b"PATH=/usr/bin:/bin"]
ENVIRONS = {
    "usual": [b"A=1", b"B=x=y", b"C=\xff\xfe", b"D="],
    "an empty name": [b"A=1", b"=x", b"=x=y", b"B=2"],
    "a name twice": [b"A=1", b"A=2", b"B=1", b"A=1"],
    "no =": [b"A=1", b"word", b"", b"B=2"],
    "not in the C locale": [b"LANG=C.UTF-8", b"A=1"],
    "a locale of its own": [b"LC_CTYPE=C.UTF-8"],
    "meant for Python": [b"PYTHONPATH=/nonexistent", b"PYTHONSTARTUP=/x", b"PYTHONDONTWRITEBYTECODE=1", b"A=1"],
    "meant for Python, and a word": [b"PYTHONWARNINGS=error", b"PYTHONINSPECT=1", b"word", b"PYTHONOPTIMIZE=2"],
    "much": [b"V%d=%s" % (number, b"x" * 100_000) for number in range(19)],
    "a NOTIFY_SOCKET of the caller": [b"NOTIFY_SOCKET=/run/x", b"LISTEN_PID=1", b"LISTEN_FDS=3", b"WATCHDOG_PID=1"],
}


@pytest.mark.parametrize("options", [["--no-record"], [], ["--pty"]])
@pytest.mark.parametrize("name", ENVIRONS)
def test_the_environment_reaches_the_command_byte_by_byte(supervise: Place, name: str, options: list[str]) -> None:
    environ = [*USUAL, *ENVIRONS[name], b"HOME=" + os.fsencode(supervise.environ["HOME"])]
    environ.append(b"E2E_TOKEN=" + os.urandom(4).hex().encode())
    plain = executed(["/bin/cat", "/proc/self/environ"], environ)
    ours = executed([str(supervise.program), *options, "--", "/bin/cat", "/proc/self/environ"], environ)
    assert plain[0] == ours[0] == 0
    kept = [entry for entry in ours[1].split(b"\0") if not entry.startswith(b"SUPERVISE_")]
    assert kept == plain[1].split(b"\0")


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("name", ["LISTEN_PID", "WATCHDOG_PID"])
def test_a_variable_with_the_pid_of_the_supervisor_gets_the_pid_of_the_command(
    supervise: Place, name: str, retries: int
) -> None:
    code = f"import os; print(os.environ['{name}'] == str(os.getpid()), os.environ.get('LISTEN_PIDFDID')); os.fstat(3)"
    code += "; raise SystemExit(75)" if retries else ""
    words = [str(supervise.program), "run", f"--retries={retries}", "--retry-delay=0", "--", *PYTHON, "-c", code]
    ended = supervise.popen([*PYTHON, "-c", LISTEN_FDS, name, "0", *words]).wait()
    left = b"7" if name == "WATCHDOG_PID" else b"None"
    assert ended.out == (b"True %s\n" % left) * (retries + 1), ended.err


def test_a_variable_with_another_pid_stays(supervise: Place) -> None:
    code = "import os; print(os.environ['LISTEN_PID'], os.environ['LISTEN_PIDFDID'])"
    words = [str(supervise.program), "run", "--", *PYTHON, "-c", code]
    running = supervise.popen([*PYTHON, "-c", LISTEN_FDS, "LISTEN_PID", "1", *words])
    assert running.wait().out == b"%d 7\n" % (running.pid + 1)


def test_a_failed_exec_with_an_odd_environment_gives_the_usual_error(supervise: Place) -> None:
    """With such an environment supervise starts the command by another call."""
    text = supervise.file("text")
    text.write_text("exit 7")
    text.chmod(0o755)
    for command, code in (("./nowhere", 127), ("/", 126), ("./text", 7), ("nosuch", 127)):
        plain = supervise.popen([str(supervise.program), "run", "--", command]).wait()
        words = [str(supervise.program), "run", "--", command]
        exact = supervise.popen([*PYTHON, "-c", LISTEN_FDS, "LISTEN_PID", "0", *words]).wait()
        assert (plain.code, plain.err) == (exact.code, exact.err)
        assert plain.code == code


def test_supervise_loads_no_module_from_pythonpath(supervise: Place) -> None:
    project = supervise.file("project")
    project.mkdir()
    for name in MODULES:
        (project / f"{name}.py").write_text(f"open({str(project / 'loaded')!r}, 'a').write('{name} ')\n")
    env = {"PYTHONPATH": str(project)}
    check = "import os; print(os.environ['PYTHONPATH'])"
    run = ["run", "-t", "30", "--", *PYTHON, "-c", f"import time; time.sleep(0.3); {check}"]
    for words in (["--help"], run):
        (project / "loaded").unlink(missing_ok=True)
        ended = supervise.popen([str(supervise.program), *words], env=env, cwd=project).wait()
        assert ended.code == 0, ended.err
        loaded = (project / "loaded").read_text() if (project / "loaded").exists() else ""
        # Where the first line of the script has no -I, the interpreter imports this one before any line of supervise.
        assert loaded in ("", "sitecustomize "), loaded
    assert ended.out == os.fsencode(project) + b"\n"


def test_python_m_supervise_loads_no_module_from_the_current_folder(supervise: Place) -> None:
    project = supervise.file("project")
    project.mkdir()
    # `python -m` itself imports the other modules, before any line of supervise.
    for name in ("random", "platform", "logging", "socket", "subprocess", "trio", "rich", "click", "outcome", "fcntl"):
        (project / f"{name}.py").write_text("raise SystemExit('loaded')\n")
    words = [sys.executable, "-m", "supervise", "run", "-t", "30", "--", "sh", "-c", "sleep 0.3; exit 7"]
    ended = supervise.popen(words, cwd=project).wait()
    assert (ended.code, ended.err) == (7, b"")


@pytest.mark.parametrize(
    "variable",
    ["PYTHONWARNINGS=error", "PYTHONINSPECT=1", "PYTHONOPTIMIZE=2", "PYTHONDEVMODE=1", "PYTHONVERBOSE=1",
     "PYTHONPROFILEIMPORTTIME=1", "PYTHONTRACEMALLOC=5", "PYTHONPYCACHEPREFIX=/dev/full", "PYTHONUSERBASE=/nonexistent",
     "PYTHONSTARTUP=/nonexistent", "PYTHONSAFEPATH=1",
     "PYTHONHASHSEED=0", "PYTHONUNBUFFERED=1", "PYTHONPATH="],
)  # fmt: skip
@pytest.mark.parametrize("is_script", [False, True], ids=["program", "script"])
def test_variables_for_python_do_not_change_supervise(supervise: Place, variable: str, is_script: bool) -> None:
    name, _, value = variable.partition("=")
    program = script_of(supervise.program) if is_script else supervise.program
    words = [str(program), "run", "-t", "30", "--", "sh", "-c", f"sleep 0.3; echo ${name}; exit 7"]
    ended = supervise.popen(words, env={name: value}).wait()
    assert ended.code == 7
    assert ended.out == os.fsencode(value) + b"\n"
    # The script cannot suppress what the interpreter prints before the first line of supervise.
    if is_native(program) or name not in ("PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME"):
        assert ended.err == b""


@pytest.mark.parametrize(
    "variable",
    ["PYTHONHOME=/nonexistent", "PYTHONPLATLIBDIR=x", "PYTHONHASHSEED=none", "PYTHONINTMAXSTRDIGITS=1",
     "PYTHONUTF8=x", "PYTHONTRACEMALLOC=x", "PYTHONMALLOC=x", "PYTHONPATH=project"],
)  # fmt: skip
def test_variables_that_end_an_interpreter_do_not_end_supervise(supervise: Place, variable: str) -> None:
    native_needed(supervise.program)
    project = supervise.file("project")
    project.mkdir()
    (project / "sitecustomize.py").write_text("raise SystemExit('loaded')\n")
    name, _, value = variable.partition("=")
    for options in (("--no-record",), ("-t", "30")):
        words = [str(supervise.program), "run", *options, "--", "sh", "-c", f"sleep 0.1; echo ${name}; exit 7"]
        ended = supervise.popen(words, env={name: value}).wait()
        assert (ended.code, ended.out, ended.err) == (7, value.encode() + b"\n", b"")


@pytest.mark.parametrize("is_script", [False, True], ids=["program", "script"])
def test_an_installation_in_the_users_site_packages_works(supervise: Place, tmp_path: Path, is_script: bool) -> None:
    """`pip install --user` installs into a folder that an isolated interpreter does not search."""
    python = getattr(sys, "_base_executable", sys.executable)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = tmp_path / "base/lib" / version / "site-packages"
    site.mkdir(parents=True)
    (site / "supervise").mkdir()
    (site / "supervise/__init__.py").write_text("")
    (site / "supervise/__main__.py").write_text("def main(_): print('found')\n")
    script = tmp_path / "base/bin/supervise"
    script.parent.mkdir()
    ours = Path(__file__).parents[2] / "supervise/start/script"
    if not ours.exists():
        pytest.skip("the tests are not beside the source")
    words = [python, "-I", str(script)]
    if is_script:
        script.write_text(ours.read_text())
    else:
        native_needed(supervise.program)
        shutil.copy(supervise.program, script)
        script.with_name("supervise-python").write_text(ours.read_text().replace("#!python", f"#!{python}", 1))
        words = [str(script)]
    if subprocess.run([python, "-I", "-c", "import supervise"], capture_output=True).returncode == 0:
        pytest.skip("supervise is installed for the system's Python as well")
    assert supervise.popen(words).wait().out == b"found\n"


@pytest.mark.parametrize("options", [[], ["--access-on", "command=true"], ["--access-on", "match=up"], ["--pty"]])
def test_a_nameless_variable_stays_in_a_longer_run(supervise: Place, options: list[str]) -> None:
    """In a longer run the supervisor starts processes of its own with the same variables."""
    code = "import time; print('up', flush=True); time.sleep(1); print(open('/proc/self/environ').read())"
    code += "; raise SystemExit(7)"
    limit = ["-a", "20"] if "--access-on" in options else []
    words = [str(supervise.program), "run", "--no-record", *limit, *options, "--", *PYTHON, "-c", code]
    environ = [*USUAL, b"=x", b"E2E_TOKEN=" + supervise.file("x").name.encode()]
    ended, out = executed(words, environ)
    assert ended == 7
    assert b"\0=x\0" in out


def test_a_misspelt_variable_gets_one_hint(supervise: Place) -> None:
    env = {"SUPERVISE_TIMOUT": "5", "SUPERVISE_IDEL_TIMEOUT": "5", "SUPERVISE_COLOUR_OF_MINE": "red"}
    ended = supervise("--retries=1", "--retry-delay=0", "--", "sh", "-c", "echo $SUPERVISE_TIMOUT; exit 75", env=env)
    assert [message for message in ended.messages if "did you mean" in message] == [
        "SUPERVISE_TIMOUT: no such option, so the command gets it; did you mean SUPERVISE_TIMEOUT?",
        "SUPERVISE_IDEL_TIMEOUT: no such option, so the command gets it; did you mean SUPERVISE_IDLE_TIMEOUT?",
    ]
    assert ended.out == b"5\n5\n"
    quiet = supervise("-q", "--", "true", env=env)
    assert quiet.err == b""
    inner = supervise("-q", "--", str(supervise.program), "run", "--", "true", env=env)
    assert inner.err == b""


@pytest.mark.parametrize(
    "variable", ["PYTHONHOME=/nonexistent", "PYTHONPLATLIBDIR=x", "PYTHONHASHSEED=none", "PYTHONPATH=project"]
)
def test_with_python_i_no_variable_for_python_is_obeyed(supervise: Place, variable: str) -> None:
    """The first line of the script has no -I, since pip removes it; the native start adds it."""
    project = supervise.file("project")
    project.mkdir()
    (project / "sitecustomize.py").write_text("raise SystemExit('loaded')\n")
    first, _, rest = script_of(supervise.program).read_text().partition("\n")
    script = supervise.file("script")
    script.write_text(f"{first} -I\n{rest}")
    script.chmod(0o755)
    name, _, value = variable.partition("=")
    ended = supervise.popen([str(script), "run", "--", "sh", "-c", f"echo ${name}; exit 7"], env={name: value}).wait()
    assert (ended.code, ended.out, ended.err) == (7, value.encode() + b"\n", b"")
