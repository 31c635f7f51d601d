"""When a program can work: its port accepts, its URL answers, or it prints a line (``ReadyCheck``).

A check repeats until it succeeds; the core's start time-out ends it otherwise.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from agenthost.core.birth import ReadyCheck

TRY_S = 5.0
"""One try may take this long: a server that accepts and does not answer is tried again."""


async def wait_ready(check: ReadyCheck) -> None:
    """Returns when an "http" or "tcp" check has succeeded once. ("line" is heard by the logger.)"""
    attempt = _try_http if check.kind == "http" else _try_tcp
    while True:
        try:
            async with asyncio.timeout(TRY_S):
                if await attempt(check.target):
                    return
        except (OSError, TimeoutError, ValueError):
            pass  # not yet: refused, reset, half an answer
        await asyncio.sleep(check.interval_s)


async def _try_tcp(target: str) -> bool:
    host, _, port = target.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.close()
    return True


async def _try_http(target: str) -> bool:
    """One GET; only the status line is read (RFC 9112 section 4). Below 400 is ready."""
    url = urlsplit(target)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(url.hostname, port, ssl=secure or None)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        status_line = (await reader.readline()).split()
        return len(status_line) >= 2 and status_line[0].startswith(b"HTTP/") and int(status_line[1]) < 400
    finally:
        writer.close()
