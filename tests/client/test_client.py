"""A client and its host, real sockets between them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.client import Client
from agenthost.errors import NoHost, TimedOut, UsageError
from agenthost.protocol import control
from tests.agent.fake_host import FakeHost, fake_host
from tests.waiting import wait_until


@pytest.fixture
def host(places: Path) -> Iterator[FakeHost]:
    folder = places / "run" / "team" / str(Path("/proc/self").stat().st_uid)
    folder.mkdir(parents=True)
    with fake_host(folder) as host:
        yield host


def test_a_request_is_answered(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        assert client.request("echo", {"a": [1, 2]}) == {"a": [1, 2]}
        assert client.request("echo") == {}


def test_the_only_running_host_is_found(host: FakeHost) -> None:
    with Client() as client:
        assert client.request("echo", {"a": 1}) == {"a": 1}
    with Client(host="team") as client:
        assert client.endpoint == host.endpoint
    with pytest.raises(NoHost, match="other"):
        Client(host="other")


def test_what_the_host_refuses_is_raised_as_its_kind(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        with pytest.raises(UsageError, match="no such op: fly"):
            client.request("fly")
        assert client.request("echo", {"still": "here"}) == {"still": "here"}


def test_what_no_host_would_take_is_refused_here_and_the_next_request_goes_on(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        for args, why in (
            ({"a": 1 << 70}, "ints"),
            ({"a": "\udcff"}, "utf-8"),
            ({"a": b"x" * 300_000}, "at most 262144"),
        ):
            with pytest.raises(UsageError, match=why):
                client.request("echo", args)
            with pytest.raises(UsageError, match=why):
                list(client.request_each("echo", [args]))
        with pytest.raises(UsageError, match=r"cannot reach '/.udcff'"):
            client.call("/\udcff")
        with pytest.raises(UsageError, match=r"after entry 1\.5"):
            list(client.session("/a").events(1.5))  # type: ignore[arg-type]
        assert client.request("echo", {"still": "here"}) == {"still": "here"}


def test_a_stream_yields_results_as_they_come(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        assert list(client.stream("count", {"to": 100})) == list(range(100))
        assert client.request("count", {"to": 3}) == 2


def test_a_stream_may_be_left_in_the_midst(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        for number in client.stream("count", {"to": 1000}):
            if number == 5:
                break
        assert client.request("echo", {"a": 1}) == {"a": 1}


def test_a_request_that_got_lost_is_said_again(host: FakeHost) -> None:
    host.deaf_to[control.Request] = 2
    with Client(host.endpoint) as client:
        assert client.request("echo", {"a": 1}) == {"a": 1}


def test_a_request_survives_a_restart_of_the_router(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        assert client.request("echo") == {}
        host.close_router()
        thread = threading.Thread(target=host.open_router)
        thread.start()
        assert client.request("echo", {"a": 1}) == {"a": 1}
        thread.join()


def test_nobody_at_the_endpoint_is_no_host(places: Path) -> None:
    began = time.monotonic()
    with Client(f"ipc://{places}/run/nobody", patience_s=0.3) as client, pytest.raises(NoHost, match="nobody"):
        client.request("echo")
    assert time.monotonic() - began < 20


def test_a_host_that_falls_silent_is_noticed_however_long_the_request_may_take(host: FakeHost) -> None:
    with Client(host.endpoint, patience_s=0.4) as client:
        client.request("echo")
        host.is_silent = True
        with pytest.raises(NoHost):
            client.request("never", timeout=None)


def test_a_slow_request_is_waited_for_while_the_host_is_there(host: FakeHost) -> None:
    with Client(host.endpoint, patience_s=0.2) as client, pytest.raises(TimedOut, match="never"):
        client.request("never", timeout=1.0)
    assert any(request.op == "ping" for _, request in host.requests)


def test_a_request_that_is_over_is_not_said_again(host: FakeHost) -> None:
    with Client(host.endpoint) as client:
        with pytest.raises(TimedOut):
            client.request("never", timeout=0.05)
        client.request("echo")
        count = len(host.requests)
        with pytest.raises(TimedOut):
            client.request("never", timeout=0.6)
        wait_until(lambda: len(host.requests) >= count + 2, what="a repetition")
        assert len({request.id for _, request in host.requests[count:]}) == 1


def test_the_command_line_pays_for_zeromq_only_when_it_speaks() -> None:
    code = (
        "import sys, agenthost.client; assert 'zmq' not in sys.modules; agenthost.client.Client; "
        "assert 'zmq' in sys.modules; assert 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
