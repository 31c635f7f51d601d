"""``recovery``: what is done about work that failed, rung by rung, as a ladder of ``core.remedy``.

A rung is a word, or a map with that word alone and what it needs. A name with a dot or a colon is the author's own.
What one file can tell is refused here: rungs that are unknown or never reached, a fall-back that leads nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from agenthost.config.document import Mapping, Node, Scalar, Sequence, kind_of
from agenthost.config.kinds import Duration, Reading, Share, Text, Whole
from agenthost.config.problem import Refused, nearest, show
from agenthost.config.process_kinds import Plain
from agenthost.config.sections import Key, Section
from agenthost.core.birth import AgentBirth
from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.rungs import Ladder, Parameters, Rung
from agenthost.core.spec import ChildSpec, SupervisorSpec

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
OWN_PATTERN = rf"{_NAME}(?:\.{_NAME})*[.:]{_NAME}|[^\u0000:]+\.py:{_NAME}"
PATH_PATTERN = r"(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,63})+"
MOST_STEPS = 1000

RETRY = Section(
    "retry",
    "Again, with a clean turn and the last good state.",
    (
        Key("times", Whole(1, MOST_STEPS), "So often before the next rung.", "1"),
        Key("initial", Duration(), "The pause before the first; each is twice as long as the one before.", "1s"),
        Key("max", Duration(), "No pause is longer.", "60s"),
    ),
)
_QUESTION = Text(r"[^\u0000]*[^\s\u0000][^\u0000]*", "text", "nobody can answer an empty question", "ask something")
ASK = Section(
    "ask",
    "A person is asked: `agenthost asked`, then `approve`, `deny` or `answer`.",
    (
        Key("question", _QUESTION, "What the person is to decide.", required=True),
        Key("deadline", Duration(), "How long is waited for an answer; then the next rung is taken.", "for ever"),
    ),
)
SPAN = Section(
    "span",
    "Numbers that `vary` steps through, evenly.",
    (
        Key("from", Share("a number", -1e15, 1e15), "The first.", required=True),
        Key("to", Share("a number", -1e15, 1e15), "The last.", required=True),
        Key("steps", Whole(2, MOST_STEPS), "How many.", required=True),
    ),
)
_PLAIN = Plain()
_WORDS = ("retry", "vary", "compact", "roll_back", "fall_back", "ask", "dead_letter", "escalate")
_BARE = ("retry", "compact", "roll_back", "dead_letter", "escalate")


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall-back to ``path``, and where it stands."""

    path: str
    node: Node
    where: str


@dataclass(frozen=True, slots=True)
class Rungs:
    """``places`` are those of the rungs. ``attempts`` None: as ``mail`` says."""

    rungs: tuple[Rung, ...]
    falls: tuple[Fall, ...] = ()
    attempts: int | None = None
    spend: float = 0.0
    places: tuple[tuple[Node, str], ...] = ()


@dataclass(frozen=True)
class Recovery:
    words: str = "list of rungs (`docs/recovery.md`), or map: see [ladder](#ladder)"

    def read(self, node: Node, where: str, reading: Reading) -> Rungs:
        if isinstance(node, Mapping):
            found = LADDER.find(node, where, reading)
            steps: Rungs = found.get("steps", Rungs(()))
            return replace(steps, attempts=found.get("attempts"), spend=found.get("spend", 0.0))
        return self.steps(node, where, reading)

    def steps(self, node: Node, where: str, reading: Reading) -> Rungs:
        if not isinstance(node, Sequence):
            raise Refused(f"a list is wanted here, not {kind_of(node)}", "write it like [retry, dead_letter]")
        rungs: list[Rung] = []
        falls: list[Fall] = []
        places: list[tuple[Node, str]] = []
        end: tuple[str, int] | None = None
        for number, item in enumerate(node.items):
            place = f"{where}[{number}]"
            if end is not None and not self._ends_too(item, rungs, end):
                what = f"this rung is never reached: {end[0]} at line {end[1]} ends the ladder"
                reading.say(item, place, what, "remove it, or put it before that")
                continue
            try:
                rung = self._rung(item, place, reading)
            except Refused as refused:
                reading.say(item, place, refused.what, refused.hint)
                continue
            if rung is None:
                continue
            if isinstance(rung, on.Escalate) and rungs and isinstance(rungs[-1], on.Dead_letter):
                rungs[-1], places[-1] = on.Dead_letter(escalates=True), (item, place)
                end = "escalate", item.line
                continue
            rungs.append(rung)
            places.append((item, place))
            if isinstance(rung, on.Fall_back) and rung.agent:
                falls.append(Fall(rung.agent, _agent_node(item), place))
            if isinstance(rung, on.Dead_letter | on.Escalate):
                end = on.word(rung), item.line
        if sum(1 for _ in on.steps(tuple(rungs))) > MOST_STEPS:
            raise Refused(f"a ladder has at most {MOST_STEPS} steps", "let it retry, or vary, less often")
        return Rungs(tuple(rungs), tuple(falls), places=tuple(places))

    def _ends_too(self, item: Node, rungs: list[Rung], end: tuple[str, int]) -> bool:
        """``escalate`` right after ``dead_letter``: the message is set aside, and the process ends."""
        return end[0] == "dead_letter" and isinstance(item, Scalar) and item.text == "escalate"

    def _rung(self, node: Node, where: str, reading: Reading) -> Rung | None:
        """None after a problem was noted."""
        if isinstance(node, Scalar):
            if node.value() is None:
                raise Refused("a rung is wanted here, and there is nothing", "write it like 'retry', or '{retry: 3}'")
            return self._made(node.text, None, where, reading)
        if not isinstance(node, Mapping):
            raise Refused(f"a rung is wanted here, not {kind_of(node)}", "write it like 'retry', or '{retry: 3}'")
        if len(node.entries) != 1:
            names = ", ".join(node.entries)
            raise Refused(f"a rung is one word, not {len(node.entries)} ({names})", "begin each with '- '")
        ((word, (_, value)),) = node.entries.items()
        return self._made(word, value, f"{where}.{word}", reading)

    def _made(self, word: str, value: Node | None, where: str, reading: Reading) -> Rung | None:
        if word not in _WORDS:
            if re.fullmatch(OWN_PATTERN, word):
                return on.Authors(word, _parameters(value, where, reading))
            hint = nearest(word, _WORDS)
            hint += f"{' ' if hint.endswith('?') else ', '}or name one of your own: module:function"
            raise Refused(f"there is no rung {show(word)}", hint)
        if value is None and word not in _BARE:
            raise Refused(f"{word} does not stand alone", _EXAMPLES[word])
        before = len(reading.problems)
        rung: Rung = _MAKERS[word](value, where, reading)
        return rung if len(reading.problems) == before else None

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.schema_of_steps(), LADDER.schema()]}

    def schema_of_steps(self) -> dict[str, Any]:
        data = {"type": "object", "additionalProperties": {"$ref": "#/$defs/data"}}
        some = {**data, "minProperties": 1}
        forms = {
            "retry": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_STEPS}, RETRY.schema()]},
            "vary": some,
            "compact": data,
            "roll_back": {"type": "integer", "minimum": 1, "maximum": 32},
            "fall_back": some,
            "ask": {"anyOf": [_QUESTION.schema(), ASK.schema()]},
        }
        maps = [
            {"type": "object", "required": [word], "properties": {word: form}, "additionalProperties": False}
            for word, form in forms.items()
        ]
        own = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": data}
        own["propertyNames"] = {"pattern": f"^(?:{OWN_PATTERN})$"}
        word = {"anyOf": [{"enum": list(_BARE)}, {"type": "string", "pattern": f"^(?:{OWN_PATTERN})$"}]}
        return {"type": "array", "items": {"anyOf": [word, *maps, own]}}


@dataclass(frozen=True)
class Steps:
    """The list of rungs, in a map."""

    words: str = "list of rungs: see `docs/recovery.md`"

    def read(self, node: Node, where: str, reading: Reading) -> Rungs:
        return Recovery().steps(node, where, reading)

    def schema(self) -> dict[str, Any]:
        return Recovery().schema_of_steps()


LADDER = Section(
    "ladder",
    "`recovery` with bounds for each message.",
    (
        Key("steps", Steps(), "The rungs, as `recovery` has them alone.", required=True),
        Key("attempts", Whole(1, 1_000_000), "Attempts at a message.", "`mail.attempts`, or 20"),
        Key(
            "spend",
            Share("a number above 0, such as 0.5", 0.0, 1e12, above=True),
            "What all attempts at a message may cost together (`prices`); then it is set aside.",
            "no limit",
        ),
    ),
)


def _retry(value: Node | None, where: str, reading: Reading) -> Rung:
    if value is None:
        return on.Retry()
    if isinstance(value, Scalar):
        times = reading.read(Whole(1, MOST_STEPS), value, where)
        return on.Retry(times or 1)
    found = RETRY.find(value, where, reading)
    initial_s = found.get("initial", min(1.0, found.get("max", 1.0)))
    max_s = found.get("max", max(60.0, initial_s))
    if initial_s > max_s:
        reading.say(found.keys["initial"], where, "'initial' is more than 'max'", "make it less")
    return on.Retry(found.get("times", 1), initial_s, max_s)


def _vary(value: Node | None, where: str, reading: Reading) -> Rung:
    if not isinstance(value, Mapping) or not value.entries:
        raise Refused("a map with something in it is wanted here", _EXAMPLES["vary"])
    reading.read(_PLAIN, value, where)
    fixed: Parameters = {}
    each: dict[str, list[Any]] = {}
    random: list[str] = []
    for name, (_, held) in value.entries.items():
        place = f"{where}.{name}"
        if isinstance(held, Sequence):
            if not held.items:
                reading.say(held, place, "a list without values cannot be stepped through", "write [0.7, 0.9]")
            each[name] = held.value()
        elif isinstance(held, Mapping) and "from" in held.entries and "to" in held.entries:
            found = SPAN.find(held, place, reading)
            if len(found.values) == len(SPAN.keys):
                whole = all(isinstance(held.entries[key][1].value(), int) for key in ("from", "to"))
                first, last = (int(found.get(k)) if whole else found.get(k) for k in ("from", "to"))
                each[name] = on.Span(first, last, found.get("steps")).values()
        elif (name == "seed" or name.endswith("_seed")) and held.value() == "random":
            random.append(name)
        else:
            fixed[name] = held.value()
    return on.Vary(fixed, each, tuple(random))


def _compact(value: Node | None, where: str, reading: Reading) -> Rung:
    if isinstance(value, Scalar) and value.value() is not None:
        raise Refused("a map is wanted here", _EXAMPLES["compact"])
    return on.Compact(_parameters(value, where, reading))


def _roll_back(value: Node | None, where: str, reading: Reading) -> Rung:
    return on.Roll_back(1 if value is None else reading.read(Whole(1, 32), value, where) or 1)


def _fall_back(value: Node | None, where: str, reading: Reading) -> Rung:
    if not isinstance(value, Mapping) or not value.entries:
        raise Refused("a map with something in it is wanted here", _EXAMPLES["fall_back"])
    if "agent" not in value.entries:
        return on.Fall_back("", _parameters(value, where, reading))
    if len(value.entries) > 1:
        what = "another agent has args of its own: nothing stands beside 'agent'"
        reading.say(value, where, what, "remove the rest, or 'agent'")
    path = Text(PATH_PATTERN, "path", "it is no path of an agent", "write it as /team/other")
    return on.Fall_back(reading.read(path, value.entries["agent"][1], f"{where}.agent") or "")


def _ask(value: Node | None, where: str, reading: Reading) -> Rung:
    if isinstance(value, Mapping):
        found = ASK.find(value, where, reading)
        return on.Ask(found.get("question", ""), found.get("deadline", 0.0))
    assert value is not None  # it does not stand alone
    return on.Ask(reading.read(_QUESTION, value, where) or "")


def _alone(rung: Rung) -> Callable[[Node | None, str, Reading], Rung]:
    def make(value: Node | None, where: str, reading: Reading) -> Rung:
        if value is not None and not (isinstance(value, Scalar) and value.value() is None):
            raise Refused(f"{on.word(rung)} stands alone", f"write '- {on.word(rung)}'")
        return rung

    return make


_MAKERS: dict[str, Callable[[Node | None, str, Reading], Rung]] = {
    "retry": _retry,
    "vary": _vary,
    "compact": _compact,
    "roll_back": _roll_back,
    "fall_back": _fall_back,
    "ask": _ask,
    "dead_letter": _alone(on.Dead_letter()),
    "escalate": _alone(on.Escalate()),
}
_EXAMPLES = {
    "vary": "write it like {vary: {temperature: [0.7, 0.9], seed: random}}",
    "fall_back": "write it like {fall_back: {model: small}}, or {fall_back: {agent: /team/other}}",
    "compact": "write it like {compact: {keep_last: 8}}; its own compact() gets that",
    "ask": 'write it like {ask: "go on?"}',
}


def _parameters(value: Node | None, where: str, reading: Reading) -> Parameters:
    if value is None or (isinstance(value, Scalar) and value.value() is None):
        return {}
    return reading.read(_PLAIN, value, where) or {}


def _agent_node(item: Node) -> Node:
    """Where the path stands."""
    while isinstance(item, Mapping) and item.entries:
        item = next(iter(item.entries.values()))[1]
    return item


def check_falls(tree: SupervisorSpec, falls: Iterable[tuple[Ladder, Fall]], reading: Reading) -> None:
    """Every fall-back leads to another agent of the tree, or to a member of a pool of agents."""
    found = dict[str, ChildSpec](below(tree, ""))
    places = {id(ladder): path for path, child in found.items() if (ladder := _ladder_of(child)) is not None}
    for ladder, fall in falls:
        where = f"{fall.where}.fall_back.agent"
        if places.get(id(ladder)) == fall.path:
            reading.say(fall.node, where, f"{fall.path} cannot fall back to itself", "name another agent")
        elif (why := no_agent(found, fall.path)) is not None:
            agents = [path for path, child in found.items() if is_agent(child) and not path.endswith("*")]
            reading.say(fall.node, where, f"cannot fall back to {fall.path}: {why}", nearest(fall.path, agents))


def no_agent(found: dict[str, ChildSpec], path: str) -> str | None:
    child = found.get(path) or found.get(f"{path.rpartition('/')[0]}/*")
    if child is None:
        return "there is no such agent"
    return None if is_agent(child) else "it takes no messages"


def is_agent(child: ChildSpec) -> bool:
    return not isinstance(child, SupervisorSpec) and isinstance(child.birth, AgentBirth)


def _ladder_of(child: Any) -> Ladder | None:
    return child.birth.recovery if is_agent(child) else None


def below(spec: SupervisorSpec, path: str) -> Iterator[tuple[str, Any]]:
    members = [(f"{path}/*", spec.template)] if spec.template is not None else []
    for inner, child in [(f"{path}/{one.name}", one) for one in spec.children] + members:
        yield inner, child
        if isinstance(child, SupervisorSpec):
            yield from below(child, inner)
