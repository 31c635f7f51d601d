"""``agenthost explain``: what an agent is and what happened to it, in sentences; what will happen next is ``coming``'s.

The host tells what it knows (``host.explaining``); here it is put into words, and nothing else.

The rule it keeps: a sentence says what is so, and where somebody can do something about it, by which command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from agenthost.cli.asking import client, complete_path, is_known, normal, unknown
from agenthost.cli.coming import Facts, what_comes
from agenthost.cli.showing import Plain, clock, dump
from agenthost.cli.wording import date_words, state_words
from agenthost.observe.printable import printable, said, span


def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Also of what is gone.", autocompletion=complete_path)],
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """What happened to an agent lately, and what will happen next."""
    with client() as asked:
        facts = asked.request("explain", {"path": normal(path)})
    if "*" in path or "?" in path or not is_known(facts):
        raise unknown(facts)
    if output is not Plain.text:
        dump({**facts, "sentences": {"is": [*what_it_is(facts)], "next": [*what_comes(facts)]}}, output)
        return
    print("\n".join(map(printable, whole(facts))))


def whole(facts: Facts) -> Iterator[str]:
    yield from what_it_is(facts)
    lately = list(what_happened(facts))
    yield from ["", "Lately:", *lately] if lately else ["", "Nothing is known to have happened to it lately."]
    if coming := list(what_comes(facts)):
        yield from ["", "Next:", *(f"  {line}" for line in coming)]


# ---- what it is


def what_it_is(facts: Facts) -> Iterator[str]:
    path, node = facts["path"], facts["node"]
    if node is None:
        yield from _what_is_not_there(facts)
    elif node["kind"] == "supervisor":
        many = f"{node['children']} children" if node["children"] != 1 else "1 child"
        yield f"{path} is a supervisor ({node['strategy']}) of {many}; it is {_state(node)}{_for(facts, node)}."
        for child, state in node["unwell"]:
            yield f"{child} is {state_words(state)}."
    else:
        kind = "a program" if node["program"] else "an agent"
        yield f"{path} is {kind}; it is {_state(node)}{_for(facts, node)}{_incarnation(node)}."
        if node["busy_s"] is not None:
            yield f"Its turn in hand has taken {span(node['busy_s'])} so far."
    if node is not None and node["reason"]:
        yield f"It last ended: {said(node['reason'])}."
    if facts["mail"] is None:
        yield f"What the journal knows of it is left out: {facts['journal'] or 'it does not answer'}."


def _what_is_not_there(facts: Facts) -> Iterator[str]:
    path, mail = facts["path"], facts["mail"] or {}
    if facts["is_own"]:
        yield f"{path} would be a process of the host's own: agenthost ps shows those, agenthost doctor how they are."
    elif facts["can_be_woken"]:
        yield f"{path} does not run: it is a member that its pool makes as soon as somebody wants something of it."
    elif mail.get("removed"):
        yield f"There is no {path}: its session was removed at {date_words(mail['removed'])}."
    elif facts["records"] or facts["crashes"] or mail.get("session"):
        yield f"There is no {path} any more."
    else:
        yield f"There is no {path}, and nothing is known of one."
    if facts["near"]:
        yield f"Did you mean {facts['near']}?"


def _state(node: Facts) -> str:
    frozen = node.get("frozen_s") is not None or node.get("frozen_above")
    return state_words(node["state"]) + (" and frozen" if frozen else "")


def _for(facts: Facts, node: Facts) -> str:
    return f", for {span(max(0.0, facts['now'] - node['since']))} now" if node["since"] else ""


def _incarnation(node: Facts) -> str:
    return f", incarnation {node['incarnation']}" if node["incarnation"] else ""


# ---- what happened


def what_happened(facts: Facts) -> Iterator[str]:
    path, records = facts["path"], facts["records"]
    earliest = records[0]["at"] if records else facts["now"]
    for one in reversed(facts["crashes"] or []):
        if one["at"] < earliest - 1:
            yield f"  {clock(one['at'])}  {_crash(one)}"
    for one in records:
        where = "" if one["path"] == path else f"{one['path']}: "
        yield f"  {clock(one['at'])}  {where}{one['text']}{_of_what(facts, one)}"
    if facts["crashes"]:
        yield f"  More of what failed: agenthost crashes ls {path}; the last: agenthost crashes show {_newest(facts)}."


def _of_what(facts: Facts, record: Facts) -> str:
    """What its author's code raised, of a process that has ended."""
    if record["name"] != "agent.exited" or record["path"] != facts["path"]:
        return ""
    ends = (one for one in facts["crashes"] or [] if one["ended"] and one["incarnation"] == record["incarnation"])
    raised = next((one["reason"] for one in ends if one["reason"] != one["ended"]), "")
    return f": {raised}" if raised and raised not in record["text"] else ""


def _newest(facts: Facts) -> int:
    return max(int(one["number"]) for one in facts["crashes"])


def _crash(one: Facts) -> str:
    message = f"attempt {one['attempt']} of message {one['message']} failed: " if one["message"] else ""
    remedy = f"; {one['remedy']}" if one["remedy"] else ""
    return f"{message}{said(one['reason'])}{remedy}"


COMMANDS = {"explain": explain}
