"""Agents with children of their own, for the tests of scopes, monitors and groups. Bodies are ``{"do": word, ...}``."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from agenthost import Agent
from agenthost.errors import AgenthostError


class Worker(Agent):
    """A child that does what it is told."""

    def handle(self, message: Any, ctx: Any) -> Any:
        body = message.body
        return getattr(self, body["do"])(body, ctx)

    def pid(self, body: Any, ctx: Any) -> Any:
        return os.getpid()

    def path(self, body: Any, ctx: Any) -> Any:
        return ctx.path

    def args_back(self, body: Any, ctx: Any) -> Any:
        return self.args

    def meet(self, body: Any, ctx: Any) -> Any:
        """Returns when ``n`` have come here, so only if all of them are there at one time."""
        Path(body["folder"], str(os.getpid())).touch()
        while len(os.listdir(body["folder"])) < body["n"]:
            time.sleep(0.002)
        return body["me"]

    def crash(self, body: Any, ctx: Any) -> Any:
        raise RuntimeError("crash on demand")

    def exit_later(self, body: Any, ctx: Any) -> Any:
        """Ends with this status when the file is there, after the answer."""

        def end() -> None:
            while not os.path.exists(body["file"]):
                time.sleep(0.002)
            os._exit(body["status"])

        threading.Thread(target=end, daemon=True).start()
        return "soon"

    def sleep(self, body: Any, ctx: Any) -> Any:
        time.sleep(body["s"])
        return "slept"

    def fork(self, body: Any, ctx: Any) -> Any:
        """A descendant in a session of its own."""
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                time.sleep(10_000)
            finally:
                os._exit(0)
        return pid

    def call(self, body: Any, ctx: Any) -> Any:
        return ctx.call(body["path"], body["body"])


class Slow(Worker):
    """Is never ready."""

    def on_start(self, ctx: Any) -> Any:
        time.sleep(10_000)


class Raises(Worker):
    def on_start(self, ctx: Any) -> Any:
        raise LookupError("no prices today")


class Parent(Worker):
    """Starts children as the body says."""

    def on_down(self, down: Any, ctx: Any) -> None:
        vars(self).setdefault("_downs", []).append([*down])

    def downs(self, body: Any, ctx: Any) -> Any:
        return vars(self).get("_downs", [])

    def meeting(self, body: Any, ctx: Any) -> Any:
        """Children that are all at work at one time; their paths and what they said, in the order of the calls."""
        with ctx.scope() as scope:
            children = [scope.start(Worker) for _ in range(body["n"])]
            meet = {"do": "meet", "folder": body["folder"], "n": body["n"]}
            said = scope.gather([(child, {**meet, "me": number}) for number, child in enumerate(children)])
            pids = scope.gather([(child, {"do": "pid"}) for child in reversed(children)])
            Path(body["hold"]).touch()
            while not os.path.exists(body["go_on"]):
                time.sleep(0.002)
        return {"paths": [child.path for child in children], "said": said, "pids": pids}

    def first_error(self, body: Any, ctx: Any) -> Any:
        """One child crashes while two others sleep; ``alive`` are those of them that are there when it is raised."""
        began = time.monotonic()
        with ctx.scope() as scope:
            children = [scope.start(Worker) for _ in range(3)]
            pids = scope.gather([(child, {"do": "pid"}) for child in children])
            pids += scope.gather([(child, {"do": "fork"}) for child in children])
            sleep = {"do": "sleep", "s": 1000}
            try:
                scope.gather([(children[0], sleep), (children[1], {"do": "crash"}), (children[2], sleep)], timeout=50)
            except AgenthostError as error:
                return {
                    "code": error.code,
                    "error": str(error),
                    "alive": [pid for pid in pids if is_alive(pid)],
                    "took_s": time.monotonic() - began,
                }

    def uncalled_error(self, body: Any, ctx: Any) -> Any:
        """A child ends badly while another is called; then the block is left."""
        try:
            with ctx.scope() as scope:
                one, other = scope.start(Worker), scope.start(Worker)
                one.call({"do": "exit_later", "file": body["file"], "status": body["status"]})
                Path(body["file"]).touch()
                return other.call({"do": "sleep", "s": body["s"]}, timeout=50)
        except AgenthostError as error:
            return {"code": error.code, "error": str(error), "children": _others()}

    def quick_failures(self, body: Any, ctx: Any) -> Any:
        """Programs that fail as soon as they run: what came of each block."""
        said = []
        for number in range(body["n"]):
            try:
                with ctx.scope() as scope:
                    file = Path(f"{body['file']}-{number}")
                    scope.start({"command": ["sh", "-c", f"echo $$ > {file}; exit {number + 1}"]})
                    while not file.exists() or not (pid := file.read_text()) or Path("/proc", pid.strip()).exists():
                        time.sleep(0.002)
            except AgenthostError as error:
                said.append([error.code, f"exit status {number + 1}" in str(error)])
        return said

    def raise_in_scope(self, body: Any, ctx: Any) -> Any:
        with ctx.scope() as scope:
            scope.start(Worker, shutdown="300s")
            scope.start(Worker, restart="permanent").call({"do": "fork"})
            raise AgenthostError("out of the block")

    def overrun(self, body: Any, ctx: Any) -> Any:
        """Holds the interpreter in C until the file appears that a child's end makes the test write."""
        try:
            with ctx.scope(timeout=body["timeout"]) as scope:
                child = scope.start(Worker)
                Path(body["pid"] + ".new").write_text(str(child.call({"do": "pid"})))
                os.rename(body["pid"] + ".new", body["pid"])
                hold_interpreter_until(body["go_on"])
                return "never"
        except AgenthostError as error:
            return {"code": error.code, "error": str(error)}

    def overrun_in_call(self, body: Any, ctx: Any) -> Any:
        began = time.monotonic()
        try:
            with ctx.scope(timeout=body["timeout"]) as scope, ctx.scope() as inner:
                assert scope is not inner
                inner.start(Worker).call({"do": "sleep", "s": 1000}, timeout=500)
        except AgenthostError as error:
            return {"code": error.code, "took_s": time.monotonic() - began, "children": _others()}

    def nested(self, body: Any, ctx: Any) -> Any:
        with ctx.scope() as outer:
            one = outer.start(Worker, name="outer")
            with ctx.scope() as inner:
                two = inner.start(Worker, name="inner")
                both = [one.call({"do": "pid"}), two.call({"do": "pid"})]
            after = [is_alive(pid) for pid in both]
            with ctx.scope() as inner:
                again = inner.start(Worker, name="inner").call({"do": "pid"})
        return {"after_inner": after, "after_outer": [is_alive(pid) for pid in [*both, again]]}

    def code(self, body: Any, ctx: Any) -> Any:
        """A closure, a lambda, an async function and a class that is local; with what they refer to."""
        factor = 3

        def times(message: Any) -> Any:
            return [message.body * factor, _module_says(), os.getpid()]

        async def later(message: Any, ctx: Any) -> Any:
            await asyncio.sleep(0)
            return [message.body + factor, ctx.path, os.getpid()]

        class Local(Agent):
            def on_start(self, ctx: Any) -> Any:
                self.base = self.args["base"]

            def handle(self, message: Any, ctx: Any) -> Any:
                return [self.base + message.body + factor, ctx.path, os.getpid()]

        with ctx.scope() as scope:
            children = [scope.start(times), scope.start(lambda message: [message.body - factor, "", os.getpid()])]
            children += [scope.start(later), scope.start(Local, args={"base": 100})]
            return scope.gather([(child, 10) for child in children])

    def unsendable(self, body: Any, ctx: Any) -> Any:
        lock = threading.Lock()
        try:
            ctx.start(lambda message: lock.locked())
        except AgenthostError as error:
            return str(error)

    def start_child(self, body: Any, ctx: Any) -> Any:
        """One that lives on over turns; ``spec`` as in the config."""
        try:
            child = ctx.start(body.get("spec", Worker), name=body.get("name"), timeout=body.get("timeout"))
        except AgenthostError as error:
            return {"code": error.code, "error": str(error)}
        vars(self).setdefault("_children", {})[child.path] = child
        return {"path": child.path, "incarnation": child.incarnation}

    def call_child(self, body: Any, ctx: Any) -> Any:
        return vars(self)["_children"][body["path"]].call(body["body"])

    def stop_child(self, body: Any, ctx: Any) -> Any:
        getattr(vars(self)["_children"][body["path"]], body["how"])()

    def busy_then_ask(self, body: Any, ctx: Any) -> Any:
        """Gives one member work and asks its group at once, three times: who has answered."""
        ctx.send(body["path"], {"do": "sleep", "s": body["s"]}, durable=False)
        return [ctx.group(body["group"]).call({"do": "path"}, timeout=30) for _ in range(3)]

    def start_for_ever(self, body: Any, ctx: Any) -> Any:
        """Until it is killed: children, one after the other, that have descendants of their own."""
        while True:
            ctx.start(Worker).call({"do": "fork"})
            Path(body["file"]).touch()

    def scope_for_ever(self, body: Any, ctx: Any) -> Any:
        with ctx.scope() as scope:
            while True:
                scope.start(Worker).call({"do": "fork"})
                Path(body["file"]).touch()

    def scopes(self, body: Any, ctx: Any) -> Any:
        """Scopes one after the other; tells the pids of all children, and those that are alive after their block."""
        pids, left = [], []
        for number in range(body["n"]):
            with ctx.scope() as scope:
                children = [scope.start(Worker) for _ in range(2)]
                found = scope.gather([(child, {"do": "pid"}) for child in children])
            pids += found
            left += [pid for pid in found if is_alive(pid)]
            Path(body["file"]).write_text(str(number))
        return {"pids": pids, "left": left}

    def crowd(self, body: Any, ctx: Any) -> Any:
        """More children than the host ends at a time for one agent."""
        with ctx.scope() as scope:
            children = [scope.start(Worker, timeout=60) for _ in range(body["n"])]
            pids = scope.gather([(child, {"do": "pid"}) for child in children], timeout=60)
        return {"pids": len(set(pids)), "left": [pid for pid in pids if is_alive(pid)]}

    def monitor_path(self, body: Any, ctx: Any) -> Any:
        monitor = ctx.monitor(body["path"])
        vars(self).setdefault("_monitors", {})[body["path"]] = monitor
        return monitor.incarnation

    def wait_down(self, body: Any, ctx: Any) -> Any:
        if "file" in body:
            Path(body["file"]).touch()
        ended = vars(self)["_monitors"][body["path"]].wait(body.get("timeout", 50))
        return None if ended is None else [*ended]

    def forget(self, body: Any, ctx: Any) -> Any:
        vars(self)["_monitors"][body["path"]].cancel()

    def group_members(self, body: Any, ctx: Any) -> Any:
        return [one.path for one in ctx.group(body["group"]).members()]

    def group_send_all(self, body: Any, ctx: Any) -> Any:
        return ctx.group(body["group"]).send_all(body["body"])

    def group_call(self, body: Any, ctx: Any) -> Any:
        try:
            return ctx.group(body["group"]).call(body["body"])
        except AgenthostError as error:
            return {"code": error.code, "error": str(error)}


class AsyncParent(Agent):
    """As ``Parent``, where asyncio makes a difference."""

    async def handle(self, message: Any, ctx: Any) -> Any:
        return await getattr(self, message.body["do"])(message.body, ctx)

    async def meeting(self, body: Any, ctx: Any) -> Any:
        async with ctx.scope() as scope:
            children = await asyncio.gather(*(scope.start(Worker) for _ in range(body["n"])))
            meet = {"do": "meet", "folder": body["folder"], "n": body["n"]}
            calls = (child.call({**meet, "me": number}) for number, child in enumerate(children))
            said = list(await asyncio.gather(*calls))
            pids = await scope.gather([(child, {"do": "pid"}) for child in reversed(children)])
            touch(body["hold"])
            await exists(body["go_on"])
        return {"paths": [child.path for child in children], "said": said, "pids": pids}

    async def first_error(self, body: Any, ctx: Any) -> Any:
        began = time.monotonic()
        async with ctx.scope() as scope:
            children = [await scope.start(Worker) for _ in range(3)]
            pids = await scope.gather([(child, {"do": "pid"}) for child in children])
            pids += await scope.gather([(child, {"do": "fork"}) for child in children])
            sleep = {"do": "sleep", "s": 1000}
            calls = [(children[0], sleep), (children[1], {"do": "crash"}), (children[2], sleep)]
            try:
                await scope.gather(calls, timeout=50)
            except AgenthostError as error:
                return {
                    "code": error.code,
                    "error": str(error),
                    "alive": [pid for pid in pids if is_alive(pid)],
                    "took_s": time.monotonic() - began,
                }

    async def cancelled(self, body: Any, ctx: Any) -> Any:
        """A task is cancelled while its scope starts a child that is never ready, and calls another."""

        async def block() -> None:
            async with ctx.scope() as scope:
                child = await scope.start(Worker)
                pids.append(await child.call({"do": "fork"}))
                await asyncio.gather(child.call({"do": "sleep", "s": 1000}), scope.start(Slow, start_timeout="300s"))

        pids: list[int] = []
        task = asyncio.create_task(block())
        while not task.done() and (not pids or len(_others()) < 3):  # noqa: ASYNC110  # what is waited for happens in other processes
            await asyncio.sleep(0.002)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return {"alive": [pid for pid in pids if is_alive(pid)], "children": _others()}

    async def raise_in_scope(self, body: Any, ctx: Any) -> Any:
        async with ctx.scope() as scope:
            await scope.start(Worker, shutdown="300s")
            await (await scope.start(Worker, restart="permanent")).call({"do": "fork"})
            raise AgenthostError("out of the block")

    async def uncalled_error(self, body: Any, ctx: Any) -> Any:
        try:
            async with ctx.scope() as scope:
                one, other = await scope.start(Worker), await scope.start(Worker)
                await one.call({"do": "exit_later", "file": body["file"], "status": body["status"]})
                touch(body["file"])
                return await other.call({"do": "sleep", "s": body["s"]}, timeout=50)
        except AgenthostError as error:
            return {"code": error.code, "error": str(error), "children": _others()}


class Member(Worker):
    """Of a group: counts what it gets."""

    def handle(self, message: Any, ctx: Any) -> Any:
        if isinstance(message.body, dict) and message.body.get("do") in ("sleep_until", "kill_oneself", "pid"):
            return getattr(self, message.body["do"])(message.body, ctx)
        if message.body == "count":
            return vars(self).get("_count", 0)
        vars(self)["_count"] = vars(self).get("_count", 0) + 1
        return ctx.path

    def kill_oneself(self, body: Any, ctx: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep_until(self, body: Any, ctx: Any) -> Any:
        while not os.path.exists(body["file"]):
            time.sleep(0.002)


def hold_interpreter_until(file: str) -> None:
    """C code that does not let go of the interpreter: no beat, no signal handler, no other thread."""
    libc = ctypes.PyDLL(None)
    while libc.access(os.fsencode(file), 0) != 0:
        libc.usleep(2000)


def is_alive(pid: int) -> bool:
    """As seen from inside the host's namespace."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _others() -> list[int]:
    """Children that are alive, known by the names of their processes: a host has no others of these names."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            comm = Path("/proc", name, "comm").read_text().strip()
        except OSError:
            continue
        if comm.startswith(("worker-", "slow-")) and is_alive(int(name)):
            found.append(int(name))
    return found


def touch(file: str) -> None:
    Path(file).touch()


async def exists(file: str) -> None:
    while not os.path.exists(file):  # noqa: ASYNC110, ASYNC240  # another process makes it
        await asyncio.sleep(0.002)


def _module_says() -> str:
    return "from the module"
