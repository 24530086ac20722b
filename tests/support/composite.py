"""A composite action as GitHub's runner runs it: its steps in turn, with the runner's files and contexts."""

import re
from pathlib import Path
from typing import Any

from tests.support.ci_schemas import read_yaml
from tests.support.github_runner import outputs
from tests.support.harness import Ended, Place, Running

BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
"""What runs the file of a step with `shell: bash` (actions/runner, ScriptHandlerHelpers.cs)."""
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


class Action:
    """One use of an action in a job, with the inputs of `with` and the variables of the job."""

    def __init__(self, folder: Path, place: Place, inputs: dict[str, str], variables: dict[str, str]) -> None:
        self.file = read_yaml((folder / "action.yml").read_text())
        self._folder = folder
        self._place = place
        unknown = {*inputs} - {*self.file["inputs"]}
        assert not unknown, unknown
        given = {name: str(one.get("default", "")) for name, one in self.file["inputs"].items()}
        self._contexts: dict[str, Any] = {"inputs": given | inputs, "env": dict(variables), "steps": {}}

    @property
    def outputs(self) -> dict[str, str]:
        return {name: self._filled(one["value"]) for name, one in self.file["outputs"].items()}

    @property
    def summary(self) -> str:
        return self._file("summary-run").read_text()

    def assume(self, step: str, **values: str) -> None:
        """Take the step for done, with these outputs."""
        self._contexts["steps"][step] = {"outputs": values}

    def start(self, step: str) -> Running:
        """Start the step of that id; its stdout and stderr are two pipes, as the runner has them."""
        (found,) = (one for one in self.file["runs"]["steps"] if one["id"] == step)
        assert found["shell"] == "bash"
        script = self._file(f"script-{step}")
        script.write_text(found["run"])
        temporary = self._file("runner-temp")
        temporary.mkdir(exist_ok=True)
        files = {"GITHUB_OUTPUT": f"output-{step}", "GITHUB_STEP_SUMMARY": f"summary-{step}", "GITHUB_PATH": "path"}
        for name in files.values():
            self._file(name).touch()
        # Of the folders that earlier steps have added, the last stands first.
        added = self._file("path").read_text().splitlines()
        env = {
            "PATH": ":".join([*reversed(added), self._place.environ["PATH"]]),
            **self._contexts["env"],
            **{name: self._filled(text) for name, text in found.get("env", {}).items()},
            **{name: str(self._file(file)) for name, file in files.items()},
            "GITHUB_ACTION_PATH": str(self._folder),
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(temporary),
        }
        folder = self._place.folder / self._filled(found.get("working-directory", ""))
        return self._place.popen([*BASH, str(script)], env=env, cwd=folder)

    def finish(self, step: str, running: Running, bound: float = 40.0) -> Ended:
        """Wait for the step, and take its outputs."""
        ended = running.wait(bound)
        self.assume(step, **outputs(self._file(f"output-{step}")))
        assert ended.left == []
        return ended

    def _file(self, name: str) -> Path:
        return self._place.file(name)

    def _filled(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        """Return the first value of `a.b || c.d` that is not empty; a name that is not known has an empty one."""
        for term in expression.split("||"):
            value: Any = self._contexts
            for name in term.strip().split("."):
                value = value.get(name, "") if isinstance(value, dict) else ""
            if value:
                return str(value)
        return ""
