"""A peer's end of the control plane, with a real router and its death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

from agenthost.protocol.limits import ROUTING_ID_BYTES
from agenthost.transport.control import ControlSocket, new_routing_id
from tests.transport.routed import RoutedHost, routed
from tests.waiting import wait_until


@contextmanager
def control_socket(places: Path) -> Iterator[ControlSocket]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    control = ControlSocket(f"ipc://{places / 'control'}", context=context)
    try:
        yield control
    finally:
        control.close()
        context.term()


def times_heard(host: RoutedHost, frame: bytes) -> int:
    host.read()
    return sum(1 for one in host.heard if one[0] == "in" and one[4] == [frame])


def test_a_routing_id_is_random_and_never_one_of_libzmqs() -> None:
    ids = {new_routing_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == ROUTING_ID_BYTES and one[0] >= 0x80 for one in ids)


def test_what_is_answered_is_said_once(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        control.ask("ready", b"ready")
        host.send(host.wait_said(b"ready")[1], b"welcome")
        assert control.wait_frame(10) == b"welcome"
        assert control.answered("ready")
        control.try_send(b"marker")
        host.wait_said(b"marker")
        times = times_heard(host, b"ready")  # once; more often only if this machine stalled for a quarter of a second
        assert control.wait_frame(0.6) is None
        control.try_send(b"later")
        host.wait_said(b"later")
        assert times_heard(host, b"ready") == times


def test_what_is_not_answered_is_said_again_after_its_pauses(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        begun = time.monotonic()
        control.ask("ready", b"ready")

        def thrice() -> bool:
            assert control.wait_frame(0.01) is None
            return times_heard(host, b"ready") == 3

        wait_until(thrice, what="it is said three times")
        assert time.monotonic() - begun >= 0.75


def test_what_is_asked_before_there_is_a_router_arrives_when_there_is_one(places: Path) -> None:
    with control_socket(places) as control:
        control.ask("ready", b"ready")
        with routed(places) as host:
            host.wait_said(b"ready")


def test_what_was_asked_while_the_router_was_dead_arrives_and_is_answered(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        control.ask("first", b"first")
        name = host.wait_said(b"first")[1]
        host.kill_router()
        control.ask("second", b"second")
        host.heard.clear()
        host.start()

        # neither has been answered, so both come (again), also the one that an earlier router had already passed on
        def both() -> bool:
            control.resend_due()
            return times_heard(host, b"first") > 0 and times_heard(host, b"second") > 0

        wait_until(both, what="both are heard")
        assert host.wait_said(b"second")[1] == name
        for frame in (b"first", b"second"):
            host.send(name, frame)
        assert {control.wait_frame(10), control.wait_frame(10)} == {b"first", b"second"}
        assert control.answered("first") and control.answered("second")
        assert control.resend_due() is None


def test_nothing_is_lost_over_many_deaths_of_the_router(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        heard: set[bytes] = set()
        for death in range(4):
            asked = {b"%d.%d" % (death, number) for number in range(50)}
            for frame in asked:
                control.ask(frame, frame)
            if death % 2:  # some arrive, some do not
                wait_until(lambda: host.read(), what="something arrives")
            host.kill_router()
            host.start()

            def answer_all() -> bool:
                control.resend_due()
                for word, peer, *_, frames in (one for one in host.read() if one[0] == "in"):
                    assert word == "in"
                    heard.add(frames[0])
                    host.send(peer, frames[0])
                while (frame := control.receive_nowait()) is not None:
                    control.answered(frame)
                return not control.unanswered

            wait_until(answer_all, 20, "all is answered")
            assert asked <= heard


def test_a_message_of_several_frames_is_counted_not_delivered(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        control.try_send(b"here")
        peer = host.wait_said(b"here")[1]
        host.send(peer, b"a", b"b")
        host.send(peer, b"c")
        assert control.wait_frame(10) == b"c"
        assert control.garbled == 1


def test_its_socket_can_be_polled_together_with_others(places: Path) -> None:
    with routed(places) as host, control_socket(places) as control:
        poller = zmq.Poller()
        poller.register(control.socket, zmq.POLLIN)
        control.try_send(b"here")
        host.send(host.wait_said(b"here")[1], b"there")
        assert dict(poller.poll(10_000)) == {control.socket: zmq.POLLIN}
        assert control.receive_nowait() == b"there"
        assert control.receive_nowait() is None


def test_a_queue_that_is_full_says_so_and_the_rest_is_said_again(places: Path) -> None:
    with control_socket(places) as control:
        asked = {b"%d" % number for number in range(1500)}
        for frame in asked:
            control.ask(frame, frame)
        assert control.try_send(b"more") is False
        with routed(places, burst_messages=1e6) as host:

            def all_answered() -> bool:
                control.resend_due()
                for _, peer, *_, frames in (one for one in host.read() if one[0] == "in"):
                    heard.add(frames[0])
                    host.send(peer, frames[0])
                while (frame := control.receive_nowait()) is not None:
                    control.answered(frame)
                return not control.unanswered

            heard: set[bytes] = set()
            wait_until(all_answered, what="all is answered")
            assert asked <= heard
