"""A conversation with an endpoint."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from agenthost_workers.chat import Chat

from agenthost import Refuse, TurnFailed
from agenthost.errors import AnswerRejected
from tests.scripted.endpoint import Endpoint
from tests.workers.turns import turns_of

SCHEMA = {"type": "object", "properties": {"word": {"enum": ["yes", "no"]}}, "required": ["word"]}


def args(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    return {"base_url": endpoint.base_url, **more}


def said(endpoint: Endpoint, at: int = -1) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in endpoint.requests[at]["messages"]]


def test_a_text_gets_an_answer_and_both_are_remembered(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint, system="be short")) as chat:
        assert chat.call("one")["text"] == "You said: one"
        assert chat.call({"text": "two"})["text"] == "You said: two"
        assert said(endpoint) == [
            ("system", "be short"),
            ("user", "one"),
            ("assistant", "You said: one"),
            ("user", "two"),
        ]
        assert len(chat.agent.state["messages"]) == 4


def test_messages_of_the_caller_leave_the_history_aside(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        chat.call("one")
        chat.call({"messages": [{"role": "user", "content": "aside"}]})
        assert said(endpoint) == [("user", "aside")]
        assert [message["content"] for message in chat.agent.state["messages"]] == ["one", "You said: one"]


def test_by_a_schema_the_reply_has_its_value(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        reply = chat.call({"text": "choose", "schema": SCHEMA})
        assert reply["value"] == {"word": "yes"}
        assert "value" not in chat.call("talk")


def test_json_that_was_cut_is_refused_and_not_remembered(endpoint: Endpoint) -> None:
    endpoint.script({"do": "length"})
    with turns_of(Chat, args(endpoint, schema=SCHEMA)) as chat:
        with pytest.raises(AnswerRejected, match="cut at max_tokens"):
            chat.call("choose")
        assert "messages" not in chat.agent.state


def test_what_the_body_says_wins_over_the_args(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint, model="small", temperature=0.2, max_tokens=5)) as chat:
        chat.call({"text": "hi", "temperature": 0.9})
        request = endpoint.requests[-1]
        assert (request["model"], request["temperature"], request["max_tokens"]) == ("small", 0.9, 5)


def test_only_the_last_of_the_history_is_sent_where_it_is_told(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint, keep_last=2)) as chat:
        for word in ("one", "two", "three"):
            chat.call(word)
        assert said(endpoint) == [("user", "two"), ("assistant", "You said: two"), ("user", "three")]
        assert chat.agent.compact(chat.agent.state, 2)["messages"][0]["content"] == "three"  # type: ignore[attr-defined]
        assert chat.agent.compact(chat.agent.state, 0)["messages"] == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": "hi"},
        {"messages": ["hi"], "system": "be short"},
        {"messages": []},
        {"text": "hi", "response_format": "json"},
        {"text": 7},
        [1],
    ],
    ids=str,
)
def test_a_body_that_cannot_be_asked_is_refused_not_a_crash(endpoint: Endpoint, body: Any) -> None:
    with turns_of(Chat, args(endpoint)) as chat, pytest.raises(Refuse, match="cannot"):
        chat.call(body)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "step",
    [
        {"do": "truncate", "pieces": 1},
        {"do": "silent_end", "pieces": 1},
        {"do": "error", "pieces": 1},
        {"do": "garbage"},
        {"do": "status", "status": 500},
        {"do": "status", "status": 401},
        {"do": "status", "status": 429, "retry_after": "3600"},
    ],
    ids=str,
)
def test_what_goes_wrong_fails_the_turn_in_words_and_is_not_remembered(
    endpoint: Endpoint, step: dict[str, Any]
) -> None:
    endpoint.script(step)
    with turns_of(Chat, args(endpoint)) as chat:
        with pytest.raises(TurnFailed, match="cannot get an answer of the model: "):
            chat.call("one")
        assert "messages" not in chat.agent.state
        assert chat.call("two")["text"] == "You said: two"


def test_a_busy_model_is_waited_for_within_the_deadline(endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 429, "retry_after": "0.1"})
    with turns_of(Chat, args(endpoint)) as chat:
        assert chat.call("one")["text"] == "You said: one"


def test_a_model_that_is_not_there_fails_the_turn_in_words() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with turns_of(Chat, {"base_url": url}) as chat, pytest.raises(TurnFailed, match="cannot reach http://127"):
            chat.call("anybody?")


@pytest.mark.parametrize("body", [5, None, {}, {"text": 5}, ["text"]])
def test_a_body_without_words_is_refused(endpoint: Endpoint, body: Any) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        with pytest.raises(Refuse, match="cannot chat"):
            chat.call(body)
        assert endpoint.requests == []


def test_where_the_model_is_may_be_said_by_the_environment(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("MY_KEY", "secret")
    with turns_of(Chat, {"api_key_env": "MY_KEY"}, path="/chats/ana") as chat:
        chat.call("hi")
    assert endpoint.keys == ["Bearer secret"]
    assert endpoint.callers[0][0] == "/chats/ana"


def test_without_a_place_to_ask_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"), turns_of(Chat):
        pass


def test_a_conversation_is_streamed_into_the_session_and_an_aside_is_not(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        chat.call({"messages": [{"role": "user", "content": "aside"}]})
        assert chat.log == []
        chat.send("one")
        (entry,) = chat.log
        assert (entry.type, entry.broken, entry.fields["text"]) == ("answer", False, "You said: one")
        assert len(chat.agent.state["messages"]) == 2


def test_mail_that_the_endpoint_says_no_to_is_a_broken_error_in_the_session(endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 400})
    with turns_of(Chat, args(endpoint)) as chat:
        with pytest.raises(TurnFailed):
            chat.send("one")
        assert [(entry.type, entry.broken) for entry in chat.log] == [("error", True)]
        assert "cannot get an answer of the model" in chat.log[0].fields["text"]
        assert "messages" not in chat.agent.state
    endpoint.script({"do": "truncate", "pieces": 2})
    with turns_of(Chat, args(endpoint)) as chat:
        with pytest.raises(TurnFailed):
            chat.send("one")
        assert [(entry.type, entry.broken) for entry in chat.log] == [("answer", True), ("error", True)]
        chat.again()
        assert [(entry.type, entry.broken) for entry in chat.log[2:]] == [("answer", False)]


def test_what_the_endpoint_has_used_is_spent_also_for_an_answer_that_is_no_good(endpoint: Endpoint) -> None:
    with turns_of(Chat, args(endpoint, model="large")) as chat:
        chat.call("one two three")
        usage = chat.spent[0]
        assert (usage.tokens_out, usage.model, usage.cost) == (5, "large", None) and usage.tokens_in > 10
        endpoint.script({"do": "nothing"})
        with pytest.raises(AnswerRejected, match="the model said nothing"):
            chat.call("one")
        assert len(chat.spent) == 2
        endpoint.script({"do": "status", "status": 500})
        with pytest.raises(TurnFailed):
            chat.call("one")
        assert len(chat.spent) == 2, "nothing is known of that"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"do": "decline", "text": "I will not"}, "the model declines: I will not"),
        ({"do": "filter"}, "the provider has held it back"),
        ({"do": "tool", "name": "/pay"}, "wants to call a tool"),
        ({"do": "nothing"}, "the model said nothing"),
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_rejected_and_not_remembered(
    endpoint: Endpoint, step: dict[str, Any], why: str
) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        for ask in (chat.call, chat.send):
            endpoint.script(step)
            with pytest.raises(AnswerRejected, match=why):
                ask("one")
            assert "messages" not in chat.state
        assert all(entry.broken for entry in chat.log)
        endpoint.script(step)
        with pytest.raises(AnswerRejected, match=why):
            chat.call({"messages": [{"role": "user", "content": "aside"}]})


def test_a_busy_model_is_not_waited_for_in_mail_beyond_its_patience(endpoint: Endpoint) -> None:
    busy = {"do": "status", "status": 429, "retry_after": "0.1"}
    with turns_of(Chat, args(endpoint, patience_s=0.15)) as chat:
        endpoint.script(busy)
        chat.send("one")
        endpoint.script(busy, busy)
        with pytest.raises(TurnFailed, match="429") as raised:
            chat.send("two")
        assert raised.value.retry_after_s == 0.1
        assert len(chat.state["messages"]) == 2


def test_half_of_the_history_is_left_out_where_it_is_not_said_how_much_and_it_begins_with_a_question(
    endpoint: Endpoint,
) -> None:
    with turns_of(Chat, args(endpoint)) as chat:
        for word in ("one", "two", "three"):
            chat.call(word)
        assert [one["content"] for one in chat.agent.compact(chat.agent.state)["messages"]] == [  # type: ignore[attr-defined]
            "three",
            "You said: three",
        ]
        assert len(chat.agent.compact(chat.agent.state, 5)["messages"]) == 4  # type: ignore[attr-defined]
        assert chat.agent.compact({"n": 1}) == {"n": 1}  # type: ignore[attr-defined]


def test_an_answer_without_end_is_cut_off(endpoint: Endpoint) -> None:
    endpoint.script({"do": "endless"})
    chats = turns_of(Chat, args(endpoint, answer_max_bytes=10_000))
    with chats as chat, pytest.raises(TurnFailed, match="longer than 10000 bytes"):
        chat.call("one")
