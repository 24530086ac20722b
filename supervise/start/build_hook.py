"""A step of hatchling's build that adds the program to the wheel: the native start where it compiles, or the script."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parent
FLAGS = (
    "-O2", "-Wall", "-Wextra", "-s", "-static", "-no-pie", "-fno-pic",
    # No C library, and nothing that calls one.
    "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns",
    # One page of the file for all of it.
    "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,noseparate-code",
)  # fmt: skip
COMPILE_SECONDS = 60.0
WITHOUT_SCRIPT = b"supervise: cannot open "
"""How the message of a native start begins that has no script beside it."""


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]  # this hook needs no options
    """Adds `supervise`, and `supervise-python` beside it where `supervise` is the native start (see native.c)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the scripts of the wheel; `version` is `standard` or `editable`."""
        self.folder = tempfile.mkdtemp(prefix="supervise-build-")
        script = Path(self.folder, "script")
        script.write_text(script_text(self.root if version == "editable" else None))
        script.chmod(0o755)
        native = Path(self.folder, "native")
        if is_compiled(native):
            build_data["shared_scripts"] |= {str(native): "supervise", str(script): "supervise-python"}
            # The file of machine code needs this kernel and processor, and no library.
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        else:
            build_data["shared_scripts"][str(script)] = "supervise"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the files of this build; they are in the wheel."""
        shutil.rmtree(self.folder, ignore_errors=True)


def script_text(checkout: str | None) -> str:
    """Return the script as it is in the wheel; `checkout` is the folder that an editable wheel refers to."""
    text = (SOURCES / "script").read_text()
    return text.replace("CHECKOUT = None\n", f"CHECKOUT = {checkout!r}\n", 1)


def is_compiled(target: Path) -> bool:
    """Compile the native start into `target`; return whether it is there, and works on this machine."""
    if not sys.platform.startswith("linux"):
        return False
    words = [*shlex.split(os.environ.get("CC") or "cc"), *FLAGS, "-o", str(target), str(SOURCES / "native.c")]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=COMPILE_SECONDS)
        # Alone it says that there is no script, which shows that this machine can execute it.
        alone = subprocess.run([target], capture_output=True, timeout=COMPILE_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return alone.stderr.startswith(WITHOUT_SCRIPT)
