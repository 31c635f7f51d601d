"""What py-spy and faulthandler say, as one text: outermost call first, the main thread first, never too long."""

from __future__ import annotations

import faulthandler
import json
import os
import tempfile
import threading

import pytest

from agenthost.host.autopsy import STACK_BYTES
from agenthost.host.stack_text import bounded, from_faulthandler, from_py_spy, where

WRITTEN = b"""Thread 0x00007f1 (most recent call first):
  File "/app/sentry.py", line 214 in _watch
  File "/app/threading.py", line 982 in run

Current thread 0x00007f2 (most recent call first):
  File "/app/crew.py", line 12 in grep
  File "/app/crew.py", line 40 in handle
"""


def test_faulthandler_s_calls_are_turned_round_and_who_was_asked_comes_first() -> None:
    assert from_faulthandler(WRITTEN).splitlines() == [
        "thread that was asked, the main one as a rule:",
        '  File "/app/crew.py", line 40, in handle',
        '  File "/app/crew.py", line 12, in grep',
        "",
        "thread 0x00007f1:",
        '  File "/app/threading.py", line 982, in run',
        '  File "/app/sentry.py", line 214, in _watch',
    ]


def test_what_faulthandler_really_writes_is_understood() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            text = from_faulthandler(file.read())
    finally:
        go.set()
        thread.join()
    (own,) = [one for one in text.split("\n\n") if "in test_what_faulthandler_really" in one]
    assert f'File "{__file__}"' in own.splitlines()[-1]
    assert any(one.splitlines()[-1].endswith("in wait") for one in text.split("\n\n"))  # others of this process aside


def test_py_spy_s_threads_are_told_alike() -> None:
    frames = [
        {"name": "inner", "filename": "/app/a.py", "line": 2},
        {"name": "outer", "filename": "/app/a.py", "line": 9},
    ]
    threads = [
        {"thread_id": 2, "thread_name": "sentry", "frames": frames[:1], "owns_gil": False, "active": True},
        {"thread_id": 1, "thread_name": "MainThread", "frames": frames, "owns_gil": True},
    ]
    assert from_py_spy(json.dumps(threads).encode()).splitlines() == [
        "thread MainThread, holds the interpreter:",
        '  File "/app/a.py", line 9, in outer',
        '  File "/app/a.py", line 2, in inner',
        "",
        "thread sentry:",
        '  File "/app/a.py", line 2, in inner',
    ]


@pytest.mark.parametrize("said", [b"", b"Error: no", b"{}", b"[]", b'[{"frames": []}]'])
def test_what_is_no_stack_is_said_to_be_none(said: bytes) -> None:
    with pytest.raises(ValueError, match="py-spy has"):
        from_py_spy(said)


def test_what_leads_from_the_zygote_to_the_agent_is_left_out() -> None:
    here = "/app"
    import agenthost.launch.child as child

    data = f"""Current thread 0x1 (most recent call first):
  File "{here}/crew.py", line 1 in handle
  File "{child.__file__}", line 9 in _run
  File "<string>", line 1 in <module>
"""
    assert from_faulthandler(data.encode()).splitlines()[1:] == [f'  File "{here}/crew.py", line 1, in handle']


def test_the_author_s_innermost_call_is_found_in_threads_and_tasks() -> None:
    library = os.path.dirname(os.__file__)
    text = f"""thread MainThread:
  File "{library}/selectors.py", line 468, in select

task other:
  File "/app/crew.py", line 35, in X.handle
    await other()
  File "/app/lib/site-packages/httpx/a.py", line 3, in get
"""
    assert where(text) == "crew.py:35, X.handle"
    assert where("") == ""


def test_a_long_one_is_cut_in_the_middle_and_that_is_said() -> None:
    text = bounded("\n".join(f"line {number} \u00e9" for number in range(20_000)))
    assert len(text.encode()) <= STACK_BYTES
    assert text.startswith("line 0") and text.endswith("line 19999 \u00e9") and "bytes left out" in text
    assert from_faulthandler(b"\xff\xfe what is no stack \x00") == ""
