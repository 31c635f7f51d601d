"""Threads that give way, and have it back: with the right to do so, with the limit alone, and with neither."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agenthost.containment import pace, precedence
from tests.containment.births import Say, child, plain, speaker
from tests.guardian.driving import interpreter_for
from tests.waiting import wait_until

can_change = pytest.mark.skipif(bool(precedence.refusal()), reason=precedence.refusal() or "it can")
NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(act: Callable[[Say], None], settled: int = 1) -> Iterator[int]:
    """A process that has said ``settled`` times where it is; it and its children are ended with it."""
    words, end = os.pipe()

    def begin() -> None:
        os.setsid()
        act(speaker(end))

    pid = child(begin)
    try:
        heard = 0
        while heard < settled:
            heard += len(os.read(words, 64))
        yield pid
    finally:
        os.killpg(pid, 9)
        os.waitpid(pid, 0)
        os.close(words)
        os.close(end)


def policies(pid: int) -> list[int]:
    return [os.sched_getscheduler(tid) for tid in pace.threads(pid)]


@can_change
def test_all_threads_give_way_and_have_it_back() -> None:
    def act(say: Say) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        plain(say)

    with process(act) as pid:
        assert policies(pid) == [os.SCHED_OTHER] * 2
        assert precedence.lower(pid) == set()
        assert policies(pid) == [os.SCHED_IDLE] * 2
        assert precedence.restore(pid, set())
        assert policies(pid) == [os.SCHED_OTHER] * 2
        assert not precedence.restore(pid, set())


@can_change
def test_a_nice_value_is_kept() -> None:
    def act(say: Say) -> None:
        os.nice(7)
        plain(say)

    with process(act) as pid:
        precedence.lower(pid)
        precedence.restore(pid, set())
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)


@can_change
@pytest.mark.parametrize("policy", [os.SCHED_IDLE, os.SCHED_BATCH])
def test_what_the_author_has_set_himself_stays(policy: int) -> None:
    def act(say: Say) -> None:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        plain(say)

    with process(act) as pid:
        before = precedence.lower(pid)
        assert policies(pid) == [policy]
        assert before == ({pid} if policy == os.SCHED_IDLE else set())
        assert not precedence.restore(pid, before)
        assert policies(pid) == [policy]


def test_of_who_has_gone_nothing_is_asked() -> None:
    pid = child(lambda: None)
    os.waitpid(pid, 0)
    assert precedence.lower(pid) == set()
    assert not precedence.restore(pid, set())


SAY = "from agenthost.containment import precedence as p; import os;"
TRY = SAY + "pid = os.getpid(); p.lower(pid); low = os.sched_getscheduler(0); p.restore(pid, set());"
TRY += "print(p.refusal() or 'can', low == os.SCHED_IDLE, os.sched_getscheduler(0) == os.SCHED_OTHER)"


def nobody_tries(*capabilities: str, limit: int | None = None) -> str:
    """What ``TRY`` prints as a user without rights, or with those given."""
    python = interpreter_for(NOBODY)
    if os.getuid() != 0 or python is None:
        pytest.skip(f"only root can try it as uid {NOBODY}, with a Python that it can run")

    def set_limit() -> None:
        if limit is not None:
            resource.setrlimit(precedence.RLIMIT_NICE, (limit, limit))

    rights = [f"--{kind}-caps={','.join(capabilities) or '-all'}" for kind in ("inh", "ambient")]
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights, python, "-c", TRY],
        preexec_fn=set_limit,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_right_and_limit_nothing_is_changed_and_it_is_said_what_to_set() -> None:
    said = nobody_tries(limit=0)
    assert "LimitNICE" in said and "CAP_SYS_NICE" in said
    assert said.endswith("False True")


def test_the_capability_is_enough() -> None:
    assert nobody_tries("+sys_nice", limit=0) == "can True True"


def test_the_limit_is_enough() -> None:
    try:
        soft, hard = resource.getrlimit(precedence.RLIMIT_NICE)
        resource.setrlimit(precedence.RLIMIT_NICE, (soft, max(20, hard)))
    except ValueError:
        pytest.skip("this limit cannot be raised here: that takes CAP_SYS_RESOURCE")
    assert nobody_tries(limit=20) == "can True True"


@can_change
def test_a_child_born_meanwhile_gives_way_too_and_has_it_back() -> None:
    go, told = os.pipe()

    def act(say: Say) -> None:
        say()
        os.read(go, 1)
        child(lambda: plain(say))
        plain(say)

    with process(act) as pid:
        precedence.lower(pid)
        os.write(told, b".")
        listed = Path(f"/proc/{pid}/task/{pid}/children")
        wait_until(lambda: listed.read_text().split() != [], 60, "it has a child")
        (born,) = map(int, listed.read_text().split())
        assert policies(born) == [os.SCHED_IDLE]
        assert precedence.restore(born, set()) and policies(born) == [os.SCHED_OTHER]
    os.close(go)
    os.close(told)
