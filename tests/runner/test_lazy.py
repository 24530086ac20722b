"""The modules that trio imports and no run uses: they are the real ones for all others."""

import subprocess
import sys

import pytest

HANG_SECONDS = 60.0
LOADED = "from supervise.runner import lazy; lazy.load_trio(); import sys, trio; "


def printed(code: str) -> str:
    """Return what Python prints that has loaded trio in this way, and then runs the code."""
    done = subprocess.run([sys.executable, "-c", LOADED + code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_module_that_is_not_used_is_not_loaded():
    assert printed("print({*lazy.NEVER_USED, lazy.SEARCH, 'hashlib', '_ssl'} & {*sys.modules})") == "set()"


@pytest.mark.parametrize("name", ["ssl", "hmac", "idna", "ipaddress", "subprocess", "ctypes.util"])
def test_who_imports_such_a_module_gets_the_module_itself(name):
    code = f"import importlib, {name}; one = importlib.import_module({name!r}); print(one.__file__, one.__spec__.name)"
    path, found = printed(code).split()
    assert found == name
    assert path.endswith(".py")


def test_the_search_for_a_library_is_the_real_one_for_all_others():
    code = "import ctypes.util; print(ctypes.util.find_library.__module__, ctypes.util.find_library('no such'))"
    assert printed(code) == "ctypes.util None"


def test_a_library_that_does_use_such_a_module_finds_all_in_it():
    code = "import ssl; found = trio._ssl._stdlib_ssl.SSLEOFError; print(found is ssl.SSLEOFError)"
    assert printed(code) == "True"


def test_a_use_of_a_module_loads_that_module_alone():
    code = "trio._ssl._stdlib_ssl.SSLEOFError; print({*lazy.NEVER_USED} & {*sys.modules})"
    assert printed(code) == "{'ssl'}"


def test_a_module_that_is_there_already_stays():
    code = "import ssl; " + LOADED + "print(trio._ssl._stdlib_ssl is ssl)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_an_import_that_fails_leaves_nothing_behind():
    code = """
import sys
from supervise.runner import lazy
sys.modules["attrs"] = None
try:
    lazy.load_trio()
except ImportError:
    print({*lazy.NEVER_USED, lazy.SEARCH} & {*sys.modules}, hasattr(sys.modules["ctypes"], "util"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.stdout.strip(), done.stderr) == ("set() False", "")


def test_the_threads_of_the_library_have_names():
    code = """
import threading
def own_name():
    return open(f"/proc/self/task/{threading.get_native_id()}/comm").read()
print(trio.run(trio.to_thread.run_sync, own_name))
"""
    assert printed(f"exec({code!r})").startswith("own_name")
