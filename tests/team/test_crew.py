"""The crew's own judgement, with a scripted model, the real search tool and the real search: no host is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agenthost import Refuse
from agenthost.errors import Down, NotRunning, TimedOut
from tests.scripted import endpoint as scripted
from tests.team.conftest import ROOT
from tests.workers.turns import turns_of

PLACES = [str(ROOT / "docs" / "architecture.md")]
Ask = Callable[[Any], Any]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[scripted.Endpoint]:
    with scripted.running() as running:
        monkeypatch.setenv("AGENTHOST_MODEL_PORT", str(running.server_port))
        yield running


@pytest.fixture
def search(search_tool: ModuleType) -> Ask:
    return lambda question: search_tool.answer(question, PLACES)


def says(endpoint: scripted.Endpoint, value: Any) -> None:
    """The model's next answer."""
    endpoint.script({"do": "text", "text": value if isinstance(value, str) else json.dumps(value)})


def refuses_first(refusals: list[Exception], then: Ask) -> Ask:
    def answer(body: Any) -> Any:
        if refusals:
            raise refusals.pop(0)
        return then(body)

    return answer


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is a cell, and how does a zygote fork?", ["What is a cell", "how does a zygote fork"]),
        ("What is a cell? What is a host? Why?", ["What is a cell", "What is a host"]),
        ("How do bread and butter meet?", ["How do bread and butter meet"]),
        ("zygote", ["zygote", "zygote (in other words)"]),
    ],
)
def test_a_question_has_at_least_two_parts_and_no_part_twice(crew: ModuleType, question: str, parts: list[str]) -> None:
    found = crew.parts_of(question)
    assert found[: len(parts)] == parts
    assert len(found) == len(set(found)) >= 2


class TestPlanner:
    @pytest.fixture
    def asked(self) -> list[tuple[str, Any]]:
        return []

    @pytest.fixture
    def others(self, asked: list[tuple[str, Any]]) -> dict[str, Ask]:
        def researcher(path: str) -> Ask:
            def answer(body: Any) -> Any:
                asked.append((path, body["question"]))
                return {"question": body["question"], "quote": None, "by": [{"path": path}]}

            return answer

        def editor(body: Any) -> Any:
            asked.append(("/ed", [finding["question"] for finding in body["findings"]]))
            return {"text": "all of it", "by": [{"path": "/ed"}]}

        return {"/r1": researcher("/r1"), "/r2": researcher("/r2"), "/ed": editor}

    ARGS = {"researchers": ["/r1", "/r2"], "editor": "/ed"}  # noqa: RUF012

    def test_it_gives_each_researcher_a_part_and_the_editor_all(
        self, crew: ModuleType, endpoint: scripted.Endpoint, asked: list[Any], others: dict[str, Ask]
    ) -> None:
        with turns_of(crew.Planner, self.ARGS, answers=others, path="/crew/planner") as planner:
            reply = planner.call({"question": "What is a cell, and what is a zygote?"})
        assert asked == [
            ("/r1", "What is a cell"),
            ("/r2", "what is a zygote"),
            ("/ed", ["What is a cell", "what is a zygote"]),
        ]
        assert reply["text"] == "all of it"
        assert [step["path"] for step in reply["by"]] == ["/crew/planner", "/r1", "/r2", "/ed"]
        assert endpoint.callers[0][0] == "/crew/planner"

    def test_a_model_that_takes_one_part_twice_is_corrected(
        self, crew: ModuleType, endpoint: scripted.Endpoint, asked: list[Any], others: dict[str, Ask]
    ) -> None:
        says(endpoint, {"first": "what is a zygote", "second": "what is a zygote"})
        with turns_of(crew.Planner, self.ARGS, answers=others) as planner:
            planner.call({"question": "What is a cell, and what is a zygote?"})
        assert asked[:2] == [("/r1", "what is a zygote"), ("/r2", "What is a cell")]

    def test_who_died_is_asked_again_and_who_answered_is_not(
        self, crew: ModuleType, endpoint: scripted.Endpoint, asked: list[Any], others: dict[str, Ask]
    ) -> None:
        others["/r2"] = refuses_first([Down("killed"), NotRunning("not yet")], others["/r2"])
        others["/ed"] = refuses_first([Down("killed")], others["/ed"])
        with turns_of(crew.Planner, self.ARGS, answers=others) as planner:
            assert planner.call({"question": "What is a cell, and what is a zygote?"})["text"] == "all of it"
        assert [path for path, _ in asked] == ["/r1", "/r2", "/ed"]

    def test_it_gives_up_at_the_deadline(
        self, crew: ModuleType, endpoint: scripted.Endpoint, others: dict[str, Ask]
    ) -> None:
        others["/r2"] = refuses_first([NotRunning("/r2 is down")] * 99, others["/r2"])
        with turns_of(crew.Planner, self.ARGS, answers=others) as planner, pytest.raises(TimedOut, match="/r2 is down"):
            planner.call({"question": "What is a cell, and what is a zygote?"}, timeout=0.4)

    @pytest.mark.parametrize("body", [{}, {"question": "  "}, "text"])
    def test_no_question_is_refused(self, crew: ModuleType, endpoint: scripted.Endpoint, body: Any) -> None:
        with turns_of(crew.Planner, self.ARGS) as planner, pytest.raises(Refuse):
            planner.call(body)


class TestResearcher:
    ARGS = {"search": "/search"}  # noqa: RUF012

    def test_its_quote_stands_in_the_file_it_names(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask
    ) -> None:
        says(endpoint, {"passage": 2})
        with turns_of(crew.Researcher, self.ARGS, answers={"/search": search}) as researcher:
            found = researcher.call({"question": "what does the router do?"})
        assert found["quote"] in Path(found["file"]).read_text()
        assert "chose passage 2 of 3" in found["by"][0]["did"]
        assert found["quote"] in endpoint.requests[0]["messages"][1]["content"]

    @pytest.mark.parametrize(
        "unfit", ["no json", "[]", "{}", '{"passage": 4}', '{"passage": "1"}', '{"passage": null}', '{"passage": 1']
    )
    def test_an_answer_that_its_schema_does_not_allow_is_asked_for_again(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask, unfit: str
    ) -> None:
        says(endpoint, unfit)
        says(endpoint, {"passage": 1})
        with turns_of(crew.Researcher, self.ARGS, answers={"/search": search}) as researcher:
            found = researcher.call({"question": "what does the router do?"})
        assert found["by"][0]["tries"] == 2

    def test_a_model_that_breaks_off_is_asked_again(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask
    ) -> None:
        endpoint.script({"do": "truncate", "pieces": 1}, {"do": "status", "status": 500}, {"do": "garbage"})
        with turns_of(crew.Researcher, self.ARGS, answers={"/search": search}) as researcher:
            assert researcher.call({"question": "what does the router do?"})["by"][0]["tries"] == 4

    def test_a_model_that_says_no_is_not_asked_again(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask
    ) -> None:
        endpoint.script({"do": "status", "status": 401, "message": "whose key is this"})
        researcher = turns_of(crew.Researcher, self.ARGS, answers={"/search": search})
        with researcher as turns, pytest.raises(Refuse, match="whose key is this"):
            turns.call({"question": "what does the router do?"})
        assert len(endpoint.requests) == 1

    def test_where_no_file_has_anything_it_says_so_and_asks_no_model(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask
    ) -> None:
        with turns_of(crew.Researcher, self.ARGS, answers={"/search": search}) as researcher:
            assert researcher.call({"question": "submarines"})["quote"] is None
        assert endpoint.requests == []


class TestEditor:
    ARGS = {"search": "/search"}  # noqa: RUF012

    @pytest.fixture
    def findings(self, search: Ask) -> list[dict[str, Any]]:
        found = []
        for question in ("what does the router do", "what does the guardian do"):
            passage = search({"find": question, "limit": 1})["passages"][0]
            found.append(
                {"question": question, "quote": passage["text"], "file": passage["file"], "line": passage["line"]}
            )
        return found

    def edit(self, crew: ModuleType, search: Ask, findings: list[dict[str, Any]]) -> str:
        with turns_of(crew.Editor, self.ARGS, answers={"/search": search}) as editor:
            text: str = editor.call({"question": "router or guardian?", "findings": findings})["text"]
        return text

    def test_the_text_has_every_quote_word_for_word_in_the_order_that_the_model_chose(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask, findings: list[dict[str, Any]]
    ) -> None:
        says(endpoint, {"first": 2, "topic": "guardian"})
        text = self.edit(crew, search, findings)
        assert text.startswith("Guardian.")
        assert 0 < text.index(findings[1]["quote"]) < text.index(findings[0]["quote"])
        assert f"({findings[0]['file']}, line {findings[0]['line']})" in text

    def test_a_quote_that_does_not_stand_in_its_file_is_left_out(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask, findings: list[dict[str, Any]]
    ) -> None:
        findings[0]["quote"] = "The router is made of cheese."
        text = self.edit(crew, search, findings)
        assert "cheese" not in text
        assert "Left out: what was found on 'what does the router do'" in text
        assert "cheese" not in str(endpoint.requests)

    def test_the_same_passage_is_printed_once(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask, findings: list[dict[str, Any]]
    ) -> None:
        assert self.edit(crew, search, [findings[0], findings[0]]).count(findings[0]["quote"]) == 1

    def test_with_nothing_found_there_is_no_answer(
        self, crew: ModuleType, endpoint: scripted.Endpoint, search: Ask
    ) -> None:
        with pytest.raises(Refuse, match="No file says anything of: submarines"):
            self.edit(crew, search, [{"question": "submarines", "quote": None}])
