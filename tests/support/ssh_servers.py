"""An sshd on the loopback, for the tests that need a far end."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.access import free_port
from tests.support.harness import HANG_SECONDS, Place, wait_until
from tests.support.programs import needed


@contextmanager
def ssh_server(place: Place) -> Iterator[str]:
    """Start an sshd on the loopback; yield the ssh command line that reaches it."""
    sshd = needed("sshd")
    needed("ssh")
    folder = place.folder / "ssh"
    folder.mkdir()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPrintMotd no\nPrintLastLog no\n"
        f"SetEnv PATH={place.environ['PATH']} HOME={place.environ['HOME']}\n"
    )
    if os.getuid() == 0:
        # All sshd of the machine share this folder, and refuse connections without it: no test removes it, since an
        # sshd of another test may run.
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    options = "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"
    ssh = f"ssh -F none -i {folder}/key -p {port} {' '.join(f'-o {each}' for each in options)} 127.0.0.1"
    try:
        wait_until(
            lambda: subprocess.run([*ssh.split(), "true"], capture_output=True, timeout=HANG_SECONDS).returncode == 0
        )
        yield ssh
    except AssertionError:
        print((folder / "log").read_text())
        raise
    finally:
        server.terminate()
        server.wait()
