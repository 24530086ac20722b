"""`--access-on` with real servers: redis and nginx from their packages."""

import pytest

from tests.support.access import free_port, is_access, run
from tests.support.harness import Place
from tests.support.programs import needed


def redis(place: Place, port: int, *more: str) -> list[str]:
    """Return the command line of a redis server."""
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(place.folder), *more]
    return [needed("redis-server"), *words]


def nginx(place: Place, port: int) -> list[str]:
    """Return the command line of an nginx with two workers, which prints nothing."""
    path = place.file("nginx.conf")
    path.write_text(
        f"daemon off; worker_processes 2; pid {place.file('nginx.pid')}; error_log {place.file('error.log')};\n"
        "events {}\n"
        f"http {{ access_log off; client_body_temp_path {place.folder}; proxy_temp_path {place.folder};\n"
        f" fastcgi_temp_path {place.folder}; uwsgi_temp_path {place.folder}; scgi_temp_path {place.folder};\n"
        f" server {{ listen 127.0.0.1:{port};\n"
        "  location / { return 503; } location /health { return 204; } location /old { return 301 /health; } } }\n"
    )
    return [needed("nginx"), "-e", str(place.file("error.log")), "-c", str(path)]


SIGNS = (
    "port={port}",
    "listen",
    "match=Ready to accept connections",
    "command=redis-cli -p {port} ping | grep -q PONG",
)


@pytest.mark.parametrize("sign", SIGNS)
def test_each_sign_finds_a_redis_server(supervise: Place, sign: str) -> None:
    port = free_port()
    needed("redis-cli")
    how = sign.format(port=port)
    late = ("sh", "-c", 'sleep 0.5; exec "$@"', "sh", *redis(supervise, port))
    ended = run(supervise, "-a", "30", "-t", "1", "--access-on", how, "--", *late)
    assert ended.code == 124
    is_access(ended, how, 0.5)


def test_redis_gives_access_by_sd_notify(supervise: Place) -> None:
    ended = run(
        supervise, "-a", "30", "-t", "1", "--access-on", "notify", "--",
        *redis(supervise, free_port(), "--supervised", "systemd"),
    )  # fmt: skip
    assert ended.code == 124
    if b"libsystemd" in ended.out or b"--supervised systemd" in ended.out:
        pytest.skip("this redis was built without libsystemd")
    is_access(ended, "notify")
    assert ended.report["status"]


@pytest.mark.parametrize(
    "sign",
    ["port=127.0.0.1:{port}", "listen", "http=http://localhost:{port}/health", "http=http://127.0.0.1:{port}/old"],
)
def test_each_sign_finds_an_nginx_server(supervise: Place, sign: str) -> None:
    port = free_port()
    how = sign.format(port=port)
    ended = run(supervise, "-a", "30", "-t", "0.5", "--access-on", how, "--", *nginx(supervise, port))
    assert ended.code == 124
    is_access(ended, how)


def test_an_nginx_that_answers_503_is_no_access(supervise: Place) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    ended = run(supervise, "-a", "1.5", "--access-on", f"http={url}", "--", *nginx(supervise, port))
    assert ended.code == 122
    assert ended.report["reason"] == f"last tried {url}: 503 Service Temporarily Unavailable"
