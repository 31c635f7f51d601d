"""What strangers, floods and garbage do to a real agent's data socket: nothing."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from agenthost.client import Client
from agenthost.errors import Overloaded
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode, pack_body, read_from_callee, read_from_host, unpack_body
from agenthost.transport.callee import MAX_QUEUED
from tests.agent.fake_host import FakeHost, Hosted
from tests.waiting import wait_until


@pytest.fixture
def it(host: FakeHost, client: Client, kind: str) -> Hosted:
    """An agent whose data socket is bound, for ``client`` knows it."""
    it = host.start(kind)
    assert client.call("/it", ["echo", 1]) == 1
    return it


@pytest.fixture
def stranger(it: Hosted) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 0)
        dealer.set(zmq.RCVTIMEO, 10_000)
        dealer.connect(it.heard(control.Expecting)[0].address)
        yield dealer


def test_a_stranger_never_reaches_the_handler(client: Client, stranger: zmq.Socket[bytes]) -> None:
    stranger.send_multipart([encode(data.Hello(ticket=b"?" * 16, caller="/it", inc="7.1"))])
    assert isinstance(read_from_callee(stranger.recv()), data.Closed)
    stranger.send_multipart([encode(data.Call(id=1)), pack_body(["raise"])])
    assert isinstance(read_from_callee(stranger.recv()), data.Closed)
    stranger.send_multipart([encode(data.Cast(id=2)), pack_body(["raise"])])
    assert isinstance(read_from_callee(stranger.recv()), data.Closed)
    assert client.call("/it", ["echo", 2]) == 2


def test_garbage_is_answered_and_survived(client: Client, stranger: zmq.Socket[bytes]) -> None:
    chance = random.Random(7)
    for _ in range(500):
        frames = [chance.randbytes(chance.randrange(60)) for _ in range(chance.randrange(1, 9))]
        stranger.send_multipart(frames)
        assert isinstance(read_from_callee(stranger.recv()), data.Closed)
    assert client.call("/it", ["echo", 2]) == 2


def test_bytes_that_are_no_zeromq_at_all_are_survived(it: Hosted, client: Client) -> None:
    path = it.heard(control.Expecting)[0].address.removeprefix("ipc://")
    for number in range(20):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            sock.sendall(os.urandom(50 * number))
    assert client.call("/it", ["echo", 2]) == 2


def test_a_flood_does_not_keep_the_agent_from_its_control_plane(
    host: FakeHost, it: Hosted, client: Client, stranger: zmq.Socket[bytes]
) -> None:
    stranger.set(zmq.SNDHWM, 0)
    for _ in range(20_000):
        stranger.send_multipart([b"flood", b"flood"])
    assert client.call("/it", ["echo", 2]) == 2
    host.stop(it)
    assert host.wait_end(it) == 0


def test_a_body_that_is_no_message_pack_is_answered(host: FakeHost, it: Hosted, client: Client) -> None:
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    try:
        peer.set(zmq.RCVTIMEO, 10_000)
        asking = context.socket(zmq.DEALER)
        asking.set(zmq.RCVTIMEO, 10_000)
        asking.connect(host.endpoint)
        asking.send(encode(control.Lookup(id=1, path="/it")))
        found = read_from_host(asking.recv())
        assert isinstance(found, control.Found)
        peer.connect(found.address)
        peer.send(encode(data.Hello(ticket=found.ticket, caller=f"client:{os.getuid()}", inc="")))
        assert isinstance(read_from_callee(peer.recv()), data.Accepted)
        peer.send_multipart([encode(data.Call(id=1)), b"\xc1"])
        error = read_from_callee(peer.recv())
        assert isinstance(error, data.Error) and error.code == "protocol"
        peer.send_multipart([encode(data.Call(id=2)), pack_body(["echo", 3])])
        header, body = peer.recv_multipart()
        assert isinstance(read_from_callee(header), data.Reply)
        assert unpack_body(body) == 3
    finally:
        context.destroy(linger=0)


def test_a_full_mailbox_overloads_and_recovers(host: FakeHost, client: Client, tmp_path: Path) -> None:
    it = host.start("AsyncClerk")
    client.send("/it", ["wait_file", str(tmp_path / "go")], durable=False)
    wait_until(lambda: "waiting" in it.stdout(), what="the turn")
    for number in range(MAX_QUEUED):
        client.send("/it", ["echo", number], durable=False)
    with pytest.raises(Overloaded):
        client.send("/it", ["echo", "one too many"], durable=False)
    (tmp_path / "go").touch()
    assert wait_until(lambda: try_echo(client), what="room in the mailbox") == "again"


def try_echo(client: Client) -> object:
    try:
        return client.call("/it", ["echo", "again"])
    except Overloaded:
        return None


def test_big_bodies_travel(client: Client, it: Hosted) -> None:
    body = b"\x00" * (8 * 2**20)
    assert client.call("/it", ["echo", body]) == body
