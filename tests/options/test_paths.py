"""The folders of supervise are those that platformdirs names."""

import os
import posix
import sys

import platformdirs
import pytest

from supervise.options import paths

HOMES = [{}, {"HOME": "/home/somebody"}, {"HOME": "/home/somebody/"}, {"HOME": "relative"}, {"HOME": ""}, {"HOME": "/"}]
BASES = [None, "/base", "/base/", "", "relative", " ", "~/base"]


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("base", BASES)
def test_the_folders_are_those_of_platformdirs(monkeypatch, home, base):
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in home.items():
        monkeypatch.setenv(name, value)
    if base is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", base)
        monkeypatch.setenv("XDG_STATE_HOME", base)
    assert paths.config(os.environ) == platformdirs.user_config_dir("supervise")
    assert paths.state(os.environ) == platformdirs.user_state_dir("supervise")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is platformdirs that answers")
def test_a_user_without_a_home_has_no_folders(monkeypatch):
    monkeypatch.setattr(posix, "geteuid", lambda: 2**31 - 7)
    assert paths.config({}) is None
    assert paths.state({"XDG_STATE_HOME": "relative"}) is None
    assert paths.state({"XDG_STATE_HOME": "/base"}) == "/base/supervise"
