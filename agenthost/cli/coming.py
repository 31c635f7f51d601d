"""What will happen next to an agent, in sentences: to its process, at its budgets, with its mail. What it is, and what
happened to it, is ``explaining``'s.

The rule it keeps: a sentence says what will be done, and where somebody can do something about it, by which command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agenthost.cli.showing import clock
from agenthost.cli.wording import date_words, state_words
from agenthost.observe.printable import said, span
from agenthost.observe.question import how_to_answer

Facts = dict[str, Any]
_NEARLY = 0.8
"""Such a part of a budget is worth a sentence."""


def what_comes(facts: Facts) -> Iterator[str]:
    """A line a thing. ``facts`` are those of ``explain``."""
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
        yield f"It is down with its supervisor {above['path']}, which is {state_words(above['state'])}; explain that."
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
    elif node["kind"] == "supervisor" and state in ("starting", "ready"):
        yield from _if_children_end(path, node)
    yield from _of_turn(node)
    yield from _deadlines(node)


def _of_turn(node: Facts) -> Iterator[str]:
    """What its config does to a turn that takes long."""
    turn = node.get("turn")
    if not turn or node["interrupted"]:
        return
    if turn["timeout_s"] is not None:
        left_s = max(0.0, turn["timeout_s"] - turn["busy_s"])
        yield f"Its turn is interrupted in {span(left_s)}, when it will have taken {span(turn['timeout_s'])}."
    if turn["progress_s"] is not None:
        left_s = max(0.0, turn["progress_s"] - turn["still_s"])
        so_long = f"it has not got on for {span(turn['still_s'])}, and {span(turn['progress_s'])} are allowed"
        yield f"Its turn is interrupted in {span(left_s)} unless it gets on: {so_long}."


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


def _if_children_end(path: str, node: Facts) -> Iterator[str]:
    if node["is_pool"]:
        yield f"A member is made, or wakes, as soon as somebody wants something of it: agenthost call {path}/NAME."
    window = node["window"]
    left = window["intensity"] - window["used"] + 1
    then = "the host ends with an error" if path == "/" else "it gives up"
    so_far = f"{window['used']} of {window['intensity']} restarts in {window['period_s']:g} s are used"
    yield f"Of what is below it, {so_far}: with {left} more {then}."


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
        more, verb = " more" if told else "", "waits" if waiting == 1 else "wait"
        yield f"{waiting}{more} {'message' if waiting == 1 else 'messages'} {verb} for it."
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
            soon = f"in {span(one['due'] - now)}" if one["due"] > now else "at once"
            yield f"{who}: {next_}{remedy}, {soon}.{because}{why}"
        case "parked":
            until = f" until {date_words(one['due'])}" if one["due"] else ""
            yield f"{who} waits for a person{until}: {one['question']!r}.{because}"
            yield f"Say: {how_to_answer(one['message'], one['nth'])}."
        case "leased":
            yield f"{who} is in hand: {next_}{_remedied(last)}.{because}"
        case "waiting" if last:
            yield f"{who} is next: {next_}{_remedied(last)}.{because}"
        case "delayed":
            yield f"{who} is delivered at {date_words(one['due'])}."


def _remedied(last: Facts | None) -> str:
    return f": {last['remedy']}" if last else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
