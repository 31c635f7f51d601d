"""One look at a program from outside, for readiness and liveness: does its port accept, does its URL answer?

Each try says in words what is wrong, or nothing. Names are looked up by threads of their own, so that a resolver that
hangs delays nobody but those who ask it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

_resolvers: list[ThreadPoolExecutor] = []
RESOLVERS = 8


async def try_within(attempt: Callable[[str], Awaitable[str]], target: str, timeout_s: float) -> str:
    """What is wrong, in words; empty if nothing is."""
    name = f"GET {target}" if attempt is try_http else f"connecting to {target}"
    try:
        async with asyncio.timeout(timeout_s):
            return await attempt(target)
    except TimeoutError:
        return f"{name} gave no answer within {timeout_s:g} s"
    except ConnectionRefusedError:
        return f"{name} was refused"
    except asyncio.IncompleteReadError:
        return f"{name} was cut off"
    except (OSError, ValueError) as error:  # ValueError: a line without end, a status that is no number
        return f"{name} failed: {getattr(error, 'strerror', None) or error}"


async def try_tcp(target: str) -> str:
    host, _, port = target.rpartition(":")
    _, writer = await _connect(host.strip("[]"), int(port))
    writer.close()
    return ""


async def try_http(target: str) -> str:
    """One GET; only the status line is read (RFC 9112 section 4). Below 400 is good."""
    url = urlsplit(target)
    reader, writer = await _connect(url.hostname or "", url.port or 80)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        status_line = (await reader.readline()).split()
        if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/"):
            return f"GET {target} was not answered in HTTP"
        status = int(status_line[1])
        return "" if status < 400 else f"GET {target} answered {status}"
    finally:
        writer.close()


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(_resolver(), _addresses, host, port)
    else:
        found = [host]
    for address in found[:-1]:
        try:
            return await asyncio.open_connection(address, port)
        except OSError:
            continue  # localhost is two addresses, and a program may listen on one of them
    return await asyncio.open_connection(found[-1], port)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def _resolver() -> ThreadPoolExecutor:
    if not _resolvers:
        _resolvers.append(ThreadPoolExecutor(RESOLVERS, "resolver"))
    return _resolvers[0]
