"""The one table of exit codes: no other module has an exit code as a bare number."""

import ast
import re
from pathlib import Path

import supervise
from supervise.commands.help_page import EPILOG
from supervise.commands.subcommands import SUBCOMMANDS
from supervise.core.exit_codes import ExitCode
from supervise.options.table import OPTIONS
from supervise.pages.code_list import EXIT_CODES

PACKAGE = Path(supervise.__file__).parent
OWN = {one.value for one in ExitCode} - {ExitCode.SIGNALED}
"""128 is also a size and a length of a queue."""


def test_the_codes_of_the_fast_path_are_those_of_the_table() -> None:
    assert supervise.EXIT_TRY_AGAIN == ExitCode.TRY_AGAIN
    assert supervise.EXIT_GOES_ON == ExitCode.GOES_ON
    assert supervise.EXIT_ERROR == ExitCode.ERROR
    assert supervise.EXIT_SIGNALED == ExitCode.SIGNALED


def test_no_other_module_has_an_exit_code_as_a_bare_number() -> None:
    allowed = {PACKAGE / "__init__.py", PACKAGE / "core" / "exit_codes.py"}
    bare = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in OWN
    ]
    assert bare == []


def test_each_code_has_words_and_a_sentence() -> None:
    for code in ExitCode:
        assert re.fullmatch(r"[^.;]+", code.words)
        assert re.fullmatch(r"[A-Z].*\.", code.sentence)
        assert f"{code.shown} {code.words}" in " ".join(EPILOG)
        assert code.shown in {row[0] for row in EXIT_CODES}


def test_the_numbers_in_the_help_are_codes_of_the_table() -> None:
    texts = [option.help for option in OPTIONS] + [f"{row.help} {row.about}" for row in SUBCOMMANDS]
    named = re.findall(r"Stop \((\d+)\)|resumable \((\d+)\)|exit with (\d+)|code is (\d+)", " ".join(texts))
    numbers = {int(digits) for groups in named for digits in groups if digits}
    assert numbers >= {ExitCode.ACCESS_TIMEOUT, ExitCode.ERROR, ExitCode.TRY_AGAIN}
    # 1 is the answer no of a subcommand such as collect or doctor, and no end of a run.
    assert numbers <= OWN | {0, 1}
    for limit in ("access", "idle", "completion"):
        code = ExitCode[f"{limit.upper()}_TIMEOUT"]
        name = "timeout" if limit == "completion" else f"{limit}-timeout"
        [option] = [one for one in OPTIONS if one.name == name]
        assert f"Stop ({code:d}) " in option.help
