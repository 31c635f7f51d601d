"""Secrets on a command line are hidden where they can be told; other words are left alone."""

from __future__ import annotations

import time

import pytest

from agenthost.host.scrubbing import HIDDEN, LOOKED_THROUGH, ONE_BY_ONE, Known, scrubbed


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
    assert scrubbed(words, Known(["s3cr3t-value", "no"])) == ["x", "--mode=***", "plain", "a***b", "no"]


def test_a_word_that_was_made_to_take_long_takes_no_longer_than_a_plain_one() -> None:
    def took_s(word: str) -> float:
        found = []
        for _ in range(3):
            begin = time.process_time()
            scrubbed([word])
            found.append(time.process_time() - begin)
        return min(found)

    plain = took_s("x" * 8192)
    names = ("a.", "pass_.", "_", "a_.", "x_a.", "-a", " --pass")
    others = ("eyJ-", "sk-", "a:'", 'a:"', "bearer ", "://a:", "\t")
    for unit in names + others:
        assert took_s((unit * 8192)[:8192]) < 1000 * plain + 0.05, unit


def test_what_a_cut_leaves_of_a_secret_is_hidden_too() -> None:
    long = "q" * 2 * LOOKED_THROUGH
    for word in (f"https://bob:{long}@host/", f"x PASSWORD='{long}'", f"eyJabcdefgh.{long}.x", f"--token={long}"):
        (shown,) = scrubbed([word])
        assert HIDDEN in shown and "qqqq" not in shown
    assert scrubbed([f"https://host:80/{long}"])[0].startswith("https://host:80/qqq")
    assert scrubbed([long + "s3cr3t"], Known(["s3cr3t"])) == [long[:LOOKED_THROUGH]]


def test_known_values_are_hidden_in_any_text_line_by_line_too() -> None:
    known = Known(["hunter2", "abc", "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n--\n"])
    text = "ValueError: hunter2 is no abc, nor\n  MIIEpAIBAAKCAQEA or --"
    assert known.hidden_in(text) == "ValueError: *** is no abc, nor\n  *** or --"


def test_a_thousand_values_hide_what_one_by_one_would_and_take_no_longer_than_a_few() -> None:
    few = Known(f"secret-{number:04}-of-many" for number in range(ONE_BY_ONE))
    many = Known(["abcd", "\n".join(f"secret-{number:04}-of-many" for number in range(16_000)), "abcdefgh"])
    text = "x secret-0007-of-many, secret-0063-of-manyabcd abcdefgh abc secret-00"
    assert many.hidden_in(text) == f"x {HIDDEN}, {HIDDEN}{HIDDEN} {HIDDEN} abc secret-00"
    assert few.hidden_in(text) == f"x {HIDDEN}, {HIDDEN}abcd abcdefgh abc secret-00"

    def took_s(known: Known, text: str, times: int) -> float:
        found = []
        for _ in range(3):
            begin = time.process_time()
            for _ in range(times):
                known.hidden_in(text)
            found.append(time.process_time() - begin)
        return min(found)

    alike = Known(f"word {number}" for number in range(ONE_BY_ONE + 1))
    for long, times in (("word " * 100, 20), ("word " * 13_000, 1), ("secret-0" * 8_000, 1)):
        assert took_s(many, long, times) < 20 * max(took_s(alike, long, times), 0.001)
