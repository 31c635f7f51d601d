"""The host's side of wishes, for the fake host: children are real processes; rights and specs are not looked at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from agenthost.protocol import control, wishes

if TYPE_CHECKING:
    from tests.agent.fake_host import FakeHost, Hosted


class Family:
    """Runs in the fake host's thread. ``log`` is every wish, once, in order."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.log: list[wishes.Wish] = []
        self.refuse: dict[str, str] = {}
        """Names of children that are refused, with the code."""
        self.overloaded = 0
        """So many Ends are refused first."""
        self.slow: set[str] = set()
        """Names of children whose Begin is not answered, though they come up."""
        self.groups: dict[str, dict[str, bool]] = {}
        """Group to path to busy."""
        self.early_down: set[str] = set()
        """Paths whose Down comes before the answer to Monitor."""
        self._answers: dict[tuple[bytes, int], control.FromHost] = {}
        self._acted: set[tuple[bytes, int]] = set()
        self._begins: dict[str, tuple[bytes, int]] = {}
        self._ends: dict[str, list[tuple[bytes, int]]] = {}
        self._owners: dict[str, Hosted] = {}

    def children(self, path: str) -> list[Hosted]:
        return [one for one in self._host.agents if one.is_alive and one.path.startswith(path.rstrip("/") + "/")]

    def hear(self, peer: bytes, message: control.Request) -> None:
        key = peer, message.id
        if key in self._answers:
            self._host.say(peer, self._answers[key])
        elif key not in self._acted:
            self._acted.add(key)
            wish = wishes.read_wish(message.op, message.args)
            self.log.append(wish)
            getattr(self, "_" + message.op)(key, wish)

    def ready(self, hosted: Hosted, message: Any) -> None:
        key = self._begins.pop(hosted.inc, None)
        if key is None or hosted.path.rpartition("/")[2] in self.slow:
            return
        if isinstance(message, control.Ready):
            self._answer(key, {"path": hosted.path, "incarnation": hosted.inc})
        else:
            self._refuse(key, "start_failed", getattr(message, "error", "it had nothing to do"))

    def buried(self, hosted: Hosted) -> None:
        for child in self.children(hosted.path):
            child.process.kill()
        for key in self._ends.pop(hosted.inc, ()):
            self._answer(key, {"path": hosted.path, "text": "ended"})

    def _begin(self, key: tuple[bytes, int], wish: wishes.Begin) -> None:
        owner = next(one for one in self._host.agents if one.peer == key[0])
        if wish.name in self.refuse:
            self._refuse(key, self.refuse[wish.name], f"may not start {wish.name}")
            return
        path = f"{owner.path}/{wish.name}"
        if any(one.path == path for one in self.children(owner.path)):
            self._refuse(key, "usage", f"there is a {path} already")
            return
        agent = wish.spec.get("agent", "tests.agent.cast:Echo")
        hosted = self._host.spawn(agent, path, wish.spec.get("args"), code=wish.code)
        self._host.agents.append(hosted)
        self._begins[hosted.inc] = key
        if wish.monitor:
            hosted.watchers.add(key[0])

    def _end(self, key: tuple[bytes, int], wish: wishes.End) -> None:
        if self.overloaded:
            self.overloaded -= 1
            self._refuse(key, "overloaded", "too many ends are under way")
            return
        hosted = self._alive(wish.path)
        if hosted is None:
            self._refuse(key, "unknown_name", f"there is no {wish.path}")
            return
        self._ends.setdefault(hosted.inc, []).append(key)
        if wish.how == "kill" or not hosted.peer:
            hosted.process.kill()
        else:
            self._host.say(hosted.peer, control.Stop(id=key[1], reason="its owner is done", grace_s=5.0))

    def _monitor(self, key: tuple[bytes, int], wish: wishes.Monitor) -> None:
        hosted = self._alive(wish.path)
        if hosted is None:
            self._answer(key, {"incarnation": "", "reason": f"not running: there is no {wish.path}"})
            return
        hosted.watchers.add(key[0])
        answer = {"incarnation": hosted.inc}
        if wish.path in self.early_down:
            self._host.say(key[0], control.Down(id=10_000, path=wish.path, inc=hosted.inc, reason="early"))
        self._answer(key, answer)

    def _forget(self, key: tuple[bytes, int], wish: wishes.Forget) -> None:
        for one in self._host.agents:
            if one.inc == wish.incarnation:
                one.watchers.discard(key[0])
        self._answer(key, None)

    def _members(self, key: tuple[bytes, int], wish: wishes.Members) -> None:
        found = []
        for path, busy in self.groups.get(wish.group, {}).items():
            one = self._alive(path)
            if one is not None or busy is None:
                found.append({"path": path, "incarnation": one.inc if one else "7.0", "busy": bool(busy)})
        self._answer(key, found)

    def _alive(self, path: str) -> Hosted | None:
        return next((one for one in reversed(self._host.agents) if one.path == path and one.is_alive), None)

    def _answer(self, key: tuple[bytes, int], result: Any) -> None:
        self._say(key, control.Response(id=key[1], result=result))

    def _refuse(self, key: tuple[bytes, int], code: str, why: str) -> None:
        self._say(key, control.Refused(id=key[1], code=code, why=why))

    def _say(self, key: tuple[bytes, int], message: control.FromHost) -> None:
        self._answers[key] = message
        self._host.say(key[0], message)


def is_alive(pid: int) -> bool:
    """Not ended; the fake host reaps at once."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
