"""Agents that have children, as tests of the host tell them: what is said to the host is said as it stands."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from agenthost.agent.asking import request
from agenthost.agent.blocking import finish
from agenthost.errors import AgenthostError
from agenthost.protocol import wishes
from tests.host.agents import Doer, ignore_signals

CODE = """
def grown(dill):
    from agenthost import Agent

    class Grown(Agent):
        def handle(self, message, ctx):
            return [message.body, ctx.path]

    return dill.dumps(Grown, recurse=True)
"""


class Owner(Doer):
    """Each wish is answered with its result, or ``{"code", "error"}``."""

    def begin(self, body: Any, ctx: Any) -> Any:
        spec = dict(body.get("spec", {}))
        return self._wish(ctx, wishes.Begin(name=body["name"], spec=spec, for_s=body.get("for_s")))

    def begin_many(self, body: Any, ctx: Any) -> Any:
        """All at once: how many were answered how."""
        kin = ctx._desk.kin()
        asked = [kin.request(wishes.Begin(name=f"{body['name']}-{n}", spec=body["spec"])) for n in range(body["n"])]
        deadline = time.monotonic() + 50
        finish(kin.until(lambda: all(one.is_answered for one in asked), deadline))
        counted: dict[str, int] = {}
        for one in asked:
            word = one.outcome.code if isinstance(one.outcome, AgenthostError) else "up" if one.is_answered else "?"
            counted[word] = counted.get(word, 0) + 1
        return counted

    def begin_only(self, body: Any, ctx: Any) -> Any:
        """Does not wait for the answer."""
        ctx._desk.kin().request(wishes.Begin(name=body["name"], spec=body["spec"]))

    def begin_when_stopping(self, body: Any, ctx: Any) -> Any:
        """Writes down how that was answered: nobody waits for a reply."""
        Path(f"{body['file']}.began").touch()
        kin = ctx._desk.kin()
        finish(kin.until(lambda: ctx.stopping, time.monotonic() + 50))
        answer = self.begin(body, ctx)
        Path(body["file"]).write_text(f"{answer.get('code')} {answer.get('error')}")

    def begin_code(self, body: Any, ctx: Any) -> Any:
        import dill

        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(CODE, scope)
        return self._wish(ctx, wishes.Begin(name=body["name"], spec=body.get("spec", {}), code=scope["grown"](dill)))

    def twice(self, body: Any, ctx: Any) -> Any:
        """The same request two times; both answers come to the same."""
        kin = ctx._desk.kin()
        wish = wishes.WISHES[body["op"]](**body["args"])
        asked = kin.request(wish)
        kin._wires.control.try_send(request(asked.id, wish))
        answer = self._answer(kin, asked)
        kin._wires.control.try_send(request(asked.id, wish))
        self._wish(ctx, wishes.Members(group="nobody"))  # a round trip: what was said before has been heard
        return answer

    def end(self, body: Any, ctx: Any) -> Any:
        return self._wish(ctx, wishes.End(path=body["path"], how=body.get("how", "stop")))

    def members(self, body: Any, ctx: Any) -> Any:
        return self._wish(ctx, wishes.Members(group=body["group"]))

    def monitor(self, body: Any, ctx: Any) -> Any:
        """Until its end is told, at most ``timeout``; [the answer, how often Down came, its reason]."""
        kin = ctx._desk.kin()
        heard: list[Any] = []
        kin._wires.on_down = heard.append
        answer = self._wish(ctx, wishes.Monitor(path=body["path"]))
        if "file" in body:
            Path(body["file"]).touch()
        finish(kin.until(lambda: bool(heard), time.monotonic() + body.get("timeout", 50)))
        self._wish(ctx, wishes.Members(group="nobody"))
        mine = [one for one in heard if one.path == body["path"]]
        return [answer, len(mine), *((one.inc, one.reason, one.well) for one in mine[:1])]

    def monitor_again(self, body: Any, ctx: Any) -> Any:
        """Down is told, and once more when the same Monitor is asked again, as if its answer had been lost."""
        kin = ctx._desk.kin()
        heard: list[Any] = []
        kin._wires.on_down = heard.append
        wish = wishes.Monitor(path=body["path"])
        asked = kin.request(wish)
        self._answer(kin, asked)
        self._wish(ctx, wishes.End(path=body["path"], how="kill"))
        finish(kin.until(lambda: bool(heard), time.monotonic() + 50))
        self._wish(ctx, wishes.Members(group="nobody"))
        before = len(heard)
        kin._wires.control.try_send(request(asked.id, wish))
        finish(kin.until(lambda: len(heard) > before, time.monotonic() + 50))
        return [before, *{(one.id, one.inc, one.reason) for one in heard}]

    def forget(self, body: Any, ctx: Any) -> Any:
        """How many Downs come of a monitor that was taken back."""
        kin = ctx._desk.kin()
        heard: list[Any] = []
        kin._wires.on_down = heard.append
        incarnation = self._wish(ctx, wishes.Monitor(path=body["path"]))["incarnation"]
        self._wish(ctx, wishes.Forget(path=body["path"], incarnation=incarnation))
        self._wish(ctx, wishes.End(path=body["path"], how="kill"))
        self._wish(ctx, wishes.Members(group="nobody"))
        return len(heard)

    def nap_deaf(self, body: Any, ctx: Any) -> Any:
        """A turn in which nothing of the host is heard, with a monitor begun before; then what came meanwhile."""
        kin = ctx._desk.kin()
        heard: list[Any] = []
        kin._wires.on_down = heard.append
        self._wish(ctx, wishes.Monitor(path=body["path"]))
        Path(body["file"]).touch()
        while not Path(body["until"]).exists():
            time.sleep(0.01)
        finish(kin.until(lambda: bool(heard), time.monotonic() + 50))
        return [one.reason for one in heard]

    def _wish(self, ctx: Any, wish: wishes.Wish) -> Any:
        kin = ctx._desk.kin()
        return self._answer(kin, kin.request(wish))

    def _answer(self, kin: Any, asked: Any) -> Any:
        try:
            return finish(kin.answer(asked, time.monotonic() + 50, "have an answer"))
        except AgenthostError as error:
            return {"code": error.code, "error": str(error)}


class DeafOwner(Owner):
    """TERM and the like do not end it, nor does Stop while it naps; its children are as they are."""

    def on_start(self, ctx: Any) -> Any:
        ignore_signals()


class Forks(Owner):
    """A chain of processes that fork their successor and end, in sessions of their own."""

    def on_start(self, ctx: Any) -> Any:
        self.relay({"chains": 3}, ctx)


class Stubborn(Owner):
    """Heeds neither TERM nor Stop."""

    def on_start(self, ctx: Any) -> Any:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def on_stop(self, ctx: Any) -> Any:
        while True:
            time.sleep(1000)


class Told(Owner):
    """Where it stands, as its process sees it."""

    def where(self, body: Any, ctx: Any) -> Any:
        return {"cwd": os.getcwd(), "env": {name: os.environ.get(name) for name in body["env"]}, "args": self.args}
