"""A module that can wait is loaded once something of it is used, by whichever thread comes first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reconciler.cli.late_modules import _LATE, leave_out_modules
from tests.parts.process import unmeasured


def _python(code: str) -> str:
    """Returns what another interpreter prints, where nothing is loaded yet."""
    start = "import sys; from reconciler.cli.late_modules import leave_out_modules; leave_out_modules()"
    call = [sys.executable, "-c", f"{start}\n{code}"]
    environment = unmeasured(os.environ)
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", _LATE)
def test_it_can_be_imported_in_each_way(name: str) -> None:
    _python(
        f"import {name}\n"
        f"first = {name}\n"
        f"assert {name}.__file__ and sys.modules['{name}'] is not first\n"
        f"import {name}\n"
        f"assert {name} is not first and {name}.__dict__ is sys.modules['{name}'].__dict__\n"
        f"assert all(getattr(first, one) is getattr({name}, one) for one in vars({name}) if one[:2] != '__')\n"
    )


def test_threads_that_use_it_first_all_get_the_same() -> None:
    found = _python(
        "import mimetypes\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from threading import Barrier\n"
        "together = Barrier(8)\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(len(set(pool.map(lambda _: together.wait() < 0 or mimetypes.MimeTypes, range(8)))))\n"
    )
    assert found == "1\n"


def test_what_is_loaded_already_stays() -> None:
    before = dict(sys.modules)
    leave_out_modules()
    added = sys.modules.keys() - before.keys()
    for name in added:
        del sys.modules[name]
    assert all(sys.modules[name] is module for name, module in before.items())


def test_a_module_inside_loads_it() -> None:
    assert _python("import anyio.to_thread; print(callable(anyio.to_thread.run_sync))") == "True\n"


def test_a_traceback_has_its_lines() -> None:
    code = "import traceback\ntry:\n    import reconciler.words; reconciler.words.nonsense\nexcept AttributeError: print(traceback.format_exc())"
    assert "AttributeError" in _python(code)
