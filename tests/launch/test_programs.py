"""A program as it is born from the bare zygote."""

# ruff: noqa: ASYNC240 - these tests may block their loop: it is theirs alone, and births do not need it

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from agenthost.errors import UsageError
from agenthost.launch.launcher import Order
from agenthost.protocol import birth
from tests.launch.births import ENV, Newborn, changed, give_birth, launching, program, within


async def run(order: Order) -> Newborn:
    async with launching() as zygotes:
        await zygotes.start()
        return await give_birth(zygotes, order)


def test_a_program_gets_its_environment_and_folder_and_nothing_else(tmp_path: Path) -> None:
    async def test() -> None:
        newborn = await run(
            program("sh", "-c", "env; pwd; ls /proc/self/fd", cwd=str(tmp_path), env=(*ENV, ("A", "1")))
        )
        lines = newborn.output().splitlines()
        assert {"A=1", "AGENTHOST_PATH=/tools/browser", "AGENTHOST_INCARNATION=1.2"} <= set(lines)
        assert not [line for line in lines if line.startswith("HOME=")]
        assert lines[-5:] == [str(tmp_path), "0", "1", "2", "3"]  # 3 is that of the listing
        assert newborn.wait_ended() == 0

    within(test())


def test_exec_closes_the_birth_socket_after_here() -> None:
    async def test() -> None:
        newborn = await run(program("sleep", "1000"))
        assert newborn.here() == newborn.born.pid
        assert newborn.packet() == (None, None)
        assert Path(f"/proc/{newborn.born.pid}/comm").read_text() == "sleep\n"
        assert newborn.kill() == -signal.SIGKILL

    within(test())


def test_a_program_leads_its_session_dies_with_the_host_and_ignores_no_signal() -> None:
    async def test() -> None:
        newborn = await run(program("sh", "-c", "cat /proc/self/status; ps -o sid= -p $$; echo $$"))
        *status, session, pid = newborn.output().split("\n")[:-1]
        assert int(session) == int(pid) == newborn.born.pid
        fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        # make(1) leaves glibc's own signals, 32 and 33, ignored, and no program may change that (signal(7))
        assert int(fields["SigIgn"], 16) & ~(0b11 << 31) == int(fields["SigBlk"], 16) == 0
        assert fields["NoNewPrivs"].strip() == "1"
        assert newborn.wait_ended() == 0

    within(test())


def test_stdin_is_empty() -> None:
    async def test() -> None:
        newborn = await run(program("cat"))
        assert newborn.output() == ""
        assert newborn.wait_ended() == 0

    within(test())


def failure(newborn: Newborn) -> birth.BirthFailed:
    newborn.here()
    message, _ = newborn.packet()
    assert isinstance(message, birth.BirthFailed)
    return message


def test_a_program_that_is_not_there_is_named() -> None:
    async def test() -> None:
        newborn = await run(program("no-such-program", env=(("PATH", "/bin:/usr/bin"),)))
        told = failure(newborn)
        assert (told.step, told.errno) == ("exec", errno.ENOENT)
        assert told.error == "cannot run 'no-such-program': no such file in PATH (/bin:/usr/bin)"
        assert newborn.wait_ended() == 127

    within(test())


@pytest.mark.parametrize(
    ("content", "mode", "why", "status"),
    [
        ("#!/no/such/interpreter\n", 0o755, "the interpreter its first line names does not exist", 127),
        ("#!/bin/sh\n", 0o644, "Permission denied", 126),
        ("neither binary nor script", 0o755, "Exec format error", 126),
    ],
)
def test_a_file_that_cannot_run_says_why(tmp_path: Path, content: str, mode: int, why: str, status: int) -> None:
    async def test() -> None:
        file = tmp_path / "tool"
        file.write_text(content)
        file.chmod(mode)
        newborn = await run(program(str(file)))
        assert failure(newborn).error == f"cannot run {str(file)!r}: {why}"
        assert newborn.wait_ended() == status

    within(test())


def test_a_folder_that_is_not_there_is_named() -> None:
    async def test() -> None:
        newborn = await run(program("true", cwd="/no/such/folder"))
        told = failure(newborn)
        assert told.step == "cwd"
        assert "/no/such/folder" in told.error
        assert newborn.wait_ended() == 126

    within(test())


def test_a_held_program_is_not_run_before_go(tmp_path: Path) -> None:
    async def test() -> None:
        newborn = await run(changed(program("touch", str(tmp_path / "ran")), hold=True))
        newborn.here()
        newborn.born.birth_socket.close()
        assert newborn.wait_ended() == 0
        assert os.listdir(tmp_path) == []

    within(test())


def test_an_order_without_a_program_or_a_certificate_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(UsageError, match="its argv is empty"):
            await run(program())
        with pytest.raises(UsageError, match="a release with a certificate, or a program"):
            await run(changed(program("true"), program=None))

    within(test())
