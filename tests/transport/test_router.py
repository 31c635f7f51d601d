"""The router as a process of its own, with raw pyzmq peers."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agenthost.protocol import codec, control
from tests.transport.routed import RoutedHost, dealer, routed, wait_message
from tests.waiting import wait_until

ME = os.getuid()

_STRANGER = """
import os, sys, zmq
os.setgid(65534); os.setuid(65534)
dealer = zmq.Context().socket(zmq.DEALER)
dealer.setsockopt(zmq.LINGER, 0)
dealer.setsockopt(zmq.RECONNECT_IVL, 10)
dealer.connect("ipc://" + sys.argv[1])
dealer.send(b"stranger")
print("connecting", flush=True)
sys.stdin.read()
"""

_FLOOD = """
import socket, sys, time
kept = []
for _ in range(int(sys.argv[2])):
    one = socket.socket(socket.AF_UNIX)
    one.setblocking(False)
    while True:
        try:
            one.connect(sys.argv[1])
            break
        except BlockingIOError:  # the backlog is full
            time.sleep(0)
    kept.append(one)
print("flooded", flush=True)
sys.stdin.read()
"""


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def raw_connection(places: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(places / "control"))
    return connection


def send_for_ever(connection: socket.socket, frame: bytes) -> None:
    while True:
        connection.sendall(frame)


# ---- relaying


def test_what_a_peer_says_reaches_the_host_with_the_kernels_word_on_who_it_is(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        peer.send(b"hello")
        word, _, uid, pid, frames = host.wait_said(b"hello")
        assert (word, uid, pid, frames) == ("in", ME, os.getpid(), [b"hello"])


def test_what_the_host_says_reaches_the_peer_it_is_for(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as one, dealer(places / "control") as two:
        one.send(b"one")
        two.send(b"two")
        host.send(host.wait_said(b"two")[1], b"to two")
        host.send(host.wait_said(b"one")[1], b"to one")
        assert (wait_message(one), wait_message(two)) == (b"to one", b"to two")


def test_messages_of_one_peer_keep_their_order(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        for number in range(400):
            peer.send(b"%d" % number)
        host.wait_said(b"399")
        assert [one[4][0] for one in host.heard if one[0] == "in"] == [b"%d" % number for number in range(400)]


def test_long_messages_pass_both_ways(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        long = os.urandom(255 * 1024)
        peer.send(long)
        answer = os.urandom(15 * 1024 * 1024)
        host.send(host.wait_said(long)[1], answer)
        host.wait_sent()
        assert wait_message(peer) == answer


def test_a_message_for_nobody_is_told_gone_once(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        for _ in range(3):
            host.send(b"\0\0nobody", b"x")
        host.send(b"\0\7nobody", b"x")
        peer.send(b"later")
        host.wait_said(b"later")
        assert [one[1] for one in host.heard if one[0] == "gone"] == [b"\0\0nobody", b"\0\7nobody"]


def test_a_peer_that_has_ended_is_told_gone(places: Path) -> None:
    with routed(places) as host:
        with dealer(places / "control") as peer:
            peer.send(b"here")
            name = host.wait_said(b"here")[1]

        def told() -> bool:
            host.send(name, b"still there?")
            host.read()
            return ["gone", name] in host.heard

        wait_until(told, what="the router says gone")


def test_a_peer_that_does_not_read_is_told_full_and_delays_nobody(places: Path) -> None:
    with routed(places) as host, dealer(places / "control", RCVHWM=1) as slow, dealer(places / "control") as quick:
        slow.send(b"slow")
        quick.send(b"quick")
        slow_peer, quick_peer = host.wait_said(b"slow")[1], host.wait_said(b"quick")[1]
        for _ in range(400):
            host.send(slow_peer, bytes(32 * 1024))
            host.wait_sent()
        assert host.wait_word("full") == ["full", slow_peer]
        host.send(quick_peer, b"you")
        host.wait_sent()  # what the router has not read yet is not delayed by a peer
        assert wait_message(quick) == b"you"


def test_a_peer_keeps_its_name_over_a_connection_of_its_own(places: Path) -> None:
    with routed(places) as host:
        for word in (b"first", b"second"):
            with dealer(places / "control", ROUTING_ID=b"\x80same") as peer:
                peer.send(word)
                host.send(host.wait_said(word)[1], b"answer to " + word)
                assert wait_message(peer) == b"answer to " + word
        assert host.wait_said(b"first")[1] == host.wait_said(b"second")[1]


def test_peers_of_two_endpoints_never_share_a_name(places: Path) -> None:
    host = RoutedHost([(str(places / name), ME, [ME]) for name in "ab"])
    try:
        with dealer(places / "a", ROUTING_ID=b"\x80x") as one, dealer(places / "b", ROUTING_ID=b"\x80x") as two:
            one.send(b"one")
            two.send(b"two")
            first, second = host.wait_said(b"one")[1], host.wait_said(b"two")[1]
            assert first != second
            host.send(first, b"to one")
            host.send(second, b"to two")
            assert (wait_message(one), wait_message(two)) == (b"to one", b"to two")
    finally:
        host.close()


def test_the_router_ends_with_its_host(places: Path) -> None:
    with routed(places) as host:
        host.link.sock.close()
        assert host.process.wait(10) == 0


def test_a_file_in_the_way_of_its_socket_is_left_alone_and_named(places: Path) -> None:
    (places / "control").write_text("precious")
    ours, theirs = socket.socketpair()
    program = "import sys; from agenthost.transport.router import main; main(int(sys.argv[1]), [(sys.argv[2], 0, [0])])"
    with ours, theirs:
        words = [sys.executable, "-c", program, str(theirs.fileno()), str(places / "control")]
        ended = subprocess.run(words, pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "a file is in the way; remove it" in ended.stderr
    assert (places / "control").read_text() == "precious"


# ---- who may speak


@pytest.mark.root
def test_a_uid_that_is_not_allowed_is_refused_before_its_first_message(places: Path) -> None:
    with routed(places) as host:
        (places / "control").chmod(0o666)  # as if the folder were open, so that only the router is in the way
        with run(_STRANGER, places / "control") as stranger:
            wait_until(lambda: host.counter("refused_uid") > 0, what="the stranger is refused")
            assert host.said(b"stranger") is None
            stranger.communicate("")
        with dealer(places / "control") as peer:
            peer.send(b"allowed")
            host.wait_said(b"allowed")
        assert host.said(b"stranger") is None


@pytest.mark.root
def test_a_uid_that_is_allowed_is_known_by_it(places: Path) -> None:
    with routed(places, uids=[65534]) as host:
        (places / "control").chmod(0o666)
        with run(_STRANGER, places / "control") as other:
            assert host.wait_said(b"stranger")[2:4] == [65534, other.pid]
            other.communicate("")


@pytest.mark.root
def test_the_folder_alone_keeps_other_users_out(places: Path) -> None:
    inner = places / "inner"
    inner.mkdir(mode=0o700)
    with routed(inner) as host:
        (inner / "control").chmod(0o666)
        before = host.counter("refused_uid")
        with run(_STRANGER, inner / "control") as stranger:
            assert stranger.stdout and stranger.stdout.readline() == "connecting\n"
            program = "import os,socket,sys; os.setuid(65534); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
            tried = subprocess.run(
                [sys.executable, "-c", program, str(inner / "control")], capture_output=True, text=True
            )
            assert "PermissionError" in tried.stderr
            stranger.communicate("")
        assert host.said(b"stranger") is None and host.counter("refused_uid") == before


def test_the_socket_belongs_to_its_user_alone(places: Path) -> None:
    with routed(places):
        found = (places / "control").stat()
        assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == ME


# ---- garbage and floods


def test_a_message_of_several_frames_is_answered_garbled_and_counted(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        peer.send_multipart([b"a"] * 1000)
        assert isinstance(codec.read_from_host(wait_message(peer)), control.Garbled)
        peer.send(b"fine")
        host.wait_said(b"fine")
        assert [one for one in host.heard if one[0] == "in"] == [host.said(b"fine")]
        wait_until(lambda: host.counter("garbled") == 1, what="it is counted")


def test_a_message_beyond_the_bound_costs_the_connection_not_the_router(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer, dealer(places / "control") as other:
        peer.send(bytes(257 * 1024))
        other.send(b"other")
        host.wait_said(b"other")
        peer.send(b"again")
        host.wait_said(b"again")


def test_no_bytes_on_the_socket_harm_the_router(places: Path) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(16) + b"\0" + bytes(31)
    with routed(places) as host, dealer(places / "control") as witness:

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from([b"", greeting[:10], greeting[:12], greeting]), st.binary(max_size=300))
        def fuzz(begin: bytes, rest: bytes) -> None:
            with raw_connection(places) as connection:
                try:
                    connection.sendall(begin + rest)
                except BrokenPipeError:
                    pass  # it has already hung up on us
            word = os.urandom(8)
            witness.send(word)
            host.wait_said(word)

        fuzz()
        assert host.process.poll() is None
        wait_until(lambda: host.counter("bad_handshakes") > 0, what="they are counted")


def test_old_zmtp_that_knows_no_authentication_is_refused(places: Path) -> None:
    # ZMTP 1.0, unversioned: an anonymous routing id, then a message of one frame
    with routed(places) as host, raw_connection(places) as connection:
        connection.sendall(b"\x01\x00" + b"\x04\x00old")
        connection.settimeout(10)
        while connection.recv(100):
            pass
        assert not [one for one in host.heard if one[0] == "in"]


@pytest.mark.slow
def test_a_connection_that_never_says_anything_is_ended(places: Path) -> None:
    with routed(places), raw_connection(places) as connection:
        connection.settimeout(15)
        while connection.recv(100):
            pass


def test_a_flood_of_connections_kills_nobody_and_locks_nobody_out(places: Path) -> None:
    with routed(places, descriptors=2048) as host, dealer(places / "control") as before:
        before.send(b"before")
        host.wait_said(b"before")
        with run(_FLOOD, places / "control", 5000) as flood:
            for number in range(20):
                before.send(b"during %d" % number)
                host.wait_said(b"during %d" % number)
            with dealer(places / "control") as new:
                new.send(b"new")
                host.wait_said(b"new")
            assert flood.stdout and flood.stdout.readline() == "flooded\n"
            wait_until(lambda: host.counter("refused_quota") >= 5000 - 16, what="the flood is refused")
            assert host.process.poll() is None
            held = len(os.listdir(f"/proc/{host.process.pid}/fd"))
            assert held < 100
            flood.communicate("")


def test_a_process_may_connect_as_often_as_its_quota(places: Path) -> None:
    with routed(places, connections_per_process=4) as host:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        peers = [context.socket(zmq.DEALER) for _ in range(4)]
        try:
            wait_until(lambda: host.counter("connections") == 0, what="the probes have closed")
            for number, peer in enumerate(peers):
                peer.setsockopt(zmq.LINGER, 0)
                peer.connect(f"ipc://{places / 'control'}")
                peer.send(b"%d" % number)
                host.wait_said(b"%d" % number)
            with raw_connection(places) as fifth:
                fifth.settimeout(10)
                while fifth.recv(100):
                    pass  # the greeting; then the end
            host.send(host.wait_said(b"0")[1], b"still here")
            assert wait_message(peers[0]) == b"still here"
        finally:
            context.destroy()


_TALKER = """
import sys, zmq
dealer = zmq.Context().socket(zmq.DEALER)
dealer.connect("ipc://" + sys.argv[1])
print("talking", flush=True)
while True:
    dealer.send(b"noise")
"""


def test_a_peer_that_floods_is_dropped_beyond_its_budget_and_the_others_are_on_time(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as quiet:
        quiet.send(b"begin")
        host.wait_said(b"begin")
        with run(_TALKER, places / "control") as talker:
            assert talker.stdout and talker.stdout.readline() == "talking\n"
            wait_until(lambda: host.counter("flooded") > 10_000, 30, what="the flood is dropped")
            late_s = []
            for number in range(100):
                asked_at = time.monotonic()
                quiet.send(b"quiet %d" % number)
                host.wait_said(b"quiet %d" % number)
                late_s.append(time.monotonic() - asked_at)
            talker.kill()
        assert sorted(late_s)[50] < 2.0


def test_a_host_that_does_not_read_makes_peers_wait_and_loses_nothing(places: Path) -> None:
    with routed(places, burst_messages=1e6) as host, dealer(places / "control", SNDHWM=0) as peer:
        for number in range(300):
            peer.send(b"%d " % number + bytes(20_000))
        # six megabytes are more than the link, the router and the kernel hold; only now does the host read
        wait_until(lambda: host.read() == [] and len(host.heard) > 300, 20, what="all have come")
        numbers = [int(one[4][0].split()[0]) for one in host.heard if one[0] == "in"]
        assert numbers == list(range(300))


def test_a_message_without_end_costs_its_connection_before_it_fills_the_machine(places: Path) -> None:
    ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(16) + b"\0" + bytes(31)
    more = b"\x03" + (200_000).to_bytes(8, "big") + bytes(200_000)
    with routed(places, memory_bytes=200 * 2**20) as host, dealer(places / "control") as peer:
        with raw_connection(places) as endless:
            endless.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
            endless.settimeout(10)
            with pytest.raises(ConnectionError):
                send_for_ever(endless, more)
        assert host.process.poll() is None
        peer.send(b"fine")
        host.wait_said(b"fine")
        assert [one for one in host.heard if one[0] == "in"] == [host.said(b"fine")]


# ---- its death


def test_after_its_death_peers_reconnect_and_answer_to_the_same_name(places: Path) -> None:
    with routed(places) as host, dealer(places / "control", ROUTING_ID=b"\x80peer") as peer:
        peer.send(b"before")
        name = host.wait_said(b"before")[1]
        host.kill_router()
        host.heard.clear()
        host.start()

        def reached() -> bool:
            host.send(name, b"are you there?")
            return bool(peer.poll(20))

        # the peer says nothing: the host reaches it all the same
        wait_until(reached, what="the peer is reached")
        peer.send(b"after")
        assert host.wait_said(b"after")[1] == name


def test_an_orderly_message_is_msgpack_that_any_language_can_read(places: Path) -> None:
    with routed(places) as host, dealer(places / "control") as peer:
        peer.send(msgpack.packb({"t": "lookup", "id": 7, "path": "/team/coder", "color": "unknown keys are ignored"}))
        frame = host.wait_word("in")[4][0]
        assert codec.read_from_peer(frame) == control.Lookup(id=7, path="/team/coder")
