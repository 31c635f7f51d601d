from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agenthost.errors import ProtocolError
from agenthost.transport.credentials import Credentials, descends_from, may_operate, parse_peer_address


def test_a_peer_address_is_uid_gid_and_pid() -> None:
    assert parse_peer_address("localhost:1000:100:4711") == Credentials(uid=1000, gid=100, pid=4711)


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.0.0.1", "localhost:1:2", "localhost:1:2:x", "a:1:2:3:4", "a:-1:2:3"]
)
def test_anything_else_is_no_peer_address(address: str) -> None:
    with pytest.raises(ProtocolError):
        parse_peer_address(address)


def test_with_a_namespace_an_operator_reads_pid_0_and_has_an_allowed_uid() -> None:
    assert may_operate(0, 1000, {1000}, None)
    assert not may_operate(0, 1001, {1000}, None)
    assert not may_operate(4711, 1000, {1000}, None)


def test_without_a_namespace_descendants_of_the_guardian_do_not_operate() -> None:
    uid = os.getuid()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert descends_from(child.pid, os.getpid()) is True
        assert not may_operate(child.pid, uid, {uid}, guardian_pid=os.getpid())
        assert not may_operate(os.getpid(), uid, {uid}, guardian_pid=os.getpid())
        assert may_operate(os.getpid(), uid, {uid}, guardian_pid=child.pid)
        assert not may_operate(os.getpid(), uid + 1, {uid}, guardian_pid=child.pid)


def test_a_process_that_has_ended_does_not_operate() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert descends_from(child.pid, 1) is None
    assert not may_operate(child.pid, os.getuid(), {os.getuid()}, guardian_pid=os.getpid())
