"""The GitHub Action in .github/actions/supervise: its steps run as the runner runs them, and its file is valid."""

import re
from pathlib import Path

import pytest

from supervise.options.table import OPTIONS
from supervise.pages.github_action import LEFT_OUT
from tests.support import ci_schemas
from tests.support.composite import Action
from tests.support.github_runner import Runner
from tests.support.harness import Place

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/actions/supervise"
HOSTILE = "a'\"`touch pwned`$(touch pwned)${{ x }}\\ ;touch pwned\n::error::b %0A,c:d ##[error]e\nEOF\n"


def action_of(supervise: Place, variables: dict[str, str] | None = None, **inputs: str) -> Action:
    """Return the action with supervise installed; an input's dashes are underlines here."""
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    action = Action(FOLDER, supervise, given, variables or {})
    action.assume("install", program=str(supervise.program))
    return action


def run(action: Action) -> tuple[int, str]:
    """Run the step with the command; return its exit code and its output, which is all on stdout."""
    ended = action.finish("run", action.start("run"))
    assert ended.err == b""
    return ended.code, ended.out.decode(errors="replace")


def test_the_file_is_valid() -> None:
    ci_schemas.check("github-actions", ci_schemas.read_yaml((FOLDER / "action.yml").read_text()))


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_the_workflows_are_valid(path: Path) -> None:
    ci_schemas.check("github-workflows", ci_schemas.read_yaml(path.read_text()))


def test_each_option_is_an_input_and_a_variable_of_the_step() -> None:
    file = ci_schemas.read_yaml((FOLDER / "action.yml").read_text())
    install, step = file["runs"]["steps"]
    names = [option.name for option in OPTIONS if option.name not in LEFT_OUT]
    assert [*file["inputs"]] == ["command", "working-directory", "from", "python", *names]
    assert {option.variables[0] for option in OPTIONS if option.name not in LEFT_OUT} <= {*step["env"]}
    # A script with an expression would run what the value of an input says.
    assert "${{" not in install["run"] + step["run"]


@pytest.mark.slow
def test_the_action_installs_supervise_and_runs_a_command(supervise: Place) -> None:
    script = "echo one\necho two >&2\n\nif true; then\n  echo three\nfi\n"
    action = Action(FOLDER, supervise, {"command": script, "timeout": "1m"}, {})
    assert action.finish("install", action.start("install"), 300).code == 0
    assert run(action) == (0, "one\ntwo\nthree\n")
    assert (action.outputs["outcome"], action.outputs["exit_code"], action.outputs["attempts"]) == (
        "completed",
        "0",
        "1",
    )
    assert re.fullmatch(r"\d+\.\d+", action.outputs["duration"])
    assert "### supervise" in action.summary
    action = Action(FOLDER, supervise, {"command": "supervise left; type -P supervise python3"}, {})
    again = action.finish("install", action.start("install"))
    # A second use of the action in a job installs nothing.
    assert (again.code, again.out) == (0, b"")
    code, out = run(action)
    left, program, python = out.splitlines()
    assert (code, left) == (0, "infinity infinity")
    assert Path(program).parent.name == "path"
    assert Path(python).parent != Path(program).parent, "the Python of the job stays"


def test_a_package_without_the_program_is_refused(supervise: Place) -> None:
    action = Action(FOLDER, supervise, {"command": "true", "from": "./no-such-folder"}, {})
    assert action.finish("install", action.start("install"), 120).code != 0
    assert action.outputs == dict.fromkeys(action.outputs, "")


def test_the_command_fails_at_its_first_error(supervise: Place) -> None:
    action = action_of(supervise, command="false | true\necho no")
    assert run(action) == (1, "")
    assert action.outputs["outcome"] == "failed"


def test_a_command_that_looks_like_an_option(supervise: Place) -> None:
    assert run(action_of(supervise, command="--version"))[0] == 127


def test_a_limit_ends_the_step(supervise: Place) -> None:
    action = action_of(supervise, command="echo ::error::x\nsleep 60", timeout="0.5", name="nightly", ci_fence="true")
    code, out = run(action)
    assert (code, action.outputs["timeout_cause"]) == (124, "completion")
    assert Runner().read(out.encode()).annotations == [("error", "completion timeout (supervise)")]
    assert "### supervise: nightly\n" in action.summary


def test_a_hostile_command_is_run_by_bash_and_by_nothing_else(supervise: Place) -> None:
    supervise.file("text").write_text(HOSTILE)
    script = "cat <<'END OF TEXT'\n" + HOSTILE + "END OF TEXT\n"
    code, out = run(action_of(supervise, command=script))
    assert (code, out) == (0, HOSTILE)
    assert not supervise.file("pwned").exists()


@pytest.mark.parametrize("name", ["timeout", "name", "report", "redact", "verbose", "access_on", "success_codes"])
def test_a_hostile_input_is_a_value_and_no_script(supervise: Place, name: str) -> None:
    action = action_of(supervise, command="echo ran", **{name: HOSTILE})
    code, out = run(action)
    assert not supervise.file("pwned").exists()
    assert code in (0, 125)
    assert (code == 0) == ("ran\n" in out)
    assert {kind for kind, _ in Runner().read(out.encode()).annotations} <= {"error"}


def test_the_command_sees_no_input(supervise: Place) -> None:
    action = action_of(supervise, command="env | grep ^SUPERVISE_ | cut -d= -f1 | sort", timeout="1m", kill_after="3s")
    assert run(action) == (0, "SUPERVISE_ATTEMPT\nSUPERVISE_DEADLINE\nSUPERVISE_RUN_ID\n")


def test_flags_and_lists(supervise: Place) -> None:
    inputs = {"verbose": "true", "no_record": "false", "access_on": "match=^x\nmatch=^ran\n", "access_timeout": "20s"}
    code, out = run(action_of(supervise, command="echo ran", **inputs))
    assert code == 0
    assert "match=^ran" in out
    code, out = run(action_of(supervise, command="echo ran", verbose="perhaps"))
    assert (code, "SUPERVISE_VERBOSE" in out) == (125, True)


def test_an_input_that_is_not_given_leaves_the_variable_of_the_workflow(supervise: Place) -> None:
    variables = {"SUPERVISE_TIMEOUT": "0.5", "SUPERVISE_KILL_AFTER": "1s"}
    assert run(action_of(supervise, variables, command="sleep 60"))[0] == 124
    assert run(action_of(supervise, variables, command="sleep 0.8", timeout="30s"))[0] == 0


def test_the_folder_of_the_command(supervise: Place) -> None:
    supervise.file("a b").mkdir()
    assert run(action_of(supervise, command='basename "$PWD"', working_directory="a b")) == (0, "a b\n")
