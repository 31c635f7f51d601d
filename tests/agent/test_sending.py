"""Code that travels, in this process: what comes out does what went in, and what cannot travel is named."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agenthost.agent.agent import Agent
from agenthost.agent.functions import agent_of
from agenthost.agent.sending import pack_code, unpack_agent
from agenthost.agent.wanted import source_of, wanted
from agenthost.errors import StartFailed, UsageError
from agenthost.launch import modules
from agenthost.testing import AgentHarness
from tests.agent.cast import Clerk, Echo

MOST = 100_000
_lock = threading.Lock()


def sent(what: Any) -> type[Agent]:
    return unpack_agent(pack_code(what, MOST))


def refusal(what: Any) -> str:
    with pytest.raises(UsageError) as raised:
        pack_code(what, MOST)
    return str(raised.value)


def test_a_closure_brings_what_it_refers_to() -> None:
    factor = 3
    inner: Callable[[int], int] = lambda number: number * factor  # noqa: E731
    with AgentHarness(sent(lambda message: inner(message.body))) as agent:
        assert agent.call(14) == 42


def test_a_handler_takes_a_message_or_a_message_and_a_context() -> None:
    with AgentHarness(sent(lambda message, ctx: [message.body, ctx.path])) as agent:
        assert agent.call(1) == [1, "/test"]
    one = 1
    with AgentHarness(sent(lambda message, number=one: message.body + number)) as agent:
        assert agent.call(1) == 2
    for wrong in (lambda: None, lambda a, b, c: None, lambda message, *, key: None):
        assert "a handler takes (message) or (message, ctx)" in refusal(wrong)


def test_an_async_function_is_an_async_agent() -> None:
    async def later(message: Any) -> Any:
        return message.body

    with AgentHarness(sent(later)) as agent:
        assert agent.call(5) == 5


def test_a_local_class_travels_whole() -> None:
    base = 10

    class Base(Agent):
        def handle(self, message: Any, ctx: Any) -> Any:
            return self.more(message.body)

        def more(self, number: int) -> int:
            raise ValueError("not this one")

    class Adder(Base):
        def more(self, number: int) -> int:
            return base + number

    with AgentHarness(sent(Adder)) as agent:
        assert agent.call(1) == 11


def test_a_function_of_a_module_goes_by_name() -> None:
    assert len(pack_code(_at_module_level, MOST)) < 200
    with AgentHarness(agent_of(_at_module_level)) as agent:
        assert agent.call("x") == "x"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (threading.Lock(), "_thread.lock"),
        (threading.RLock(), "_thread.RLock"),
        (threading.Event(), "threading.Event"),
        (iter(number for number in [1]), "generator"),
    ],
)
def test_a_closure_variable_that_cannot_travel_is_named_with_its_type(value: Any, kind: str) -> None:
    text = refusal(lambda message: value)
    line = (lambda: 0).__code__.co_firstlineno - 1
    assert f"cannot send lambda at {__file__}:{line}: its variable 'value' (a {kind}) cannot be pickled; " in text


def test_open_files_and_sockets_are_named(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log, socket.socket() as plug:
        assert "variable 'log' (a _io.TextIOWrapper)" in refusal(lambda message: log.write("x"))
        assert "variable 'plug' (a socket.socket)" in refusal(lambda message: plug)


def test_the_way_to_what_is_to_blame_is_told() -> None:
    config = {"name": "x", "guard": [1, threading.Lock()]}
    assert "its variable 'config', in it entry 'guard', in it item '1' (a _thread.lock)" in refusal(lambda m: config)

    def inner() -> Any:
        return config

    assert "its variable 'inner', in it variable 'config', in it entry 'guard'" in refusal(lambda message: inner())


def test_what_a_partial_holds_is_named(tmp_path: Path) -> None:
    lock = threading.Lock()

    def handler(what: Any, message: Any, *, more: Any = None) -> Any:
        return message.body

    def guarded(number: int, message: Any) -> Any:
        return lock

    line = handler.__code__.co_firstlineno
    text = refusal(functools.partial(handler, lock))
    assert f"handler at {__file__}:{line}: its argument '0' (a _thread.lock) cannot be pickled" in text
    text = refusal(functools.partial(handler, 1, more={"guard": lock}))
    assert "its argument 'more', in it entry 'guard' (a _thread.lock)" in text
    assert "its function 'guarded', in it variable 'lock' (a _thread.lock)" in refusal(functools.partial(guarded, 1))
    assert "its argument '0' (a bytes) with 200" in refusal(functools.partial(handler, b"l" * 200_000))
    with AgentHarness(sent(functools.partial(handler, 1))) as agent:
        assert agent.call(5) == 5


def test_what_an_object_with_slots_holds_is_named() -> None:
    class Base:
        __slots__ = ("__own",)

        def __init__(self, own: Any) -> None:
            self.__own = own

    class Pair(Base):
        __slots__ = ("left", "right")
        right: Any

    for own, right in ((1, threading.Lock()), (threading.Lock(), 1)):
        pair = Pair(own)
        pair.right = right
        name = "__own" if right == 1 else "right"
        text = refusal(lambda message, pair=pair: pair)
        assert f"its default argument 'pair', in it attribute '{name}' (a _thread.lock)" in text


def test_default_arguments_globals_and_attributes_are_named() -> None:
    def with_default(message: Any, ctx: Any, *, guard: Any = threading.Lock()) -> None:  # noqa: B008
        """Nothing."""

    assert "its default argument 'guard' (a _thread.lock)" in refusal(with_default)
    assert "its global variable '_lock' (a _thread.lock)" in refusal(lambda message: _lock)

    class Guarded(Echo):
        guard = threading.Lock()

    text = refusal(Guarded)
    assert "class tests.agent.test_sending." in text and "its attribute 'guard' (a _thread.lock)" in text

    class Guarding(Echo):
        def handle(self, message: Any, ctx: Any) -> Any:
            return _lock

    assert "its method 'handle', in it global variable '_lock' (a _thread.lock)" in refusal(Guarding)


def test_a_context_that_is_caught_in_a_closure_is_named_with_what_to_do() -> None:
    class Owner(Agent):
        def handle(self, message: Any, ctx: Any) -> Any:
            ctx.start(lambda inner: ctx.call("/other"))

    with AgentHarness(Owner) as owner, pytest.raises(UsageError) as raised:
        owner.call()
    assert "its variable 'ctx' (a agenthost.agent.context.Context)" in str(raised.value)
    assert "a handler gets a ctx of its own" in str(raised.value)


def test_the_largest_variable_of_too_much_is_named() -> None:
    small, large = b"s" * 1000, b"l" * 200_000
    assert "the largest is its variable 'large' (a bytes) with 200" in refusal(lambda message: [small, large])


def test_code_that_cannot_be_read_is_a_failed_start() -> None:
    with pytest.raises(StartFailed, match="cannot load the code that was sent"):
        unpack_agent(b"nonsense")


# ---- what is asked for


def test_what_can_be_imported_goes_by_name() -> None:
    assert wanted(Echo, None, None, {}).spec == {"agent": "tests.agent.cast:Echo"}
    assert wanted("chat:Chat", None, {"a": 1}, {"restart": "permanent"}) == (
        None, "chat", {"agent": "chat:Chat", "args": {"a": 1}, "restart": "permanent"}, b"",
    )  # fmt: skip


def test_a_class_of_a_file_goes_by_the_path_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "crew.py"
    file.write_text("from agenthost import Agent\nclass Hand(Agent):\n    def handle(self, message, ctx): return 1\n")
    kind = modules.load(str(file)).Hand
    assert wanted(kind, None, None, {}).spec == {"agent": f"{file}:Hand"}


def test_what_is_no_longer_what_its_name_says_goes_as_code() -> None:
    class Local(Echo):
        """Of a function."""

    assert source_of(Local) == ""
    assert wanted(Local, None, None, {}).code
    assert wanted(Local, None, {"a": 1}, {}).spec == {"args": {"a": 1}}


def test_names_are_made_and_checked() -> None:
    def _private_Function(message: Any) -> None:
        """Nothing."""

    assert wanted(_private_Function, None, None, {}).stem == "private_function"
    assert wanted(lambda message: None, None, None, {}).stem == "lambda"
    assert wanted({"command": ["/bin/sleep", "1"]}, None, None, {}).stem == "sleep"
    assert wanted({"agent": "a:B", "name": "mine"}, None, None, {})[:3] == ("mine", "b", {"agent": "a:B"})
    assert wanted({"agent": "a:B", "name": "mine"}, "other", None, {}).name == "other"
    for name in ("", "a/b", ".hidden", "x" * 65):
        with pytest.raises(UsageError, match="cannot start a child named"):
            wanted(Clerk, name, None, {})
    for nonsense in (5, object, None):
        with pytest.raises(UsageError, match="cannot start"):
            wanted(nonsense, None, None, {})  # type: ignore[arg-type]


def _at_module_level(message: Any) -> Any:
    return message.body
