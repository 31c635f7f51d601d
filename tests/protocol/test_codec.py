from __future__ import annotations

import typing
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.errors import ProtocolError, UsageError
from agenthost.protocol import birth, codec, control, data
from agenthost.protocol.operations import OPERATIONS, Events, Stop, Wait, read_arguments

READERS: list[tuple[codec.Reader[Any], Any]] = [
    (codec.read_from_peer, control.FromPeer),
    (codec.read_from_host, control.FromHost),
    (codec.read_from_caller, data.FromCaller),
    (codec.read_from_callee, data.FromCallee),
    (codec.read_from_process, birth.FromProcess),
    (codec.read_to_process, birth.ToProcess),
]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def made_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, as far as MessagePack and a comparison carry them."""
    if hint is Any:
        return values
    if hint is int:
        return st.integers(0, 2**63)
    if hint is float:
        return st.floats(allow_nan=False)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(st.text(), values, max_size=4)
    if arguments := typing.get_args(hint):
        return st.one_of(*map(made_of, arguments))
    return st.from_type(hint)


@pytest.mark.parametrize(("reader", "kinds"), READERS)
def test_every_message_comes_back_as_it_was(reader: codec.Reader[Any], kinds: Any) -> None:
    @given(st.data())
    def comes_back(draw: st.DataObject) -> None:
        kind = draw.draw(st.sampled_from(typing.get_args(kinds)))
        fields = {name: made_of(hint) for name, hint in typing.get_type_hints(kind).items()}
        message = draw.draw(st.builds(kind, **fields))
        assert reader(codec.encode(message)) == message

    comes_back()


def read_everywhere(frame: bytes) -> None:
    for reader, _ in READERS:
        try:
            reader(frame)
        except ProtocolError:
            pass  # the only thing that may happen


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_protocol_error(frame: bytes) -> None:
    read_everywhere(frame)


@given(values, st.sampled_from(["ready", "stop", "call", "beat", "nothing"]))
def test_no_msgpack_raises_anything_but_a_protocol_error(value: object, word: str) -> None:
    read_everywhere(msgpack.packb(value))
    read_everywhere(msgpack.packb({"t": word, "id": value, "inc": value}))


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    frame = msgpack.packb({"t": "request", "id": 1, "op": "x"})[:-2] + b"\xa1x"
    deep = b"\x84" + frame[1:] + msgpack.packb("args") + b"\x81\xa1a" + b"\x91" * 200_000 + b"\xc0"
    with pytest.raises(ProtocolError):
        codec.read_from_peer(deep)


def test_unknown_keys_are_ignored_and_unknown_types_are_not() -> None:
    assert codec.read_from_peer(msgpack.packb({"t": "seen", "id": 1, "new": "key"})) == control.Seen(id=1)
    with pytest.raises(ProtocolError, match="novelty"):
        codec.read_from_peer(msgpack.packb({"t": "novelty", "id": 1}))


def test_one_direction_does_not_read_the_others_words() -> None:
    with pytest.raises(ProtocolError):
        codec.read_from_peer(codec.encode(control.Welcome(inc="1.1")))


@pytest.mark.parametrize(
    ("body", "where"), [({"a": {1, 2}}, r"body\['a'\] of type set"), ([0, object()], r"body\[1\]")]
)
def test_a_body_that_cannot_be_sent_is_blamed_by_its_place(body: object, where: str) -> None:
    with pytest.raises(TypeError, match=where):
        codec.pack_body(body)


@given(values)
def test_bodies_come_back_as_they_were(value: object) -> None:
    assert codec.unpack_body(codec.pack_body(value)) == value


# ---- operations


def test_arguments_have_the_names_of_the_wire() -> None:
    assert read_arguments("events", {"from": 7, "follow": True}) == Events(start=7, follow=True)
    assert read_arguments("wait", {"path": "/a", "for": "stopped"}) == Wait(path="/a", state="stopped")
    assert read_arguments("stop", {"path": "/a"}) == Stop(path="/a", wait=True)


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("fly", {}),
        ("stop", {}),
        ("stop", {"path": 1}),
        ("stop", {"path": "/a", "hard": True}),
        ("halt", {"how": "soon"}),
    ],
)
def test_words_and_arguments_that_are_not_known_are_refused(op: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"cannot do '{op}'"):
        read_arguments(op, arguments)


def test_every_operation_that_needs_nothing_can_be_asked_without_arguments() -> None:
    for op in ("ping", "status", "ps", "events", "halt", "doctor", "counters"):
        assert isinstance(read_arguments(op, {}), OPERATIONS[op])
