"""The two kinds of context are one interface: what is said of the plain one holds for the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from agenthost import AsyncContext, Context
from agenthost.agent import async_desk, desk

AT_ONCE = {"checkpoint", "emit", "group", "log", "progress", "scope", "spend", "stream"}
"""There is nothing to await in them."""


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: it for name, it in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


PLAIN, ASYNC = methods(Context), methods(AsyncContext)


def test_both_kinds_have_the_same_methods() -> None:
    assert PLAIN.keys() == ASYNC.keys()
    assert not any(inspect.iscoroutinefunction(method) for method in PLAIN.values())
    assert {name for name, method in ASYNC.items() if not inspect.iscoroutinefunction(method)} == AT_ONCE


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_method_takes_the_same_in_both_kinds(name: str) -> None:
    plain, other = inspect.signature(PLAIN[name]), inspect.signature(ASYNC[name])
    assert plain.parameters == other.parameters
    assert PLAIN[name].__doc__
    assert ASYNC[name].__doc__


@pytest.mark.parametrize(("name", "kinds"), [("start", ("Child", "AsyncChild")), ("popen", ("Tool", "AsyncTool"))])
def test_a_method_says_what_its_own_kind_returns(name: str, kinds: tuple[str, str]) -> None:
    assert tuple(inspect.signature(it[name]).return_annotation for it in (PLAIN, ASYNC)) == kinds


def test_what_nobody_takes_is_refused_where_it_is_called() -> None:
    ctx = Context("/a", "1.1", None, None)  # type: ignore[arg-type]  # never asked
    with pytest.raises(TypeError, match="unexpected keyword argument 'timout'"):
        ctx.run(["true"], timout=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [desk, async_desk])
def test_the_desks_name_all_that_calls_the_authors_code(kind: Any) -> None:
    owner = kind.SyncDesk if kind is desk else kind.AsyncDesk
    calling = {
        method.__code__
        for method in vars(owner).values()
        if inspect.isfunction(method) and {"handle", "on_down"} & set(method.__code__.co_names)
    }
    assert calling == kind._TURNS
