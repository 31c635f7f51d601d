"""The fold of what turns tell: text that grows, said again at a new door, within its bounds."""

from __future__ import annotations

import msgpack

from agenthost.journal import parts as of_turns
from agenthost.journal.parts import Part, Parts
from agenthost.protocol.mail import Delta

FIELDS = msgpack.packb({"model": "m"})


def say(parts: Parts, at: int, text: str, number: int = 1, fields: bytes = b"", inc: tuple[int, int] = (1, 1)) -> None:
    parts.told("/a", inc, Delta(number, 5, 2, "answer", fields, at, text))


def the_only(parts: Parts) -> Part:
    (part,) = parts.of("/a")
    return part


def test_deltas_become_one_text() -> None:
    parts = Parts()
    say(parts, 0, "", fields=FIELDS)
    text = ""
    for number in range(300):
        piece = f"{number}é "
        say(parts, len(text), piece)
        text += piece
    part = the_only(parts)
    assert part.text(0, part.length) == text
    assert [part.text(start, 7) for start in (0, 11, len(text) - 3)] == [text[:7], text[11:18], text[-3:]]
    assert msgpack.unpackb(part.broken().body) == {"model": "m", "text": text}
    assert (part.broken().broken, part.broken().message, part.broken().attempt) == (True, 5, 2)


def test_what_is_said_again_from_the_beginning_replaces_what_was_there() -> None:
    parts = Parts()
    say(parts, 0, "hello", fields=FIELDS)
    say(parts, 0, "hello world", fields=FIELDS)
    part = the_only(parts)
    assert (part.text(0, 99), part.life) == ("hello world", 1)


def test_a_hole_is_not_folded_over() -> None:
    parts = Parts()
    say(parts, 0, "hello")
    say(parts, 9, "world")
    assert the_only(parts).text(0, 99) == "hello"


def test_a_part_without_a_text_is_its_fields() -> None:
    parts = Parts()
    say(parts, -1, "", fields=FIELDS)
    assert msgpack.unpackb(the_only(parts).broken().body) == {"model": "m"}


def test_nonsense_for_fields_costs_the_fields_alone() -> None:
    parts = Parts()
    say(parts, 0, "hello", fields=b"\xc1")
    assert msgpack.unpackb(the_only(parts).broken().body) == {"text": "hello"}


def test_a_newer_incarnation_begins_anew_and_an_older_one_is_not_heard() -> None:
    parts = Parts()
    say(parts, 0, "old", inc=(1, 1))
    say(parts, 0, "new", inc=(1, 2))
    say(parts, 3, "!", inc=(1, 1))
    assert the_only(parts).text(0, 99) == "new"
    assert parts.open("/a", (1, 1)) == []


def test_what_is_beyond_the_bound_of_a_part_is_not_kept() -> None:
    parts = Parts()
    say(parts, 0, "x" * of_turns.PART_BYTES, fields=b"\x80")
    say(parts, of_turns.PART_BYTES, "y")
    part = the_only(parts)
    say(parts, part.length, "z" * 2)
    assert part.size_bytes <= of_turns.PART_BYTES
    assert len(part.broken().body) <= of_turns.BODY_BYTES


def test_all_parts_together_are_bounded_and_give_their_room_back() -> None:
    parts = Parts()
    block = "x" * (8 * 1024 * 1024)
    for number in range(1, 40):
        say(parts, 0, block, number)
    kept = [part for part in parts.of("/a") if part.length]
    assert sum(part.size_bytes for part in kept) <= of_turns.ALL_BYTES
    assert len(kept) == of_turns.ALL_BYTES // len(block) - (of_turns.ALL_BYTES % len(block) != 0)
    parts.drop("/a", [part.number for part in kept])
    say(parts, 0, block, 100)
    assert [part.length for part in parts.of("/a") if part.number == 100] == [len(block)]


def test_a_part_whose_type_is_no_word_is_not_kept() -> None:
    parts = Parts()
    assert not parts.told("/a", (1, 1), Delta(1, 5, 2, "t" * 1_000_000, FIELDS, -1, ""))
    assert not parts.of("/a")
