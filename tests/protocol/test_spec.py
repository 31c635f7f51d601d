"""SPEC.md says what the code says, and its example works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
import zmq

from agenthost.protocol import codec, control, data
from agenthost.protocol.tables import with_tables
from tests.transport.routed import routed

SPEC = Path(codec.__file__).with_name("SPEC.md")


def test_the_tables_of_the_spec_are_those_of_the_code() -> None:
    text = SPEC.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python -m agenthost.protocol.tables agenthost/protocol/SPEC.md"


def test_every_type_of_message_stands_in_the_grammar() -> None:
    text = SPEC.read_text(encoding="utf-8")
    dialogs = text.partition("## Dialogs")[2].partition("## Reliability")[0]
    table = text.partition("<!-- tables -->")[2].partition("### Operations")[0]
    types = re.findall(r"^\| `(\w+)` \| (?!key)", table, re.MULTILINE)
    assert len(types) > 20
    unnamed = [one for one in types if one != "t" and not re.search(rf"[CS]:{one}\b|`{one}`", dialogs)]
    assert unnamed == ["execed", "ended"]  # between a host and the init it makes; not for others to implement


def test_a_text_without_markers_is_not_written_to() -> None:
    with pytest.raises(ValueError, match="once each"):
        with_tables("# nothing here")


def test_the_example_of_the_spec_asks_a_host_and_calls_an_agent(places: Path) -> None:
    example = SPEC.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    planner = context.socket(zmq.ROUTER)
    address = f"ipc://{places}/d-1.2"
    planner.bind(address)
    try:
        with routed(places) as host:
            words = [sys.executable, "-c", example, f"ipc://{places}/control"]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
                _, peer, _, _, frames = host.wait_word("in")
                assert codec.read_from_peer(frames[0]) == control.Request(id=1, op="status")
                # the first answer is lost: the client asks again
                host.heard.clear()
                _, _, _, pid, repeated = host.wait_word("in")
                assert repeated == frames and pid == client.pid
                host.heard.clear()
                host.send(peer, codec.encode(control.Response(id=1, result={"nodes": []})))
                while not isinstance(codec.read_from_peer(host.wait_word("in")[4][0]), control.Lookup):
                    host.heard.clear()
                found = control.Found(id=2, path="/team/planner", inc="1.2", address=address, ticket=b"t" * 16)
                host.send(peer, codec.encode(found))

                caller, hello = planner.recv_multipart()
                name = f"client:{os.getuid()}"
                assert codec.read_from_caller(hello) == data.Hello(ticket=b"t" * 16, caller=name, inc="")
                planner.send_multipart([caller, codec.encode(data.Accepted(inc="1.2", credit=64))])
                caller, call, body = planner.recv_multipart()
                assert codec.read_from_caller(call) == data.Call(id=1, left_ms=5000)
                assert msgpack.unpackb(body) == {"goal": "tea"}
                planner.send_multipart([caller, codec.encode(data.Reply(id=1)), msgpack.packb("hot tea")])
                output, _ = client.communicate(timeout=60)
            assert output.splitlines() == ["{'nodes': []}", "64", "hot tea"]
    finally:
        planner.close(0)
        context.term()
        (places / "d-1.2").unlink(missing_ok=True)
