"""When a program can work: its port accepts, its URL answers (``ReadyCheck``). What it says itself, by a line, a
descriptor or sd_notify(3), is heard elsewhere (``signs``, the logger).

A check repeats until it succeeds; the core's start time-out ends it otherwise.
"""

from __future__ import annotations

import asyncio

from agenthost.core.birth import ReadyCheck
from agenthost.host.trying import try_http, try_tcp, try_within

TRY_S = 5.0
"""One try may take this long: a server that accepts and does not answer is tried again."""


async def wait_ready(check: ReadyCheck) -> None:
    """Returns when an "http" or "tcp" check has succeeded once."""
    attempt = try_http if check.kind == "http" else try_tcp
    while await try_within(attempt, check.target, TRY_S):  # noqa: ASYNC110 - a port that opens sets no event of ours
        await asyncio.sleep(check.interval_s)
