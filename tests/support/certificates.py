"""Certificates for servers of tests."""

import subprocess
from pathlib import Path

from tests.support.programs import needed


def self_signed(folder: Path) -> tuple[str, str]:
    """Make a self-signed certificate of 127.0.0.1, and return its file and the file of its key."""
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [
            needed("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-out", paths[0], "-keyout", paths[1],
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return paths
