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
from agenthost.cli.databases import instead_of_host
from agenthost.cli.showing import Plain, clock, dump
from agenthost.cli.wording import date_words, state_words
from agenthost.errors import NoHost
from agenthost.observe.printable import printable, said, span


def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Also of what is gone.", autocompletion=complete_path)],
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """What happened to an agent lately, and what will happen next."""
    facts = _facts(normal(path))
    if "*" in path or "?" in path or not is_known(facts):
        raise unknown(facts)
    if output is not Plain.text:
        dump({**facts, "sentences": {"is": [*what_it_is(facts)], "next": [*what_comes(facts)]}}, output)
        return
    print("\n".join(map(printable, whole(facts))))


def _facts(path: str) -> Facts:
    try:
        with client() as asked:
            found: Facts = asked.request("explain", {"path": path})
            return found
    except NoHost as error:
        from agenthost.cli.remembered import facts_of

        with instead_of_host(error) as reader:
            return facts_of(reader, path)


def whole(facts: Facts) -> Iterator[str]:
    yield from what_it_is(facts)
    lately = list(what_happened(facts))
    yield from ["", "Lately:", *lately] if lately else ["", "Nothing is known to have happened to it lately."]
    if coming := list(what_comes(facts)):
        yield from [
            "",
            "Once its host runs again:" if facts.get("offline") else "Next:",
            *(f"  {line}" for line in coming),
        ]


# ---- what it is


def what_it_is(facts: Facts) -> Iterator[str]:
    path, node = facts["path"], facts["node"]
    if facts.get("offline"):
        yield from _what_was(facts)
    elif node is None:
        yield from _what_is_not_there(facts)
    elif node["kind"] == "supervisor":
        if node["is_pool"]:
            asleep = "" if node["asleep"] is None else f", {node['asleep']} asleep"
            members = "1 member" if node["children"] == 1 else f"{node['children']} members"
            kind = f"a pool: {members} there{asleep}"
        else:
            many = f"{node['children']} children" if node["children"] != 1 else "1 child"
            kind = f"a supervisor ({node['strategy']}) of {many}"
        yield f"{path} is {kind}; it is {_state(node)}{_for(facts, node)}."
        for child, state in node["unwell"]:
            yield f"{child} is {state_words(state)}."
    else:
        kind = "a program" if node["program"] else "an agent"
        yield f"{path} is {kind}; it is {_state(node)}{_for(facts, node)}{_incarnation(node)}."
        if turn := node["turn"]:
            of = f", attempt {turn['attempt']} at message {turn['message']}," if turn["message"] else ""
            yield f"Its turn in hand{of} has taken {span(turn['busy_s'])} so far."
    if facts["host"]:
        yield from _host(facts, facts["host"])
    if node is not None and node["reason"] and node["state"] != "asleep":
        yield f"It last ended: {said(node['reason'])}."
    if facts["mail"] is None:
        yield f"What the journal knows of it is left out: {facts['journal'] or 'it does not answer'}."


def _what_was(facts: Facts) -> Iterator[str]:
    """No host runs."""
    path, mail = facts["path"], facts["mail"]
    last = f", the last life of which was boot {facts['offline']['boots'][0]}" if facts["offline"]["boots"] else ""
    if path == "/":
        yield f"The host does not run{last}. What its journal has of failures is below."
        return
    yield f"{path} does not run, for its host does not{last}. Whether there is such a path only a host can say."
    if mail["removed"]:
        yield f"Its session was removed at {date_words(mail['removed'])}."
    elif mail["session"]:
        yield "It has a session: what it was told and has answered, and its state."


def _host(facts: Facts, host: Facts) -> Iterator[str]:
    yield f"This is boot {host['boot']} of the host {host['name']}, for {span(facts['now'] - host['since'])} now."
    if before := host["before"]:
        at = f" at {date_words(before['at'])}" if before["at"] else ""
        yield f"Boot {before['boot']} was cut off{at}: {before['ended']}. All that it had started ended with it."
        yield "The tree was started again; mail, sessions, budgets and persisting children are as the journal has them."
        yield f"What was decided before: agenthost replay --boot {before['boot']}."


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
    if facts["near"] and not facts["can_be_woken"]:
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
            where = "" if one["path"] == path else f"{one['path']}: "
            yield f"  {clock(one['at'])}  {where}{_crash(one)}"
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
