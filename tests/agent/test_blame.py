"""What the journal is told of a turn that failed: kind, type, place, and when to come again."""

from __future__ import annotations

import email.utils
import functools
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agenthost.agent.blame import failure_of, place_of, retry_after_s
from agenthost.agent.turn import one_line, trace_of, words_of
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.errors import (
    AnswerRejected,
    ProtocolError,
    Refuse,
    TimedOut,
    TurnFailed,
    TurnInterrupted,
)


def raised(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:  # what is looked at, not what went wrong
        return error
    raise AssertionError("nothing was raised")


def parse(text: str) -> Any:
    return json.loads(text)


class Planner:
    def first(self) -> None:
        raise ValueError("1")

    def second(self) -> None:
        if not hasattr(self, "other"):
            raise ValueError("2")
        raise ValueError("3")


class Refused(Exception):
    def __init__(self, headers: dict[str, str], status_code: int) -> None:
        super().__init__("the provider says no")
        self.response = SimpleNamespace(headers=headers, status_code=status_code)


def test_the_place_is_where_the_author_was_not_the_library() -> None:
    place = place_of(raised(lambda: parse("garbage")))
    assert place == f"test_blame:parse+{1}"


def test_two_lines_of_one_function_are_two_places_and_no_line_of_the_file_is_in_it() -> None:
    planner = Planner()
    second = place_of(raised(planner.second))
    planner.other = 1  # type: ignore[attr-defined]
    third = place_of(raised(planner.second))
    assert {second, third} == {"test_blame:Planner.second+2", "test_blame:Planner.second+3"}
    assert place_of(raised(planner.first)) == "test_blame:Planner.first+1"


def test_the_same_crash_over_other_data_has_one_fingerprint() -> None:
    texts = ("garbage", "[1, 2", '{"a": }')
    marks = {fingerprint(failure_of(raised(functools.partial(parse, text)))) for text in texts}
    assert marks == {"crash JSONDecodeError at test_blame:parse+1"}


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (KeyError("x"), "crash", "KeyError"),
        (Refuse("no"), "refused", ""),
        (ProtocolError("no"), "unreadable", ""),
        (TurnInterrupted("by uid 0"), "interrupted", ""),
        (TurnInterrupted("its turn took longer than 5 s", kind="turn_timeout"), "turn_timeout", ""),
        (TimedOut("no reply"), "error", "timed_out"),
        (TurnFailed("no"), "error", "turn_failed"),
        (AnswerRejected("no"), "rejected", "AnswerRejected"),
        (SystemExit(3), "crash", "SystemExit"),
    ],
)
def test_kinds(error: BaseException, kind: str, what: str) -> None:
    found = failure_of(error)
    assert (found.kind, found.type) == (kind, what)


def test_statuses_of_a_provider_are_different_failures() -> None:
    marks = {fingerprint(failure_of(Refused({}, status))) for status in (429, 500, 400)}
    assert len(marks) == 3
    wrapped = TurnFailed("the model is not there")
    wrapped.__cause__ = Refused({}, 503)
    assert failure_of(wrapped).type == "turn_failed 503"


@pytest.mark.parametrize("headers", [{"retry-after": "7"}, {"Retry-After": "7"}])
def test_when_to_come_again_is_read_from_the_header_of_the_cause(headers: dict[str, str]) -> None:
    error = TurnFailed("the model is not there")
    error.__cause__ = Refused(headers, 429)
    assert retry_after_s(error) == 7.0
    assert failure_of(error).retry_after_s == 7.0


def test_when_to_come_again_may_be_a_date() -> None:
    date = email.utils.formatdate(time.time() + 90, usegmt=True)
    assert 60 < retry_after_s(Refused({"retry-after": date}, 429)) <= 90
    past = email.utils.formatdate(time.time() - 90, usegmt=True)
    assert retry_after_s(Refused({"retry-after": past}, 429)) == 0.0


@pytest.mark.parametrize("value", ["soon", "-3", "nan", "inf", "", "Thu, 99 Foo 2026"])
def test_a_header_that_says_nothing_is_none(value: str) -> None:
    assert retry_after_s(Refused({"retry-after": value}, 429)) == 0.0


def test_an_error_may_say_it_itself() -> None:
    assert retry_after_s(TurnFailed("wait", retry_after_s=3)) == 3.0
    assert retry_after_s(ValueError("x")) == 0.0


def test_errors_that_cause_each_other_in_a_ring_come_to_an_end() -> None:
    one, other = ValueError("1"), ValueError("2")
    one.__cause__, other.__cause__ = other, one
    assert failure_of(one).kind == "crash"


class Mute(TurnFailed):
    def __str__(self) -> str:
        raise KeyError("words")


@pytest.mark.parametrize("error", [TurnFailed("read b\udce4d"), Mute("no"), ValueError("\ud800")])
def test_what_an_error_says_can_be_sent_whatever_it_is(error: Exception) -> None:
    found = raised(functools.partial(_raise, error))
    for text in (words_of(found), one_line(found), trace_of(found)):
        assert text and text.encode("utf-8")
    assert type(error).__name__ in one_line(found)


def _raise(error: Exception) -> None:
    raise error
