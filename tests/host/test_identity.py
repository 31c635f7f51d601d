"""Who speaks is not a claim: tools of agents, stolen tokens, other users, and garbage on every socket."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from agenthost.client.client import Client
from agenthost.errors import NoHost
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode
from tests.host.conftest import Start
from tests.host.running import Running, agent, as_user, tree
from tests.host.sharing import put_back
from tests.host.user_client import UserClient

REQUEST = """
import sys
from agenthost.client.client import Client
from agenthost.errors import AgenthostError
try:
    with Client(sys.argv[1], patience_s=20) as client:
        print("got in:", client.request("stop", {"path": "/echo"}, timeout=20))
except AgenthostError as error:
    print(error.code)
"""
"""What a tool may try."""

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.001)
        sys.stdout = open(sys.argv[2] + ".new", "w")
        exec(compile(sys.argv[3], "tool", "exec"))
        sys.stdout.close()
        os.rename(sys.argv[2] + ".new", sys.argv[2])
    os._exit(0)
"""
"""The same from a process that no longer descends from its agent."""

READY = """
import sys
import zmq
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode, read_from_host
endpoint, inc, token = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
context = zmq.Context()
dealer = context.socket(zmq.DEALER)
dealer.connect(endpoint)
dealer.send(encode(control.Ready(inc=inc, token=token)))
print(type(read_from_host(dealer.recv())).__name__ if dealer.poll(20000) else "silence")
context.destroy(linger=0)
"""
"""Says Ready with a token that it was not given."""


@pytest.fixture(params=["auto", "never"])
def host(request: pytest.FixtureRequest, share: Start) -> Iterator[Running]:
    """With and without a PID namespace: operators are told from agents in another way in each."""
    host = share(tree(agent("echo", "Echo"), agent("doer", "Teller")), namespace=request.param)
    yield host
    put_back(host)


def run_tool(host: Running, code: str, *words: str) -> str:
    done = host.call("/doer", {"do": "run", "command": [sys.executable, "-c", code, host.endpoint, *words]})
    assert done["status"] == 0, done
    return str(done["out"]).strip()


def test_a_tool_of_an_agent_cannot_operate_the_host(host: Running) -> None:
    before = host.ask("counters")["host.not_permitted"]
    assert run_tool(host, REQUEST) == "not_permitted"
    assert host.state("/echo") == "ready"
    assert host.ask("counters")["host.not_permitted"] == before + 1


def test_a_daemon_that_a_tool_has_left_behind_cannot_operate_the_host(host: Running) -> None:
    file = host.folder / "answer"
    run_tool(host, DAEMON, str(file), REQUEST)
    host.wait(file.exists, "the daemon has its answer")
    assert file.read_text().strip() == "not_permitted"
    assert host.state("/echo") == "ready"


def test_an_agent_itself_cannot_operate_the_host_over_a_connection_of_its_own(host: Running) -> None:
    assert host.call("/doer", {"do": "operate", "endpoint": host.endpoint}) == "not_permitted"
    assert host.state("/echo") == "ready"


def test_a_token_that_is_wrong_or_stolen_opens_nothing(host: Running) -> None:
    told = host.call("/doer", {"do": "token"})
    before = host.ask("counters")["host.not_permitted"]
    assert run_tool(host, READY, told["inc"], os.urandom(16).hex()) == "Garbled"
    assert run_tool(host, READY, told["inc"], told["token"]) == "Garbled"  # the right one, from another process
    assert run_tool(host, READY, "0.0", told["token"]) == "Garbled"
    # from outside, as an operator, it is worth as little
    done = subprocess.run(
        [sys.executable, "-c", READY, host.endpoint, told["inc"], told["token"]],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "Garbled", done
    assert host.ask("counters")["host.not_permitted"] == before + 4
    # and its owner is none the worse: it is still asked, found and stopped
    assert host.call("/doer", {"do": "call", "path": "/echo", "body": 5})["reply"] == 5
    assert host.ask("stop", path="/doer")["text"].startswith("asked")


def test_a_ticket_that_the_host_did_not_announce_opens_no_agent(host: Running) -> None:
    host.call("/echo", 1)
    [door] = [path for path in host.places.data_folder(os.getuid()).iterdir() if path.name.startswith("d-")]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(f"ipc://{door}")
        dealer.send(encode(data.Hello(ticket=os.urandom(16), caller="/doer", inc="1.2")))
        assert dealer.poll(60_000)
        assert b"closed" in dealer.recv_multipart()[0]
        dealer.send_multipart([encode(data.Call(id=1)), b"\x01"])
        assert dealer.poll(60_000)
        assert b"closed" in dealer.recv_multipart()[0]
    finally:
        context.destroy(linger=0)
    assert host.call("/echo", 2) == 2


# ---- other users

A, B = 54321, 54322
NOBODY = 65534
"""What a user namespace shows every uid as that it does not map (user_namespaces(7))."""


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("uid", [A, NOBODY])
def test_the_host_of_one_user_is_out_of_reach_for_another(start: Start, uid: int) -> None:
    host = start(tree(agent("echo", "Echo")), uid=uid)
    assert host.call("/echo", 1) == 1
    assert Path(f"/proc/{host.pid('/echo')}").stat().st_uid == uid
    stranger = host.new_client(uid=B, patience_s=2)
    with pytest.raises(NoHost):
        stranger.request("stop", {"path": "/echo"})
    # the mode of the folders keeps others out; the router does so without them
    for path in (host.places.runtime_folder, host.places.data_folder(uid), host.places.control_socket(uid)):
        os.chmod(path, 0o777)
    with pytest.raises(NoHost):
        stranger.request("stop", {"path": "/echo"})
    host.wait(lambda: host.ask("counters")["router.refused_uid"] >= 1, "the refusal is counted")
    assert host.state("/echo") == "ready"


@pytest.mark.root
def test_a_user_who_is_named_as_operator_gets_in_and_another_does_not(start: Start) -> None:
    host = start(tree(agent("echo", "Echo")), operators=[A])
    endpoint = host.places.control_endpoint(A)
    for uid, gets_in in ((B, False), (A, True)):
        python, environment = as_user(uid, host.folder)
        client = UserClient(python, environment, uid, endpoint, 2)
        if gets_in:
            assert client.call("/echo", 7) == 7
            assert client.request("stop", {"path": "/echo"})["state"] == "down"
            assert host.wait_event("command.stop", "/echo")["fields"]["by"] == f"uid {A}"
        else:
            with pytest.raises(NoHost):
                client.request("stop", {"path": "/echo"})
            assert host.state("/echo") == "ready"


# ---- garbage


def garbage(chance: random.Random) -> list[bytes]:
    """One message: bytes of any kind, and well-formed words in the wrong place."""
    words: list[Callable[[], list[bytes]]] = [
        lambda: [chance.randbytes(chance.randrange(200))],
        lambda: [b""],
        lambda: [chance.randbytes(3)] * chance.randrange(2, 9),
        lambda: [b"\x81\xa1t\xa5ready"],
        lambda: [b"\xdf\xff\xff\xff\xff"],
        lambda: [b"\x91" * 5000],
        lambda: [encode(control.Ready(inc="1.1", token=chance.randbytes(16)))],
        lambda: [encode(control.Expecting(inc="1.1", ticket=b"x", address="ipc:///etc/passwd"))],
        lambda: [encode(control.Stopping(inc="1.1", id=chance.randrange(2**31)))],
        lambda: [encode(control.Request(id=1, op="stop", args={"path": 7}))],
        lambda: [encode(control.Request(id=2, op=str(chance.random())))],
        lambda: [encode(control.Lookup(id=3, path="\x00" * 50))],
        lambda: [chance.randbytes(300_000)],
    ]
    return chance.choice(words)()


def say_garbage(endpoint: str, seed: int, count: int) -> None:
    chance = random.Random(seed)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.linger = 500
    try:
        for _ in range(5):
            with context.socket(zmq.DEALER) as dealer:
                dealer.set(zmq.SNDTIMEO, 2000)
                dealer.connect(endpoint)
                for _ in range(count // 5):
                    try:
                        dealer.send_multipart(garbage(chance))
                    except zmq.Again:
                        break  # it was cut off, or is slowed down
    finally:
        context.term()


def say_raw_bytes(path: Path, seed: int) -> None:
    """Below ZeroMQ: what is no handshake, or only half of one."""
    chance = random.Random(seed)
    handshake = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    for said in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        chance.randbytes(5000),
        handshake[: chance.randrange(64)],
        handshake + chance.randbytes(1000),
        handshake + b"\x04\xff" + chance.randbytes(100),
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            try:
                sock.sendall(said)
            except OSError:
                continue  # it was cut off in the midst of it


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_garbage_on_the_control_socket_is_counted_and_nobody_else_notices(start: Start, seed: int) -> None:
    host = start(tree(agent("echo", "Echo"), agent("doer", "Doer")))
    pids = {path: host.pid(path) for path in ("/echo", "/doer")}
    own = sorted(host.own_pids(""))
    say_garbage(host.endpoint, seed, 300)
    say_raw_bytes(host.places.control_socket(os.getuid()), seed)

    def counted() -> bool:
        counters = host.ask("counters")
        return bool(counters["host.garbled"] and counters["router.garbled"] and counters["router.bad_handshakes"])

    host.wait(counted, "it is counted")
    assert host.call("/doer", {"do": "call", "path": "/echo", "body": seed})["reply"] == seed
    assert {path: host.pid(path) for path in pids} == pids
    assert sorted(host.own_pids("")) == own, "a process of the host's own was restarted"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_garbage_on_an_agents_data_socket_does_not_harm_it(start: Start, seed: int) -> None:
    host = start(tree(agent("echo", "Echo"), agent("async", "AsyncEcho"), agent("doer", "Doer")))
    pids = {path: host.pid(path) for path in ("/echo", "/async")}
    for path in pids:
        host.call(path, 1)
    doors = [path for path in host.places.data_folder(os.getuid()).iterdir() if path.name.startswith("d-")]
    assert len(doors) == 2
    for door in doors:
        say_garbage(f"ipc://{door}", seed, 300)
        say_raw_bytes(door, seed)
    for path in pids:
        assert host.call("/doer", {"do": "call", "path": path, "body": seed})["reply"] == seed
    assert {path: host.pid(path) for path in pids} == pids


@pytest.mark.slow
def test_a_flood_on_the_control_socket_does_not_keep_others_from_it(start: Start) -> None:
    host = start(tree(agent("echo", "Echo"), agent("flooder", "Doer")))
    flood = (
        "import sys, time, zmq\n"
        "context = zmq.Context()\n"
        "dealers = [context.socket(zmq.DEALER) for _ in range(8)]\n"
        "for dealer in dealers:\n"
        "    dealer.set(zmq.SNDTIMEO, 100)\n"
        "    dealer.connect(sys.argv[1])\n"
        "until = time.monotonic() + 4\n"
        "while time.monotonic() < until:\n"
        "    for dealer in dealers:\n"
        "        try:\n"
        "            dealer.send(b'x' * 100)\n"
        "        except zmq.Again:\n"
        "            pass\n"
        "context.destroy(linger=0)\n"
    )
    command = [sys.executable, "-c", flood, host.endpoint]
    host.client.send("/flooder", {"do": "run", "command": command}, durable=False)
    host.wait(lambda: host.ask("counters").get("router.flooded", 0) > 0, "the flood is on")
    for number in range(20):
        with Client(host.endpoint, patience_s=20) as client:  # with a look-up of its own, in the midst of it
            assert client.call("/echo", number, 20) == number
    assert host.state("/flooder") == "ready"
