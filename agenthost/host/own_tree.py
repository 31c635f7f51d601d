"""The host's own processes as a tree beside the users': router, logger and journal, decided on by the same core, and
the links to them. How each of them is born, and ends, is ``system``'s.

The rule it keeps: it begins and ends, and fails, apart from the users' tree; what its processes did is told when
something went wrong, and nothing else of them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from agenthost.config.model import HostConfig
from agenthost.config.users import users_of
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.host import system
from agenthost.host.chronicle import Chronicle
from agenthost.host.decider import Decider, Owners, end_once
from agenthost.host.dialogs import Dialogs
from agenthost.host.journaling import Journaling
from agenthost.host.operators import Operators
from agenthost.host.outputs import Outputs
from agenthost.host.recording import Recording
from agenthost.host.timers import Timers
from agenthost.transport.link import RouterLink
from agenthost.transport.places import Places


class OwnTree:
    """``ended`` is done when nothing of it runs. ``is_ending()`` of the host: what happens then is no news.
    ``record(name, path, **fields)``."""

    def __init__(
        self,
        *,
        config: HostConfig,
        places: Places,
        boot: int,
        seed: int,
        journaling: Journaling,
        dialogs: Dialogs,
        operators: Operators,
        outputs: Outputs,
        chronicle: Chronicle,
        recording: Recording,
        is_ending: Callable[[], bool],
        record: Callable[..., None],
    ) -> None:
        self._places, self._journaling, self._dialogs, self._operators = places, journaling, dialogs, operators
        self._outputs, self._chronicle, self._recording = outputs, chronicle, recording
        self._is_ending, self._record = is_ending, record
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Reason] = loop.create_future()
        self.router_counters: dict[str, int] = {}
        uids = dict.fromkeys((places.uid, *config.operators, *set(users_of(config.tree))))
        self.system = system.System(
            endpoints=[self._endpoint(uid) for uid in uids],
            log_folder=str(places.logs),
            journal=(str(places.journal), boot, config.durability),
            on_router=self._new_router,
            on_logger=outputs.connect,
            on_journal=journaling.connect,
            on_gone=self._gone,
            tell=lambda event: self._decider.tell(event),
        )
        self._timers = Timers(lambda event: self._decider.tell(event))
        self._decider = Decider(self.system.new_state(seed), self._owners(), loop.time)

    def boot(self) -> None:
        self._decider.tell(on.Boot())

    def halt(self) -> None:
        self._decider.tell(on.Halt("ask", "the host"))

    def close(self) -> None:
        self._timers.close()

    def _owners(self) -> Owners:
        return {
            do.Birth: self.system.birth,
            do.Ask: self.system.ask,
            do.Terminate: self.system.terminate,
            do.Kill: self.system.kill,
            do.Examine: lambda effect: None,  # nobody but us can say what they do
            # nobody asks that of them
            **dict.fromkeys((do.Interrupt, do.Sleep, do.Freeze, do.Thaw, do.Adopt, do.Keep), lambda effect: None),
            do.SetTimer: self._timers.set,
            do.CancelTimer: self._timers.cancel,
            do.Record: self._recorded,
            do.Answer: lambda effect: None,
            do.Ended: lambda effect: end_once(self.ended, effect.reason),
        }

    # ---- its processes, and the links to them

    def _endpoint(self, uid: int) -> tuple[str, int, tuple[int, ...]]:
        return str(self._places.control_socket(uid)), uid, tuple({uid, 0, self._places.uid})

    def new_user(self, uid: int) -> None:
        """The router gets its sockets when it begins; a new one costs milliseconds and no message that must arrive."""
        self.system.endpoints.append(self._endpoint(uid))
        self._decider.tell(on.Command(1, "restart", system.ROUTER, f"the host: agents of uid {uid}"))

    def _new_router(self, link: socket.socket) -> None:
        self._drop_router()
        self._dialogs.router = RouterLink(
            link,
            self._dialogs.heard,
            self._operators.gone,
            self._router_counted,
            lambda why: self._record("router.lost", system.ROUTER, why=why),
        )

    def _router_counted(self, counters: dict[str, int]) -> None:
        self.router_counters = counters
        self.system.router_heard()

    def _gone(self, path: str) -> None:
        if path == system.ROUTER:
            self._drop_router()
        elif path == system.JOURNAL:
            self._journaling.disconnect()
        else:
            self._outputs.disconnect()

    def _drop_router(self) -> None:
        if self._dialogs.router is not None:
            self._dialogs.router.close()
            self._dialogs.router = None

    def _recorded(self, effect: do.Record) -> None:
        """A step is told when something went wrong; starts and stops are no news."""
        if (
            effect.name in ("agent.exited", "agent.restarting", "agent.stuck", "supervisor.gave_up")
            and not self._is_ending()
        ):
            self._chronicle.add(effect.name, effect.path, dict(effect.fields))
            if effect.name == "agent.exited":
                self._recording.system_exited(effect.path, effect.fields)
