"""The configuration of the installed program: its effect on runs, and the commands that show and change it."""

import json
import os
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.harness import Ended, Place, child
from tests.support.refusals import is_refused

AS_ANOTHER_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def file(supervise: Place) -> Path:
    """Return the path of the user's own configuration, which does not exist yet."""
    file = Path(supervise.environ["HOME"]) / ".config" / "supervise" / "config.toml"
    file.parent.mkdir(parents=True)
    return file


def call(supervise: Place, *words: str, **manner: object) -> Ended:
    """Run `supervise` with these words, to its end."""
    return supervise.start(*words, report=False, **manner).wait()  # type: ignore[arg-type]


def refused(supervise: Place, *words: str, **manner: object) -> str:
    """Check that supervise refuses the run and the command does not start, and return stderr."""
    started = supervise.file("started")
    ended = call(supervise, *words, "--", *child(f"mark={started}"), **manner)
    is_refused(ended)
    assert not started.exists()
    return ended.err.decode()


# --- runs ------------------------------------------------------------------------------------------------------------


def test_defaults_hold_for_every_run(supervise: Place, file: Path) -> None:
    file.write_text('idle-timeout = "0.3s"\nkill-after = 0\n')
    ended = supervise("--", *child("ready", "sleep=30"))
    assert ended.code == 123
    assert ended.report["limit_seconds"] == 0.3
    assert supervise("-i", "off", "--", *child("ready", "sleep=0.5")).code == 0


def test_contradicting_options_are_refused_also_from_the_configuration(supervise: Place, file: Path) -> None:
    """A run with another sign that can come is not refused."""
    file.write_text('access-timeout = 5\naccess-on = "attach"\n[profiles.bare]\nno-record = true\n')
    why = "supervise: --access-on: no client can attach without a record, which --no-record switches off\n"
    assert refused(supervise, "--no-record") == why
    assert refused(supervise, env={"SUPERVISE_NO_RECORD": "1"}) == why
    assert refused(supervise, "--profile", "bare") == why
    assert call(supervise, "--no-record", "--access-on", "manual", "--", *child("exit=3")).code == 3


def test_a_profile_holds_only_where_it_is_named(supervise: Place, file: Path) -> None:
    file.write_text('verbose = true\n[profiles.short]\ntimeout = 0.3\nwarn-at = "off"')
    assert call(supervise, "--", "true").messages[-1] == "completed (exit 0)"
    assert supervise("--profile", "short", "--", *child("sleep=30")).code == 124
    assert call(supervise, "--", *child("sleep=30"), env={"SUPERVISE_PROFILE": "short"}).code == 124


def test_the_command_sees_no_variable_that_chose_the_configuration(supervise: Place) -> None:
    named = supervise.file("named.toml")
    named.write_text("[profiles.x]\n")
    environ = {"SUPERVISE_CONFIG": str(named), "SUPERVISE_PROFILE": "x", "SUPERVISE_OTHER": "y"}
    ended = call(supervise, "--", "env", env=environ)
    names = {line.partition("=")[0] for line in ended.out.decode().splitlines()}
    assert names & {*environ} == {"SUPERVISE_OTHER"}


def test_no_configuration_is_read_from_the_current_folder(supervise: Place) -> None:
    for name in ("config.toml", "supervise.toml", ".supervise.toml", "supervise/config.toml", ".config/supervise/x"):
        path = supervise.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("nonsense = true")
    for environ in ({"XDG_CONFIG_HOME": "."}, {"XDG_CONFIG_HOME": ""}, {"HOME": "."}, {"HOME": ""}):
        assert call(supervise, "--", "true", env=environ).code == 0


# --- wrong files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# x\nidle-timout = 5", "{file}:2: no such option 'idle-timout'; did you mean idle-timeout?"),
        ("timeout = true", "{file}:1: timeout: got true, takes a duration "),
        ("\ntimeout = '5x'", "{file}:2: timeout: got '5x', takes a duration "),
        ("timeout =", "{file}:1: not TOML: invalid value"),
        ("a\n", "{file}:1: not TOML: "),
    ],
)
def test_a_wrong_configuration_refuses_the_run(supervise: Place, file: Path, text: str, said: str) -> None:
    file.write_text(text)
    assert refused(supervise).startswith("supervise: " + said.format(file=file))
    assert refused(supervise, "--timeout", "30").startswith("supervise: " + said.format(file=file))
    # A call that names another configuration does not read this one.
    assert call(supervise, "--config", "/dev/null", "--", "true").code == 0


def test_an_unreadable_configuration_refuses_the_run(supervise: Place, file: Path) -> None:
    said = refused(supervise, "--config", "no.toml")
    assert said == "supervise: no.toml: cannot read it: no such file or directory\n"
    assert refused(supervise, env={"SUPERVISE_CONFIG": "no.toml"}) == said
    assert refused(supervise, "--config", ".") == "supervise: .: is a directory, takes a file of TOML\n"
    assert "--config: got '--'" in call(supervise, "--config", "--", "true").err.decode()
    file.mkdir()
    assert refused(supervise) == f"supervise: {file}: is a directory, takes a file of TOML\n"
    file.rmdir()
    file.symlink_to("nowhere")
    assert call(supervise, "--", "true").code == 0
    file.unlink()
    file.symlink_to(file.name)
    assert "too many levels of symbolic links" in refused(supervise)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_a_configuration_without_permission_refuses_the_run(supervise: Place) -> None:
    if supervise.popen([*AS_ANOTHER_USER, str(supervise.program), "--", "true"]).wait().code:
        pytest.skip("the program is installed where only root may run it")
    with tempfile.TemporaryDirectory() as folder:
        # Within the test's own folder they may look at nothing.
        file = Path(folder) / "supervise" / "config.toml"
        file.parent.mkdir()
        file.write_text("")
        file.chmod(0o600)
        Path(folder).chmod(0o755)
        words = [*AS_ANOTHER_USER, str(supervise.program), "--", "echo", "started"]
        environ = {"XDG_CONFIG_HOME": folder}
        is_refused(supervise.popen(words, env=environ).wait(), f"{file}: cannot read it: permission denied")
        # In the home of another user, which may not be entered, there is no configuration.
        Path(folder).chmod(0o700)
        assert supervise.popen(words, env=environ).wait().out == b"started\n"


@pytest.mark.parametrize("source", ["--profile", "SUPERVISE_PROFILE"])
def test_an_unknown_profile_is_refused(supervise: Place, file: Path, source: str) -> None:
    words, environ = (["--profile", "release"], {}) if source == "--profile" else ([], {source: "release"})
    expected = f"supervise: {source}: no profile 'release', as there is no configuration\n"
    assert refused(supervise, *words, env=environ) == expected
    file.write_text("[profiles.relase]")
    expected = f"supervise: {file}: no such profile 'release'; did you mean relase?\n"
    assert refused(supervise, *words, env=environ) == expected


# --- config show -----------------------------------------------------------------------------------------------------


def test_show_names_the_source_of_each_value(supervise: Place, file: Path) -> None:
    file.write_text(
        'timeout = "1h"\nidle-timeout = 5\n\n[profiles.ci]\nidle-timeout = 6\naccess-on = ["listen", "output"]'
    )
    environ = {"SUPERVISE_KILL_AFTER": "3s"}
    ended = call(supervise, "config", "show", "--profile", "ci", env=environ)
    assert (ended.code, ended.err) == (0, b"")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in ended.out.decode().splitlines()}
    assert " ".join(rows["timeout"].split()) == f"1h {file}:1"
    assert " ".join(rows["idle-timeout"].split()) == f"6 {file}:5 (profile ci)"
    assert " ".join(rows["access-on"].split()) == f"listen output {file}:6 (profile ci)"
    assert rows["kill-after"].split() == ["3s", "SUPERVISE_KILL_AFTER"]
    assert rows["signal"].split() == ["TERM", "default"]
    assert rows["report"].split() == ["-", "default"]
    assert rows["quiet"].split() == ["off", "default"]
    assert not {"config", "profile"} & set(rows)
    ended = call(supervise, "config", "show", "--json", env={**environ, "SUPERVISE_PROFILE": "ci"})
    told = json.loads(ended.out)
    assert told["file"] == str(file)
    found = {row.pop("option"): row for row in told["options"]}
    assert found["idle-timeout"] == {
        "value": "6",
        "from": f"{file}:5 (profile ci)",
        "file": str(file),
        "line": 5,
        "profile": "ci",
    }
    assert found["access-on"]["value"] == ["listen", "output"]
    assert found["report"] == {"value": None, "from": "default", "file": None, "line": None, "profile": None}


def test_show_refuses_what_a_run_would_refuse(supervise: Place, file: Path) -> None:
    is_refused(call(supervise, "config", "show", env={"SUPERVISE_TIMEOUT": "5x"}), "SUPERVISE_TIMEOUT: got '5x'")
    file.write_text("timeout = '5x'")
    is_refused(call(supervise, "config", "show"), f"{file}:1: timeout: got '5x'")
    is_refused(call(supervise, "config", "show", "--config", "no"), "no: cannot read it")


# --- config path, check ----------------------------------------------------------------------------------------------


def test_path_prints_the_file_that_a_run_would_read(supervise: Place) -> None:
    own = Path(supervise.environ["HOME"]) / ".config" / "supervise" / "config.toml"
    assert call(supervise, "config", "path").out.decode() == f"{own}\n"
    assert call(supervise, "config", "path", env={"XDG_CONFIG_HOME": "/x"}).out == b"/x/supervise/config.toml\n"
    assert call(supervise, "config", "path", env={"SUPERVISE_CONFIG": "y"}).out == b"y\n"
    assert call(supervise, "config", "path", "--config", "z", env={"SUPERVISE_CONFIG": "y"}).out == b"z\n"


def test_check_reports_all_errors(supervise: Place, file: Path) -> None:
    assert call(supervise, "config", "check").out.decode() == f"{file}: does not exist\n"
    file.write_text("timeout = 5\n")
    assert call(supervise, "config", "check").out.decode() == f"{file}: no errors\n"
    file.write_text("timeot = 5\n[profiles.a]\nquiet = 'x'\n[profiles.b]\nkill-after = 'off'\n")
    ended = call(supervise, "config", "check")
    assert (ended.code, ended.out) == (125, b"")
    assert [message.partition(", takes")[0] for message in ended.messages] == [
        f"{file}:1: no such option 'timeot'; did you mean timeout?",
        f"{file}:3: quiet: got 'x'",
        f"{file}:5: kill-after: got 'off'",
    ]
    file.write_text("timeout = ")
    is_refused(call(supervise, "config", "check"), f"{file}:1: not TOML: invalid value")
    is_refused(call(supervise, "config", "check", "--config", "no"), "no: cannot read it")


# --- config set ------------------------------------------------------------------------------------------------------


def test_set_makes_the_file_and_keeps_other_settings(supervise: Place) -> None:
    file = Path(call(supervise, "config", "path").out.decode().strip())
    for words in (
        ["timeout", "1h"],
        ["kill-after", "5"],
        ["quiet", "yes"],
        ["--profile", "ci", "warn-at", "5m,60"],
        ["verbose", "off", "--profile", "ci"],
        ["completion-timeout", "2h", "--profile", "ci"],
        ["--profile=ci", "access-on", "listen\nmatch=a,b"],
        ["--", "--signal", "INT"],
    ):
        ended = call(supervise, "config", "set", *words)
        assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    assert tomllib.loads(file.read_text()) == {
        "timeout": "1h",
        "kill-after": 5,
        "quiet": True,
        "signal": "INT",
        "profiles": {
            "ci": {"warn-at": "5m,60", "verbose": False, "timeout": "2h", "access-on": ["listen", "match=a,b"]}
        },
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(file.parent) == [file.name]
    assert call(supervise, "config", "show", "--profile", "ci").code == 0


def test_set_refuses_what_a_run_would_refuse(supervise: Place, file: Path) -> None:
    words = ("config", "set")
    is_refused(call(supervise, *words, "timout", "5"), "no such option 'timout'; did you mean timeout?")
    is_refused(call(supervise, *words, "timeout", "5x"), "timeout: got '5x', takes a duration ")
    is_refused(call(supervise, *words, "profile", "x"), "profile: can be given on the command line only")
    is_refused(call(supervise, *words, "report", "\udcff"), "report: got '\\udcff', which is not UTF-8")
    is_refused(call(supervise, *words, "quiet", "yes", "--config", "/dev/null"), "/dev/null: is not a regular file")
    assert not file.exists()
    for wrong in ("a = ", "timeot = 5", "profiles = 3"):
        file.write_text(wrong)
        is_refused(call(supervise, *words, "timeout", "5", "--profile", "x"))
        assert file.read_text() == wrong


def test_set_warns_that_comments_are_lost(supervise: Place, file: Path) -> None:
    file.write_text("report = '#x'\n")
    assert call(supervise, "config", "set", "timeout", "5").err == b""
    file.write_text("report = '#x' # y\ntimeout = 5")
    assert call(supervise, "config", "set", "timeout", "6").messages == [f"the comments in {file} are lost"]
    assert tomllib.loads(file.read_text()) == {"report": "#x", "timeout": 6}


def test_set_writes_through_a_link_and_keeps_the_mode(supervise: Place, file: Path) -> None:
    real = supervise.file("dotfiles.toml")
    real.write_text("quiet = true\n")
    real.chmod(0o644)
    file.symlink_to(real)
    assert call(supervise, "config", "set", "timeout", "5").code == 0
    assert file.is_symlink()
    assert tomllib.loads(real.read_text()) == {"quiet": True, "timeout": 5}
    assert real.stat().st_mode & 0o777 == 0o644


def test_no_setting_is_lost_where_many_set_at_once(supervise: Place, file: Path) -> None:
    names = ("timeout", "idle-timeout", "access-timeout", "kill-after", "drain", "extend-by")
    with ThreadPoolExecutor(3) as pool:
        running = [supervise.start("config", "set", name, "5", report=False) for name in names]
        assert [ended.code for ended in pool.map(lambda one: one.wait(), running)] == [0] * len(names)
    assert tomllib.loads(file.read_text()) == dict.fromkeys(names, 5)


def test_set_refuses_a_file_that_cannot_be_written(supervise: Place, file: Path) -> None:
    is_refused(call(supervise, "config", "set", "timeout", "5", "--config", "/proc/x/config.toml"), "config set: ")


# --- config alone ----------------------------------------------------------------------------------------------------


def test_config_names_its_commands(supervise: Place) -> None:
    is_refused(call(supervise, "config"), "config: takes one of show, set, path, check")
    is_refused(call(supervise, "config", "get"), "config: takes one of show, set, path, check, got get")
    assert b"check" in call(supervise, "config", "--help").out
