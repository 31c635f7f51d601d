"""Nothing that agents say acts on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.cli.showing import display_width, shortened, size
from agenthost.observe.printable import printable, printable_lines, said, span
from agenthost.observe.record import Record

ANY_TEXT = st.text(st.characters(categories=None), max_size=60)  # lone surrogates too


@given(ANY_TEXT)
def test_one_line_has_no_character_that_acts(text: str) -> None:
    shown = printable(text)
    assert not [one for one in shown if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    shown.encode("utf-8")


@given(ANY_TEXT)
def test_lines_stay_lines_and_the_rest_is_as_harmless(text: str) -> None:
    assert printable_lines(text).count("\n") == text.count("\n")
    assert printable(printable_lines(text)) == printable(printable_lines(text).replace("\n", "\\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\r", r"a\nb\r"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("bad \udcff", r"bad \udcff"),
        ("tab\there", "tab here"),
        ("käse 猫 👩‍🚀", "käse 猫 👩‍🚀"),
    ],
)
def test_what_acts_is_shown_as_its_escape_and_nothing_else_is_changed(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT, ANY_TEXT)
def test_the_sentence_and_the_line_of_a_record_are_one_harmless_line_each(name: str, text: str) -> None:
    for record in (
        Record(1, 0.0, "agent.exited", "/a", {"reason": text}),
        Record(1, 0.0, "something.else", "/a", {name: text}),
        Record(1, 0.0, "host.failed", "/", {"reason": text, "trace": text}),
    ):
        assert printable(record.sentence()) == record.sentence()
    assert Record(1, 0.0, "x", "/a b\x1b", {"reason": text}).line().isprintable()


@given(ANY_TEXT.map(printable), st.integers(4, 40), st.booleans())
def test_a_shortened_text_fits(text: str, width: int, at_start: bool) -> None:
    assert display_width(shortened(text, width, at_start=at_start)) <= max(width, 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0004, "0.4 ms"),
        (0.035, "35 ms"),
        (1.44, "1.4 s"),
        (75, "75 s"),
        (720, "12 min"),
        (18000, "5 h"),
        (8e5, "9 d"),
    ],
)
def test_lengths_of_time_are_told_as_people_do(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_sizes_are_told_with_three_figures() -> None:
    assert [size(n) for n in (None, 0, 1023, 310_272, 6_606_028, 3 * 2**30)] == [
        "", "0 B", "1023 B", "303 KiB", "6.3 MiB", "3.0 GiB",
    ]  # fmt: skip


def test_a_reason_does_not_say_a_word_twice() -> None:
    assert said("stopped: stopped by uid 0") == "stopped by uid 0"
    assert said("killed: by uid 0 (why not)") == "killed by uid 0 (why not)"
    assert said("exit status 3") == "exit status 3"
    assert said(None) == ""
