"""A user who plants files in the way of another user's supervise, as fast as possible.

    python planter.py SECONDS FOLDERS_JSON SECRETS_JSON MARK

In each of the folders the program makes, swaps and removes links to the secrets, FIFOs (which it reads), files, other
names of files, and folders with the same in them, under the names that the runs use.  It prints one JSON object: how
often each was made, and where the program could read the mark.
"""

import contextlib
import json
import os
import random
import select
import shutil
import sys
import time

NAMES = ("run.json", "log", "events", "lock", "sub", ".config", ".local", "home")
CONFIG = 'access-timeout = "20s"\naccess-on = ["output", "command=id -u >>{}"]\n'
LOST = "20261124-200139-123456abcd"


class Planter:
    """The attacker, with counters of the acts and the data that it could read."""

    def __init__(self, folders: list[str], secrets: list[str], ran: str, victim: str) -> None:
        self.folders = folders
        self.secrets = secrets
        self.ran = ran
        self.victim = victim
        self.done: dict[str, int] = {}
        self.read = b""
        self.moved = 0
        self.fifos: dict[int, None] = {}
        os.umask(0)

    def act(self) -> None:
        """Carry out one act."""
        folder = random.choice(self.folders)
        names = [*NAMES]
        with contextlib.suppress(OSError):
            # The temporary file that a run makes beside its report is a target, too.
            names += os.listdir(folder)
        path = f"{folder}/{random.choice(names)}"
        if random.random() < 0.2:
            path += f"/{random.choice(NAMES)}"
        kinds = (self.link, self.link, self.file, self.fifo, self.hard_link, self.folder, self.config, self.state)
        make = random.choice(kinds)
        aside = f"{folder}/.aside-{random.randrange(100)}"
        try:
            if random.random() < 0.5:
                # The rename replaces any file in one step.
                make(aside)
                os.rename(aside, path)
            else:
                self.remove(path)
                make(path)
        except OSError:
            self.remove(aside)
            return
        self.done[make.__name__] = self.done.get(make.__name__, 0) + 1

    def remove(self, path: str) -> None:
        """Move the file away where that is allowed, and remove it where it belongs to this user."""
        self.moved += 1
        away = f"{os.path.dirname(path)}/.moved-{self.moved}"
        with contextlib.suppress(OSError):
            os.rename(path, away)
            if os.path.isdir(away) and not os.path.islink(away):
                shutil.rmtree(away, ignore_errors=True)
            else:
                os.unlink(away)

    def clear(self) -> None:
        """Remove the files under the names that the runs use."""
        for folder in self.folders:
            for name in NAMES:
                self.remove(f"{folder}/{name}")

    def link(self, path: str) -> None:
        os.symlink(random.choice(self.secrets), path)

    def file(self, path: str) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))

    def fifo(self, path: str) -> None:
        os.mkfifo(path, 0o666)
        self.fifos[os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)] = None
        if len(self.fifos) > 200:
            self.look()
            os.close(self.fifos.popitem()[0])

    def hard_link(self, path: str) -> None:
        os.link(random.choice(self.secrets), path)

    def folder(self, path: str) -> None:
        os.mkdir(path, random.choice((0o755, 0o777, 0o1777)))
        for name in random.sample(NAMES, 2):
            random.choice((self.link, self.file, self.fifo))(f"{path}/{name}")

    def config(self, path: str) -> None:
        """Plant a configuration that would run a command; the path is the folder `.config`."""
        os.makedirs(f"{path}/supervise")
        with open(f"{path}/supervise/config.toml", "w") as file:
            file.write(CONFIG.format(self.ran))

    def state(self, path: str) -> None:
        """Plant a lost run with a rerun, whose process is another user's; the path is the folder `.local`."""
        state = f"{path}/state/supervise"
        os.makedirs(f"{state}/runs/{LOST}")
        os.makedirs(f"{state}/live")
        os.makedirs(f"{state}/names")
        open(f"{state}/live/{LOST}", "w").close()
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        with open(f"{state}/runs/{LOST}/run.toml", "w") as file:
            file.write(
                f'run_id = "{LOST}"\ncommand = ["sh", "-c", "id -u >>{self.ran}"]\ncwd = "/"\n'
                f'host = "{os.uname().nodename}"\nboot_id = "{boot}"\n'
                '[options]\non-interrupt = "rerun"\nkill-after = "0"\n'
            )
        with open(f"{state}/runs/{LOST}/roots", "w") as file:
            file.write(self.victim + "\n")
        os.utime(f"{state}/runs/{LOST}/run.toml", (0, 0))
        for name in ("run.toml", "lock", "roots", "output", "events.jsonl", "end.json"):
            if random.random() < 0.15:
                odd = f"{state}/runs/{LOST}/{name}"
                self.remove(odd)
                random.choice((self.link, self.fifo, self.hard_link))(odd)
        if random.random() < 0.1:
            os.symlink(random.choice(self.secrets), f"{state}/runs/20261124-200140-123456abcd")

    def look(self) -> None:
        """Read the FIFOs."""
        poll = select.poll()
        for fd in self.fifos:
            poll.register(fd, select.POLLIN)
        for fd, events in poll.poll(0):
            if events & select.POLLIN:
                self.read += os.read(fd, 1 << 16)

    def files(self, mark: bytes) -> list[str]:
        """Return the files in the folders and below that this user can read and that have the mark."""
        found = []
        for folder in self.folders:
            for at, _, names in os.walk(folder):
                for name in names:
                    with contextlib.suppress(OSError):
                        fd = os.open(f"{at}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                        with open(fd, "rb") as file:
                            found += [f"{at}/{name}"] if mark in file.read(1 << 20) else []
        return found


def main() -> None:
    """Plant until stdin ends, or the time is over."""
    seconds, folders, secrets, mark, ran, victim = sys.argv[1:]
    planter = Planter(json.loads(folders), json.loads(secrets), ran, victim)
    random.seed(1)
    until = time.monotonic() + float(seconds)
    leaked: set[str] = set()
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    turns = 0
    while time.monotonic() < until and not poll.poll(0):
        for _ in range(random.randrange(50)):
            planter.act()
        planter.look()
        if random.random() < 0.5:
            # Now and then a run must find no planted file, and be hit in its middle.
            planter.clear()
            time.sleep(random.random() * 0.3)
        turns += 1
        if turns % 40 == 0:
            leaked |= set(planter.files(mark.encode()))
        # The pause lets the runs go on where there is one core alone.
        time.sleep(0.002)
    planter.look()
    leaked |= set(planter.files(mark.encode()))
    print(
        json.dumps({"done": planter.done, "fifos": mark in planter.read.decode(errors="replace"), "files": [*leaked]})
    )


if __name__ == "__main__":
    main()
