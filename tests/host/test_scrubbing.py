"""Secrets on a command line are hidden where they can be told; other words are left alone."""

from __future__ import annotations

import pytest

from agenthost.host.scrubbing import HIDDEN, scrubbed


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("mysql --password hunter2 -h db", "mysql --password *** -h db"),
        ("mysql --password=hunter2", "mysql --password=***"),
        ("tool --api-key k --verbose", "tool --api-key *** --verbose"),
        ("tool --api-key --verbose", "tool --api-key --verbose"),
        ("tool --client_secret=1 --secretive", "tool --client_secret=*** --secretive"),
        ("env PGPASSWORD=x OPENAI_API_KEY=y HOME=/root psql", "env PGPASSWORD=*** OPENAI_API_KEY=*** HOME=/root psql"),
        ("curl https://bob:pw@host/path?token=77&n=1", "curl https://bob:***@host/path?token=***&n=1"),
        ("git push https://host/path", "git push https://host/path"),
        ("tool sk-abcdefghijklmnopqrst ghp_abcdefghijklmnop1234", "tool *** ***"),
        (
            "tool --max-tokens 100 --keyboard us bypass=3 tokenizer=t",
            "tool --max-tokens 100 --keyboard us bypass=3 tokenizer=t",
        ),
    ],
)
def test_what_is_named_or_looks_like_a_secret_is_hidden_and_nothing_else(words: str, shown: str) -> None:
    assert scrubbed(words.split()) == shown.split()


def test_a_script_in_one_word_is_looked_through() -> None:
    script = "export DB_PASSWORD='a b'; curl -H 'Authorization: Bearer abc def' x; run --token t --n 5"
    assert scrubbed(["sh", "-c", script]) == [
        "sh",
        "-c",
        f"export DB_PASSWORD={HIDDEN}; curl -H 'Authorization: {HIDDEN}' x; run --token {HIDDEN} --n 5",
    ]


def test_what_the_host_has_given_away_as_a_secret_is_hidden_wherever_it_stands() -> None:
    words = ["x", "--mode=s3cr3t-value", "plain", "as3cr3t-valueb", "no"]
    assert scrubbed(words, ["s3cr3t-value", "no"]) == ["x", "--mode=***", "plain", "a***b", "no"]
