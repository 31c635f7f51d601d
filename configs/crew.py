"""The crew of ``team.yaml``: a planner, two researchers and an editor that answer from the project's own files.

::

    question -> planner --> researcher-1 --> /search, the model --+
                       `--> researcher-2 --> /search, the model --+--> planner --> editor --> the model --> answer

The model is small: it is weak at facts and always valid under a JSON schema. So it decides by schema, among what the
crew puts before it, and every answer of it is checked here. The facts are quotes, word for word, of files that the
search tool found; the editor has each of them looked up again before it prints it.
Everybody adds what it did to ``by``: ``{"path", "pid", "did", "tries"}``.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

from agenthost_workers.again import ask_again, call_again, gather_again
from agenthost_workers.chat import by_schema
from agenthost_workers.completion import Broken, CompletionError, Endpoint, Rejected, Unreachable

from agenthost import Agent, Context, Message, Refuse
from agenthost.errors import TimedOut

TURN_S = 120.0
"""For who asks without a deadline."""
PASSAGES = 3
_ASKING = frozenset("does from have into that then this what when where which with".split())
_SPLIT = re.compile(r"[?;]|,? and (?=how|what|when|where|which|who|why|does|is|are|can)", re.IGNORECASE)


class _Unfit(Exception):
    """The model's answer is not what its schema asked for: it was cut, or the endpoint does not keep to schemas."""


class Member(Agent):
    """One of the crew. Args: ``search``, the path of the search tool. AGENTHOST_MODEL_PORT says where the model is."""

    def on_start(self, ctx: Context) -> None:
        headers = {"x-agent-path": ctx.path, "x-agent-pid": str(os.getpid())}
        url = f"http://127.0.0.1:{os.environ.get('AGENTHOST_MODEL_PORT') or 8099}/v1"
        self._model = Endpoint(url, api_key=os.environ.get("OPENAI_API_KEY"), headers=headers)
        self._tries = 0

    def on_stop(self, ctx: Context) -> None:
        self._model.close()

    def handle(self, message: Message, ctx: Context) -> Any:
        self._tries = 0
        deadline = time.monotonic() + TURN_S if message.deadline is None else message.deadline
        if not isinstance(message.body, dict):
            raise Refuse(f"cannot work on {type(message.body).__name__}: send a map")
        return self.work(message.body, ctx, deadline)

    def work(self, body: dict[str, Any], ctx: Context, deadline: float) -> dict[str, Any]:
        raise Refuse("cannot work: this is nobody of the crew; name Planner, Researcher or Editor")

    def decide(
        self, ctx: Context, role: str, words: str, choices: dict[str, dict[str, Any]], deadline: float
    ) -> dict[str, Any]:
        """The model's answer by the schema that ``choices`` (property: schema) makes. Asked again while it is away."""
        schema = {
            "type": "object",
            "properties": choices,
            "required": list(choices),
            "additionalProperties": False,
        }
        request = {
            "messages": [{"role": "system", "content": role}, {"role": "user", "content": words}],
            "response_format": by_schema(schema),
            "temperature": 0,
            "max_tokens": 256,
        }
        if name := os.environ.get("OPENAI_MODEL"):
            request["model"] = name

        def ask(left_s: float) -> dict[str, Any]:
            self._tries += 1
            return checked(self._model.complete(request, deadline=deadline).text, choices)

        def note(refusal: Exception) -> None:
            ctx.log("asking the model again", why=str(refusal))

        try:
            return ask_again(ask, deadline=deadline, not_now=(Unreachable, Broken, _Unfit), on_again=note)
        except Rejected as error:
            raise Refuse(f"cannot use the model: {error}") from error
        except CompletionError as error:
            raise TimedOut(f"cannot get an answer of the model in time: {error}") from error

    def done(self, ctx: Context, did: str) -> dict[str, Any]:
        return {"path": ctx.path, "pid": os.getpid(), "did": did, "tries": self._tries}


def checked(text: str, choices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """``text`` as the object that ``choices`` asks for. Never trust: an endpoint may not know schemas at all."""
    try:
        value = json.loads(text)
    except ValueError:
        raise _Unfit(f"the model's answer is no JSON: {text[:80]!r}") from None
    if not isinstance(value, dict):
        raise _Unfit(f"the model's answer is no object: {text[:80]!r}")
    for name, wanted in choices.items():
        part = value.get(name)
        if "enum" in wanted and part not in wanted["enum"]:
            raise _Unfit(f"the model chose {part!r} for {name}, which is none of {wanted['enum']}")
        if wanted.get("type") == "string" and not isinstance(part, str):
            raise _Unfit(f"the model gave {part!r} for {name}, not a text")
    return value


class Planner(Member):
    """``{"question"}`` -> ``{"text", "findings", "by"}``. Args: ``researchers`` (two paths), ``editor`` (path)."""

    def work(self, body: dict[str, Any], ctx: Context, deadline: float) -> dict[str, Any]:
        question = str(body.get("question") or "").strip()
        if not question:
            raise Refuse("cannot plan: there is no question")
        parts = self._split(question, ctx, deadline)
        did = self.done(ctx, "split the question: " + " / ".join(parts))
        ctx.log("asking the researchers", parts=parts)
        asked = [(path, {"question": part}) for path, part in zip(self.args["researchers"], parts, strict=True)]
        findings = gather_again(ctx, asked, deadline=deadline)
        edited = call_again(ctx, self.args["editor"], {"question": question, "findings": findings}, deadline=deadline)
        by = [did, *(step for finding in findings for step in finding["by"]), *edited["by"]]
        return {"text": edited["text"], "findings": findings, "by": by}

    def _split(self, question: str, ctx: Context, deadline: float) -> list[str]:
        """Two parts of the question, chosen by the model. If it takes one twice, the next takes its place."""
        parts = parts_of(question)
        chosen = self.decide(
            ctx,
            "You plan research. Choose the two most different parts of the question.",
            f"Question: {question}\nParts:\n" + "\n".join(f"- {part}" for part in parts),
            {"first": {"enum": parts}, "second": {"enum": parts}},
            deadline,
        )
        first, second = chosen["first"], chosen["second"]
        if second == first:
            second = next(part for part in parts if part != first)
        return [first, second]


def parts_of(question: str) -> list[str]:
    """At least two: the clauses of the question, or the question and its bare words."""
    clauses = [clause.strip(" ,.\n") for clause in _SPLIT.split(question)]
    parts = list(dict.fromkeys(clause for clause in clauses if len(clause) > 3)) or [question]
    if len(parts) == 1:
        bare = " ".join(topics_of(question))
        parts.append(bare if bare != parts[0] else f"{bare} (in other words)")
    return parts


def topics_of(question: str) -> list[str]:
    """Words that may be what it is about, each once: the long ones, or all where none is long."""
    words = list(dict.fromkeys(re.findall(r"\w+", question.lower())))
    return [word for word in words if len(word) > 3 and word not in _ASKING] or words or ["question"]


class Researcher(Member):
    """``{"question"}`` -> ``{"question", "quote", "file", "line", "by"}``: a passage that stands in a file.

    Where no file has anything, ``quote`` is None, and there is no ``file``.
    """

    def work(self, body: dict[str, Any], ctx: Context, deadline: float) -> dict[str, Any]:
        question = str(body["question"])
        found = call_again(ctx, self.args["search"], {"find": question, "limit": PASSAGES}, deadline=deadline)
        passages = found.get("passages")
        if not passages:
            return {"question": question, "quote": None, "by": [self.done(ctx, "found nothing")]}
        numbers = list(range(1, len(passages) + 1))
        chosen = self.decide(
            ctx,
            "You are a careful reader. Choose the number of the passage that answers the question.",
            f"Question: {question}\n{_listed([passage['text'] for passage in passages])}",
            {"passage": {"enum": numbers}},
            deadline,
        )
        number = chosen["passage"]
        quoted = passages[number - 1]
        did = self.done(ctx, f"chose passage {number} of {len(passages)}: {quoted['file']}, line {quoted['line']}")
        place = {"file": quoted["file"], "line": quoted["line"]}
        return {"question": question, "quote": quoted["text"], **place, "by": [did]}


class Editor(Member):
    """``{"question", "findings"}`` -> ``{"text", "by"}``. What does not stand in its file is left out, and said so."""

    def work(self, body: dict[str, Any], ctx: Context, deadline: float) -> dict[str, Any]:
        question, findings = str(body["question"]), list(body["findings"])
        good, left_out = self._look_up(findings, ctx, deadline)
        if not good:
            raise Refuse(f"cannot answer {question!r}: {'; '.join(left_out) or 'there are no findings'}")
        chosen = self.decide(
            ctx,
            "You are an editor. Choose which note comes first, and the one word that says what all is about.",
            f"Question: {question}\n{_listed([finding['quote'] for finding in good])}",
            {"first": {"enum": list(range(1, len(good) + 1))}, "topic": {"enum": topics_of(question)}},
            deadline,
        )
        at = chosen["first"] - 1
        parts = [
            f"{finding['question']}\n{finding['quote']}\n({finding['file']}, line {finding['line']})"
            for finding in [*good[at:], *good[:at]]
        ]
        text = "\n\n".join([f"{chosen['topic'].capitalize()}. {question}", *parts, *left_out])
        did = f"looked {len(findings)} quotes up again, kept {len(good)}, put the {chosen['first']}. first"
        return {"text": text, "by": [self.done(ctx, did)]}

    def _look_up(
        self, findings: list[dict[str, Any]], ctx: Context, deadline: float
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """What stands in its file, each passage once; and words on what does not."""
        good: dict[tuple[str, int], dict[str, Any]] = {}
        left_out = []
        for finding in findings:
            if finding["quote"] is None:
                left_out.append(f"No file says anything of: {finding['question']}")
                continue
            place = finding["file"], finding["line"]
            quote = {"file": place[0], "line": place[1], "text": finding["quote"]}
            found = call_again(ctx, self.args["search"], {"quote": quote}, deadline=deadline)
            if found.get("true") is not True:
                left_out.append(f"Left out: what was found on {finding['question']!r} does not stand in {place[0]}")
            else:
                good.setdefault(place, finding)
        return list(good.values()), left_out


def _listed(texts: list[str]) -> str:
    return "\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))
