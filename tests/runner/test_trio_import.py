"""The modules that trio imports and no run uses: they are loaded on use, and are the real ones for other code."""

import subprocess
import sys

import pytest

HANG_SECONDS = 60.0
LOAD_TRIO = "from supervise.runner import trio_import; trio_import.load_trio(); import sys, trio; "


def printed(code: str) -> str:
    """Return the output of a Python that loads trio in this way and then runs the code."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_TRIO + code], capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_an_unused_module_is_not_loaded():
    assert (
        printed(
            "print({*trio_import.NEVER_USED, *trio_import.ANSWERS, 'hashlib', '_ssl', 'trio._ssl'} & {*sys.modules})"
        )
        == "set()"
    )


@pytest.mark.parametrize("name", ["ssl", "hmac", "idna", "ipaddress", "subprocess", "ctypes.util", "platform"])
def test_an_import_of_an_unused_module_gives_the_real_one(name):
    code = f"import importlib, {name}; one = importlib.import_module({name!r}); print(one.__file__, one.__spec__.name)"
    path, found = printed(code).split()
    assert found == name
    assert path.endswith(".py")


def test_find_library_is_the_real_one_outside_of_trio():
    code = "import ctypes.util; print(ctypes.util.find_library.__module__, ctypes.util.find_library('no such'))"
    assert printed(code) == "ctypes.util None"


def test_a_library_finds_all_names_in_an_unused_module():
    code = "import ssl; found = trio._ssl._stdlib_ssl.SSLEOFError; print(found is ssl.SSLEOFError)"
    assert printed(code) == "True"


def test_the_use_of_an_unused_module_loads_it_alone():
    code = "trio._ssl._stdlib_ssl.SSLEOFError; print({*trio_import.NEVER_USED} & {*sys.modules})"
    assert printed(code) == "{'ssl'}"


def test_a_run_of_the_loop_loads_no_more_of_trio():
    code = """
from supervise.runner import worker_thread
async def main():
    with trio.move_on_after(0.01):
        await trio.sleep_forever()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker_thread.run, int)
    with trio.CancelScope(deadline=trio.current_time() - 1):
        await trio.lowlevel.checkpoint()
trio.run(main)
print({"trio._ssl", "trio._subprocess", "trio._path", "logging", "platform"} & {*sys.modules})
"""
    assert printed(f"exec({code!r})") == "set()"


def test_any_other_name_of_trio_is_the_real_one():
    code = "import trio._path; print(trio.Path is trio._path.Path, trio.lowlevel.__name__, trio.__version__ > '0.2')"
    assert printed(code) == "True trio.lowlevel True"


def test_a_trio_of_other_parts_is_loaded_whole():
    code = "from supervise.runner import trio_import; trio_import.TRIO_PARTS = ('_core', '_no_such'); "
    code += "trio_import.load_trio(); import sys, trio; print(trio.Event.__module__, 'trio._ssl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.stdout.strip(), done.stderr) == ("trio True", "")


def test_a_logger_of_trio_logs():
    code = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(name)s %(message)s")
from trio._core import _instrumentation
_instrumentation.INSTRUMENT_LOGGER.error("said")
"""
    assert printed(f"exec({code!r})") == "trio.abc.Instrument said"


def test_a_module_that_was_loaded_before_stays():
    code = "import ssl; " + LOAD_TRIO + "print(trio._ssl._stdlib_ssl is ssl)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_a_failed_import_leaves_no_stand_in():
    code = """
import sys
from supervise.runner import trio_import
sys.modules["attrs"] = None
try:
    trio_import.load_trio()
except ImportError:
    print({*trio_import.NEVER_USED, *trio_import.ANSWERS} & {*sys.modules}, hasattr(sys.modules["ctypes"], "util"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.stdout.strip(), done.stderr) == ("set() False", "")


def test_the_threads_of_trio_have_names():
    code = """
import threading
def own_name():
    return open(f"/proc/self/task/{threading.get_native_id()}/comm").read()
print(trio.run(trio.to_thread.run_sync, own_name))
"""
    assert printed(f"exec({code!r})").startswith("own_name")
