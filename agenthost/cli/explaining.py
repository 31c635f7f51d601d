"""``agenthost explain``: what an agent is, what happened to it, and what will happen next, in sentences.

The host tells what it knows (``host.explaining``); here it is put into words, and nothing else. The rule: a sentence
says what is so or what will be done, and where somebody can do something about it, by which command.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from agenthost.cli.asking import client, complete_path, normal
from agenthost.cli.showing import Plain, clock, dump
from agenthost.observe.printable import printable, said, span

Facts = dict[str, Any]
_NEARLY = 0.8
"""Such a part of a budget is worth a sentence."""
_NEAR_S = 0.5
"""A record of a crash so near to an end is of that."""


def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Also of what is gone.", autocompletion=complete_path)],
    output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text,
) -> None:
    """What happened to an agent lately, and what will happen next."""
    with client() as asked:
        facts = asked.request("explain", {"path": normal(path)})
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
            yield f"{child} is {_words(state)}."
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
        yield f"There is no {path}: its session was removed at {_at(mail['removed'])}."
    elif facts["records"] or facts["crashes"] or mail.get("session"):
        yield f"There is no {path} any more."
    else:
        yield f"There is no {path}, and nothing is known of one."
    if facts["near"]:
        yield f"Did you mean {facts['near']}?"


_STATES = {
    "down": "stopped",
    "waiting": "down, and waits to be restarted",
    "asked": "asked to end",
    "terminating": "being ended: TERM went to all that it started",
    "killing": "being ended: KILL went to all that it started",
    "stuck": "stuck: KILL does not empty its cell",
    "done": "done: it has ended, and is not to come back",
    "gave_up": "given up",
}


def _words(state: str) -> str:
    return _STATES.get(state, state)


def _state(node: Facts) -> str:
    frozen = node.get("frozen_s") is not None or node.get("frozen_above")
    return _words(node["state"]) + (" and frozen" if frozen else "")


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
    near = (one for one in facts["crashes"] or [] if one["ended"] and abs(one["at"] - record["at"]) < _NEAR_S)
    raised = next((one["reason"] for one in near if one["reason"] != one["ended"]), "")
    return f": {raised}" if raised and raised not in record["text"] else ""


def _newest(facts: Facts) -> int:
    return max(int(one["number"]) for one in facts["crashes"])


def _crash(one: Facts) -> str:
    message = f"attempt {one['attempt']} of message {one['message']} failed: " if one["message"] else ""
    remedy = f"; {one['remedy']}" if one["remedy"] else ""
    return f"{message}{said(one['reason'])}{remedy}"


# ---- what comes


def what_comes(facts: Facts) -> Iterator[str]:
    """One line a thing."""
    if facts["halting"]:
        yield "The host is ending: everything is stopped, and nothing starts any more."
    if facts["node"] is not None:
        yield from _of_process(facts, facts["node"], facts["above"])
    yield from _of_budgets(facts)
    yield from _of_mail(facts)


_AT_LIMIT = {
    "stopped": "no new turn begins, and mail waits, until somebody grants more",
    "asks": "a person is asked whether it may use more",
    "falls_back": "it goes on with other args, until somebody grants more or it is at twice of that",
}


def _of_budgets(facts: Facts) -> Iterator[str]:
    """Of its own, and of whatever is above it."""
    from agenthost.core.budget.meters import shown

    for sheet in facts["budgets"]:
        for bound in sheet["bounds"]:
            meter, place = bound["meter"], sheet["path"]
            used = f"{shown(meter, bound['used'])} of {shown(meter, bound['of'])}"
            whose = f"Its budget of {meter}" if place == facts["path"] else f"The budget of {meter} of {place}"
            if bound["state"]:
                what = _AT_LIMIT.get(bound["state"], bound["state"])
                option = f"--{meter.replace('_', '-')}"
                yield f"{whose} is used up ({used}): {what}. More: agenthost budget grant {place} {option} AMOUNT."
            elif bound["scope"] != "turn" and bound["of"] and bound["used"] / bound["of"] >= _NEARLY:
                yield f"{whose} is nearly used up: {used}."


def _of_process(facts: Facts, node: Facts, above: Facts | None) -> Iterator[str]:
    path, state = facts["path"], node["state"]
    if node["restarts_in_s"] is not None:
        with_group = above is not None and above["group_waits_for"] == path.rsplit("/", 1)[1]
        group = ", and its group with it" if with_group else ""
        yield f"It restarts in {span(node['restarts_in_s'])}{group}; {_borne(above)}."
        yield f"Sooner: agenthost start {path}. Not at all: agenthost stop {path}."
    elif state == "gave_up":
        yield f"It stays down until somebody starts it: agenthost start {path}."
    elif state == "down" and node["held"]:
        yield f"It was stopped by hand and stays down until somebody starts it: agenthost start {path}."
    elif state == "down" and above is not None and above["state"] not in ("ready", "starting"):
        yield f"It is down with its supervisor {above['path']}, which is {_words(above['state'])}; explain that."
    elif state == "down" and above is not None and above["is_next"]:
        yield f"It starts when its turn has come in {above['path']}{_in_hand(above)}."
    elif state == "down":
        yield f"It stays down until somebody starts it: agenthost start {path}."
    elif state == "done":
        yield f"It is {node['restart']} and ended well, so it is not restarted. Again: agenthost start {path}."
    elif state == "asleep":
        yield "It wakes when somebody wants something of it: a call, mail, or agenthost start."
    elif state == "stuck":
        yield "KILL is repeated; it is not started again before its cell is empty. Look at its processes: agenthost ps."
    elif above is not None and node["kind"] == "worker" and state in ("starting", "ready"):
        yield from _if_it_ends(node, above)
    yield from _deadlines(node)


def _deadlines(node: Facts) -> Iterator[str]:
    if above := node.get("frozen_above"):
        yield f"It stands still with {above}, which has started it: agenthost thaw {above}."
    elif node.get("frozen_s") is not None:
        yield f"It stands still, for {span(node['frozen_s'])} now, until somebody thaws it; no deadline passes for it."
    left = node.get("deadlines") or {}
    if node.get("interrupted"):
        within = f" within {span(max(0.0, left['interrupt']))}" if "interrupt" in left else ""
        yield f"Its turn is being interrupted ({node['interrupted']}); if it does not come back{within}, it is ended."
    if "start" in left:
        yield f"It must be ready within {span(max(0.0, left['start']))}, else it is killed."
    if "kill" in left:
        why = f" ({node['asked']})" if node.get("asked") else ""
        yield f"It was asked to end{why}; KILL comes in {span(max(0.0, left['kill']))}."
    if "doze" in left:
        yield f"It falls asleep in {span(max(0.0, left['doze']))} if nothing comes."


def _if_it_ends(node: Facts, above: Facts) -> Iterator[str]:
    restart = node["restart"]
    if restart == "temporary":
        yield "It is temporary: when it ends, nothing of it is kept."
        return
    unless = " unless it ends well" if restart == "transient" else ""
    soon = "at once" if not node["attempt"] else "after a pause"
    yield f"Should it end, it is restarted {soon}{unless} ({restart}); {_borne(above)}."


def _borne(above: Facts | None) -> str:
    """How much patience is left."""
    if above is None:
        return "nobody restarts the root"
    whose = "its own" if above["own"] else f"those of {above['path']}"
    left = above["intensity"] - above["used"]
    then = "it is given up" if above["own"] else f"{above['path']} gives up"
    used = f"{above['used']} of {above['intensity']} restarts in {above['period_s']:g} s are used ({whose})"
    return used if left > 0 else f"{used}: with one more {then}"


def _in_hand(above: Facts) -> str:
    return f", after {above['in_hand']}" if above["in_hand"] else ""


# ---- mail


def _of_mail(facts: Facts) -> Iterator[str]:
    mail = facts["mail"] or {}
    listed = mail.get("messages", [])
    for one in listed:
        yield from _of_message(facts, one)
    told = sum(one["status"] != "waiting" for one in listed)
    waiting = mail.get("open", 0) - told
    if waiting > 0:
        yield f"{waiting} more messages wait for it." if told else f"{_count(waiting, 'message')} wait for it."
    if mail.get("dead"):
        most = "at least " if mail["dead"] >= 100 else ""
        yield f"{most}{_count(mail['dead'], 'dead letter')}: agenthost dead-letters ls {facts['path']}."


def _of_message(facts: Facts, one: Facts) -> Iterator[str]:
    last, now = one["last"], facts["now"]
    who = f"Message {one['message']} of {one['sender']}"
    of = f" of {facts['attempts']}" if facts["attempts"] else ""
    next_ = f"attempt {one['failed'] + 1}{of}"
    because = f" Attempt {last['attempt']} failed at {clock(last['at'])}: {said(last['reason'])}." if last else ""
    why = f" Chosen because: {last['why']}." if last and last["why"] else ""
    match one["status"]:
        case "backing_off":
            remedy = f": {last['remedy']}" if last else ""
            yield f"{who}: {next_}{remedy}, in {span(max(0.0, one['due'] - now))}.{because}{why}"
        case "parked":
            until = f" until {_at(one['due'])}" if one["due"] else ""
            yield f"{who} waits for a person{until}: {one['question']!r}.{because}"
            yield f"Say: agenthost approve {one['message']}, deny {one['message']}, or answer {one['message']} TEXT."
        case "leased":
            yield f"{who} is in hand: {next_}{_remedied(last)}.{because}"
        case "waiting" if last:
            yield f"{who} is next: {next_}{_remedied(last)}.{because}"
        case "delayed":
            yield f"{who} is delivered at {_at(one['due'])}."


def _remedied(last: Facts | None) -> str:
    return f": {last['remedy']}" if last else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


COMMANDS = {"explain": explain}
