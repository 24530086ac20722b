"""The parts of the GitHub Action that are made from the tables: the inputs of the options, the outputs of the values.

A step hands an input to supervise as the environment variable of the option, since a value that stands in the text of a
shell script would be run.  An input that is not given leaves a variable of the workflow as it is.
"""

import json

from supervise.faces.github import OUTPUTS
from supervise.options.table import OPTIONS, Option

LEFT_OUT = ("detach", "detach-after", "detach-after-idle", "json", "live")
"""Options without an input: the step waits for its run, and a job has no terminal."""


def parts() -> dict[str, str]:
    """Return the parts of the template by name."""
    options = [option for option in OPTIONS if option.name not in LEFT_OUT]
    return {
        "INPUTS": "\n".join(f"  {option.name}:\n    description: {_description(option)}" for option in options),
        "OUTPUTS": "\n".join(
            f"  {name}:\n    description: {json.dumps(text)}\n    value: ${{{{ steps.run.outputs.{name} }}}}"
            for name, text in OUTPUTS.items()
        ),
        "VARIABLES": "\n".join(
            f"        {option.variables[0]}: ${{{{ inputs.{option.name} || env.{option.variables[0]} }}}}"
            for option in options
        ),
    }


def _description(option: Option) -> str:
    """Return the help of the option with the form of its value, as a string of JSON, which is one of YAML, too."""
    form = "true or false" if option.is_flag else option.metavar
    form += ", one a line" if option.is_repeatable else ""
    words = f" One of {', '.join(option.choices)}." if option.kind == "choice" else ""
    default = f" The default is {option.default}." if option.default else ""
    return json.dumps(f"{form}: {option.help}{words}{default}")
