"""A real cron daemon with the crontab of supervise-cron(7), and a stand-in for the program that sends its mail.

cron begins jobs at full minutes, so each test of it takes up to a minute and a half.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervise.options.argv import read
from tests.support import check_servers
from tests.support.harness import Place, Running, wait_until
from tests.support.programs import missing, needed
from tests.support.readme import recipe

PAGE = Path(__file__).parents[2] / "man" / "man7" / "supervise-cron.7"
MINUTES = 150.0
"""Seconds within which cron has begun a job of each minute, and the job has ended."""
SENDMAIL = """#!/bin/sh
umask 022
number=$(ls {mail} | wc -l)
cat >{mail}/.new.$$ && mv {mail}/.new.$$ {mail}/$number.$$
"""


def crontab() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the variables of the page's crontab, and the time and the command of each of its lines."""
    text = PAGE.read_text(encoding="ascii").split('.\\" crontab\n.EX\n')[1].split("\n.EE")[0].replace("\\-", "-")
    lines = text.splitlines()
    variables = dict(line.split("=", 1) for line in lines if re.match("[A-Z]+=", line))
    jobs = [re.fullmatch(r"(@reboot|(?:\S+ ){4}\S+) (.*)", line) for line in lines if not re.match("[A-Z]+=", line)]
    return variables, [(job[1], job[2]) for job in jobs if job]


def test_the_page_has_five_lines_that_the_reader_of_options_takes() -> None:
    _, jobs = crontab()
    assert len(jobs) == 5
    for _, command in jobs:
        if command.startswith("supervise "):
            assert read(command.split()[1:], {}), command


def own_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def cron(supervise: Place, jobs: list[str]) -> Iterator[tuple[Running, Path]]:
    """Run a cron daemon of its own, in a mount namespace, with these lines; yield it and the folder of mails."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a cron daemon")
    daemon = needed("cron")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        missing("this machine makes no namespaces")
    spool, mail, programs = (supervise.file(name) for name in ("spool", "mail", "sbin"))
    (spool / "crontabs").mkdir(parents=True)
    mail.mkdir()
    programs.mkdir()
    (spool / "crontabs" / "root").write_text("\n".join(jobs) + "\n")
    (spool / "crontabs" / "root").chmod(0o600)
    (programs / "sendmail").write_text(SENDMAIL.format(mail=mail))
    (programs / "sendmail").chmod(0o755)
    copy = supervise.file("cron")
    copy.write_bytes(Path(daemon).read_bytes())
    copy.chmod(0o755)
    run = supervise.file("var-run")
    run.mkdir()
    script = (
        'mount --bind "$1" /var/spool/cron && mount --bind "$2" /usr/sbin && mount --bind "$3" /run'
        ' && mount -t proc proc /proc && mount -t tmpfs tmpfs /etc/cron.d && exec "$4" -f'
    )
    words = ["sh", "-c", script, "sh", str(spool), str(programs), str(run), str(copy)]
    running = supervise.popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", *words])
    try:
        yield running, mail
    finally:
        running.send(signal.SIGKILL)
        running.wait()


@pytest.mark.slow
def test_cron_mails_of_the_five_lines_what_failed_alone(supervise: Place) -> None:
    """Each line runs each minute; the first job of each succeeds, and of two lines the second one fails."""
    variables, lines = crontab()
    programs = supervise.file("bin")
    programs.mkdir()
    for name in ("backup", "fetch-feed", "report", "update"):
        path = programs / name
        path.write_text(f"#!/bin/sh\necho {name} prints\necho {name} errs >&2\necho x >>{supervise.file(name)}.runs\n")
        path.chmod(0o755)
    (programs / "report").write_text(f"#!/bin/sh\necho x >>{supervise.file('report')}.runs\necho the reason\nexit 7\n")
    home = supervise.file("home")
    home.mkdir()
    path = f"{supervise.program.parent}:{programs}:/usr/bin:/bin"
    names = {"PATH": path, "MAILTO": variables["MAILTO"], "HOME": str(home)}
    jobs = [f"{name}={value}" for name, value in names.items()]
    # And the line of the README, whose script is in the home and fails.
    path_line, entry = recipe("cron", {}).strip().splitlines()
    assert path_line.startswith("PATH=")
    times, readme_line = entry.rsplit(" * ", 1)
    assert len(times.split()) == 4
    jobs.append(f"* * * * * {readme_line}")
    (home / "nightly.sh").write_text("#!/bin/sh\necho the night\nexit 5\n")
    (home / "nightly.sh").chmod(0o755)
    secret = supervise.file("backup.ping")
    for when, command in lines:
        changed = command.replace("--start-jitter 30m", "--start-jitter 1s").replace("/etc/backup.ping", str(secret))
        jobs.append(f"{when if when[0] == '@' else '* * * * *'} {changed}")
    with check_servers.recording() as server, cron(supervise, jobs) as (running, mail):
        secret.write_text(f"{server.url}/check\n")
        runs = [supervise.file(f"{name}.runs") for name in ("backup", "fetch-feed", "report", "update")]
        wait_until(lambda: all(run.exists() for run in runs), MINUTES)
        wait_until(lambda: len({b"the night" in one.read_bytes() for one in mail.iterdir() if one.name[0] != "."}) == 2)
        daemon = own_children(running.process.pid)[0]
        wait_until(lambda: not own_children(daemon))
        mails = [one for one in mail.iterdir() if one.name[0] != "."]
    assert server.paths[:2] == ["/check/start", "/check"]
    assert server.asked[1].body == b"backup prints\nbackup errs\n"
    texts = [one.read_text() for one in mails]
    nightly = [text for text in texts if "the night" in text]
    assert all("exit 5" in text.partition("\n\n")[2].splitlines()[0] for text in nightly)
    texts = [text for text in texts if text not in nightly]
    assert len(texts) == len(runs[2].read_text().split()), texts
    for text in texts:
        head, _, body = text.partition("\n\n")
        assert "report" in head
        assert re.match(
            r"supervise: the command failed after .* \(exit 7\)\nsupervise: it ran: report\nthe reason\n$", body
        )


@pytest.mark.parametrize("home", [True, False])
def test_a_job_without_environment_is_silent_and_fails_loud(supervise: Place, *, home: bool) -> None:
    bare = ["env", "-i", "PATH=/usr/bin:/bin", *([f"HOME={supervise.folder}"] if home else [])]
    words = [*bare, str(supervise.program), "--no-record", "--quiet-unless-failed", "--", "sh", "-c"]
    good, bad = supervise.popen([*words, "echo x"]).wait(), supervise.popen([*words, "echo x; exit 3"]).wait()
    assert (good.code, good.out, good.err) == (0, b"", b"")
    assert (bad.code, bad.out) == (3, b"x\n")
    assert bad.err.startswith(b"supervise: the command failed after ")
