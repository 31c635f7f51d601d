"""Echo."""

from __future__ import annotations

import time

from agenthost_workers.echo import Echo

from tests.workers.turns import turns_of


def test_it_replies_with_what_it_was_sent() -> None:
    with turns_of(Echo) as echo:
        assert [echo.call(body) for body in (None, "text", {"a": [1, b"x"]})] == [None, "text", {"a": [1, b"x"]}]


def test_it_takes_as_long_as_it_is_told() -> None:
    with turns_of(Echo, {"delay_s": 0.1}) as echo:
        begun = time.monotonic()
        assert echo.call("slow") == "slow"
        assert time.monotonic() - begun >= 0.1
