"""A user who swaps links, FIFOs, files and folders in every shared folder while root and another user run commands.

No file outside of those folders is changed or read, that user learns nothing about the runs, and a run is disturbed by
at most one clear refusal.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.users import ALICE, BOB, ROOT, Users, alive
from tests.torture import planter

ATTACK_SECONDS = float(os.environ.get("SUPERVISE_ATTACK_SECONDS", "60"))
RUNS = 500
MARK = "the-mark-of-a-secret"
HANG_SECONDS = 30.0
"""Seconds after which a run is taken to hang."""


KINDS = (
    "report", "log", "events", "lock", "lock file", "name", "all", "home", "recover", "prune", "relative", "killed",
    "ps", "show", "logs", "wait",
)  # fmt: skip


QUESTIONS = {
    "recover": ["recover"],
    "prune": ["prune"],
    "ps": ["ps", "--all"],
    "show": ["show", planter.LOST],
    "logs": ["logs", planter.LOST],
    "wait": ["wait", planter.LOST],
}
"""Commands that read the records of a shared HOME."""


class Victim(threading.Thread):
    """One of the two users, and the results of their runs."""

    def __init__(self, users: Users, uid: int, folders: list[Path], number: int, until: float) -> None:
        super().__init__()
        self.users = users
        self.uid = uid
        self.folders = folders
        self.number = number
        self.until = until
        self.went: dict[str, int] = {}
        self.wrong: list[str] = []
        self.began: list[float] = []

    def run(self) -> None:
        began = time.monotonic()
        for turn in range(self.number):
            # The runs are spread over the time of the attack.
            due = began + (self.until - began) * turn / self.number
            time.sleep(max(0.0, due - time.monotonic()))
            self.one(turn)

    def one(self, turn: int) -> None:
        folder = self.folders[turn % len(self.folders)]
        name = str(folder / ("sub/" if turn % 7 == 0 else "")) + "/"
        kind = KINDS[turn % len(KINDS)]
        env = {"HOME": str(folder if kind in ("home", *QUESTIONS) else self.users.home(self.uid))}
        options = {
            "report": ["--no-record", "--report", f"{name}run.json"],
            "log": ["--no-record", "--log", f"{name}log"],
            "events": ["--no-record", "--events", f"{name}events"],
            "lock": ["--no-record", "--lock", f"planted-{self.uid}"],
            "killed": ["--no-record", "-k", "0", "--report", f"{name}run.json", "--events", f"{name}events"],
            "lock file": ["--no-record", "--lock", f"{name}lock"],
            "name": ["--name", "planted"],
            "all": ["--report", f"{name}run.json", "--log", f"{name}log", "--events", f"{name}events"],
            "relative": ["--no-record", "--report", "run.json", "--log", "./log"],
        }.get(kind, [])
        words = ["run", *options, "--", "echo", MARK]
        if kind in QUESTIONS:
            words = QUESTIONS[kind]
        elif kind == "killed":
            words[-2:] = ["sh", "-c", f"echo {MARK}; sleep 1000"]
        script = 'umask 077; exec "$@"'
        try:
            process = self.users.popen(
                self.uid, "/bin/sh", "-c", script, "sh", str(self.users.program), *words, env=env, cwd=str(folder)
            )
            with process:
                if kind == "killed":
                    assert process.stdout
                    process.stdout.readline()
                    process.kill()
                out, err = (data.decode() for data in process.communicate(timeout=HANG_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
            self.wrong.append(f"{kind}: hangs")
            return
        told = err.splitlines()
        is_plain = all(line.startswith("supervise: ") for line in told)
        if not is_plain:
            self.wrong.append(f"{kind}: {process.returncode} {err}")
        elif kind == "killed":
            self.note(f"killed {process.returncode}", is_right=process.returncode in (-9, 125), what=out + err)
        elif kind in QUESTIONS:
            # With a shared HOME the user may have no records at all.
            is_right = process.returncode in (0, 1, 125) and len(told) <= 1 and "run again" not in out
            self.note(f"{kind} {process.returncode}", is_right=is_right, what=out + err)
        elif process.returncode == 75:
            # Another user may hold a lock that several users share.
            self.note(f"{kind} busy", is_right=kind == "lock file" and "busy: " in err and len(told) == 1, what=err)
        elif process.returncode == 125:
            # There is one line for each file that is refused, such as the log and the report.
            most = 2 if kind in ("all", "relative") and "--report: cannot write" in told[-1] else 1
            self.note(f"{kind} refused", is_right=out == "" and 1 <= len(told) <= most, what=out + err)
        else:
            is_right = process.returncode == 0 and out == MARK + "\n" and len(told) <= 2
            self.note(f"{kind} ran{', told' * bool(told)}", is_right=is_right, what=out + err)

    def note(self, how: str, *, is_right: bool, what: str) -> None:
        self.went[how] = self.went.get(how, 0) + 1
        if not is_right:
            self.wrong.append(f"{how}: {what}")


def content_of(folder: Path) -> dict[str, object]:
    """Return mode, owner, number of links and text of each file in the folder."""
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.lstat().st_nlink,
            path.is_file() and path.read_text(),
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


@pytest.mark.slow
def test_files_planted_all_the_time_disturb_no_run(users: Users, roots_records: None) -> None:
    folders = [users.shared("sticky"), users.shared("open", 0o777), users.shared("alices", owner=ALICE)]
    ran = users.folder / "ran"
    ran.touch()
    ran.chmod(0o666)
    secrets = []
    for uid in (ROOT, ALICE):
        # The attacker may read here, and write nothing.
        place = users.folder / f"secrets-{uid}"
        place.mkdir(0o755)
        (place / "file").write_text("kept")
        (place / "folder").mkdir(0o755)
        (place / "folder/run.json").write_text("kept")
        for path in (place, *place.rglob("*")):
            os.chown(path, uid, uid)
        secrets += [str(place / "file"), str(place / "new"), str(place), str(place / "folder")]
    before = [content_of(users.folder / f"secrets-{uid}") for uid in (ROOT, ALICE)]
    with users.popen(ALICE, "sleep", "1000") as bystander:
        started = Path(f"/proc/{bystander.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        words = (
            str(ATTACK_SECONDS + 600),
            json.dumps([str(one) for one in folders]),
            json.dumps(secrets),
            MARK,
            str(ran),
        )
        attacker = users.popen(
            BOB, str(users.python), "-I", "-c", Path(planter.__file__).read_text(), *words,
            f"{bystander.pid} {started}", stdin=subprocess.PIPE,
        )  # fmt: skip
        until = time.monotonic() + ATTACK_SECONDS
        victims = [Victim(users, uid, folders, RUNS // 2, until) for uid in (ROOT, ALICE)]
        for victim in victims:
            victim.start()
        while any(victim.is_alive() for victim in victims):
            time.sleep(0.25)
            for folder in folders:
                # A file that a victim made first would stay, and end the attack on that name.
                for path in (*folder.glob("*"), folder / ".config", folder / ".local"):
                    try:
                        is_theirs = path.lstat().st_uid in (ROOT, ALICE)
                    except FileNotFoundError:
                        continue
                    if is_theirs and path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=True)
                    elif is_theirs:
                        # The attacker may have put a folder in its place.
                        with suppress(OSError):
                            path.unlink()
        for victim in victims:
            victim.join()
        out, err = attacker.communicate(timeout=HANG_SECONDS)
        assert attacker.returncode == 0, err
        told = json.loads(out)
        print(told["done"], *(victim.went for victim in victims), sep="\n")
        assert bystander.poll() is None, "a forged record had it killed"
        bystander.kill()
    for path in Path("/run/lock").glob("supervise-*/planted-*.lock"):
        path.unlink()
    assert [content_of(users.folder / f"secrets-{uid}") for uid in (ROOT, ALICE)] == before
    assert (told["fifos"], told["files"]) == (False, [])
    assert {*ran.read_text().split()} <= {str(BOB)}
    for victim in victims:
        assert not victim.wrong, "\n".join(victim.wrong)
        assert sum(victim.went.values()) == RUNS // 2
        assert any("refused" in how for how in victim.went), "the attack hit no run"
        assert any("ran" in how for how in victim.went), "no run went on"
    left = [path for folder in folders for path in folder.rglob(".supervise-*") if path.lstat().st_uid in (ROOT, ALICE)]
    assert left == []
    assert not alive()
