"""Agents that run tools, for test_tools and test_reap. Bodies are ``{"do": word, ...}``."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from agenthost import Agent
from agenthost.agent.blocking import finish
from agenthost.errors import AgenthostError, ToolTimedOut
from agenthost.protocol import birth, wishes
from agenthost.protocol.codec import encode

DAEMONS = "setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &) ; sleep 1000 & echo there"
"""A shell that leaves three processes behind: in a session of its own, as a daemon, and as a child."""


def shown(ran: Any) -> dict[str, Any]:
    return {
        "path": ran.path,
        "status": ran.status,
        "signal": ran.signal,
        "reason": ran.reason,
        "out": ran.out,
        "err": ran.err,
        "truncated": ran.truncated,
    }


def facts() -> dict[str, Any]:
    """Of this process: what leaks."""
    with open("/proc/self/status") as status:
        rss = next(line for line in status if line.startswith("VmRSS"))
    return {"fds": len(os.listdir("/proc/self/fd")), "rss_kb": int(rss.split()[1]), "children": children()}


def children() -> list[str]:
    """States of the direct children, zombies too."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.append(fields[0])
    return found


class Tooler(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        body = message.body
        return getattr(self, body["do"])(body, ctx)

    def on_down(self, down: Any, ctx: Any) -> None:
        ctx.popen(["sleep", "1000"], name="of-on-down")
        self.state.setdefault("downs", []).append(down.path)

    def on_stop(self, ctx: Any) -> None:
        if "last" in self.state:
            Path(self.state["last"]).write_bytes(ctx.run(["echo", "last words"]).out)

    def run(self, body: Any, ctx: Any) -> Any:
        return shown(ctx.run(body["argv"], **body.get("how", {})))

    def run_many(self, body: Any, ctx: Any) -> Any:
        for _ in range(body["n"]):
            ctx.run(["sh", "-c", "setsid sleep 1000 & echo x"], input="x")
            try:
                ctx.run(["sleep", "1000"], timeout=0.01)
            except ToolTimedOut:
                continue
        return facts()

    def run_when_stopping(self, body: Any, ctx: Any) -> Any:
        """Writes down how it went: nobody waits for a reply."""
        Path(f"{body['file']}.began").touch()
        finish(ctx._desk.kin().until(lambda: ctx.stopping, time.monotonic() + 50))
        self.state["last"] = f"{body['file']}.stopped"
        ran = ctx.run(["sh", "-c", "echo in the turn; exit 4"])
        Path(body["file"]).write_text(f"{ran.status} {ran.text}")

    def start(self, body: Any, ctx: Any) -> Any:
        """A tool that is not waited for."""
        return ctx.popen(body["argv"], **body.get("how", {})).path

    def start_and_fail(self, body: Any, ctx: Any) -> Any:
        ctx.popen(body["argv"])
        raise ToolTimedOut("something else was late")

    def start_and_crash(self, body: Any, ctx: Any) -> Any:
        ctx.popen(body["argv"])
        raise RuntimeError("crash on demand")

    def keep(self, body: Any, ctx: Any) -> Any:
        self._server = ctx.popen(body["argv"], keep=True, name="server")

    def ask_server(self, body: Any, ctx: Any) -> Any:
        self._server.stdin.write(body["line"] + b"\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()

    def server_status(self, body: Any, ctx: Any) -> Any:
        return [self._server.poll(), self._server.reason]

    def watch(self, body: Any, ctx: Any) -> Any:
        ctx.monitor(body["path"])

    def downs(self, body: Any, ctx: Any) -> Any:
        return self.state.get("downs", [])

    def by_subprocess(self, body: Any, ctx: Any) -> Any:
        """As an author who knows nothing of tools: what runs on is left."""
        self._popen = subprocess.Popen(["sleep", "1000"])
        subprocess.run(["sh", "-c", DAEMONS], stdout=subprocess.DEVNULL, check=True)
        return os.getpid()

    def facts(self, body: Any, ctx: Any) -> Any:
        return facts()

    # ---- what no well-behaved agent says

    def give_only(self, body: Any, ctx: Any) -> Any:
        """Streams for which no Run comes, and things that are no streams."""
        sock = ctx._desk._birth_socket
        read, write = os.pipe()
        plain = os.memfd_create("no-pipe")
        for number in range(body["n"]):
            given = [write, write] if number % 2 else [plain, plain, plain]
            packet = encode(birth.Streams(id=10_000 + number))
            socket.send_fds(sock, [packet], given)
            socket.send_fds(sock, [encode(birth.Alive(id=0))], [write] * 20)  # not asked for at all
        for descriptor in (read, write, plain):
            os.close(descriptor)

    def run_without(self, body: Any, ctx: Any) -> Any:
        """A Run whose streams never come."""
        kin = ctx._desk.kin()
        wish = wishes.Run(name="bare", argv=["true"], env={}, cwd="/", streams=99)
        asked = kin.request(wish)
        finish(kin.until(lambda: asked.is_answered, time.monotonic() + 50))
        return [asked.outcome.code, str(asked.outcome)] if isinstance(asked.outcome, AgenthostError) else asked.outcome


class AsyncTooler(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        body = message.body
        return await getattr(self, body["do"])(body, ctx)

    async def run(self, body: Any, ctx: Any) -> Any:
        return shown(await ctx.run(body["argv"], **body.get("how", {})))

    async def run_many(self, body: Any, ctx: Any) -> Any:
        import asyncio

        async def one() -> None:
            await ctx.run(["sh", "-c", "setsid sleep 1000 & echo x"], input="x")
            try:
                await ctx.run(["sleep", "1000"], timeout=0.01)
            except ToolTimedOut:
                return

        for _ in range(body["n"] // 20):
            await asyncio.gather(*(one() for _ in range(20)))
        return facts()

    async def facts(self, body: Any, ctx: Any) -> Any:
        return facts()

    async def start(self, body: Any, ctx: Any) -> Any:
        return (await ctx.popen(body["argv"], **body.get("how", {}))).path

    async def keep(self, body: Any, ctx: Any) -> Any:
        self._server = await ctx.popen(body["argv"], keep=True, name="server")

    async def ask_server(self, body: Any, ctx: Any) -> Any:
        self._server.stdin.write(body["line"] + b"\n")
        await self._server.stdin.drain()
        return await self._server.stdout.readline()

    async def by_subprocess(self, body: Any, ctx: Any) -> Any:
        self._popen = subprocess.Popen(["sleep", "1000"])  # noqa: ASYNC220 - as authors do
        subprocess.run(["sh", "-c", DAEMONS], stdout=subprocess.DEVNULL, check=True)  # noqa: ASYNC221 - the same
        return os.getpid()
