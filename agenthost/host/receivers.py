"""Who may be sent mail, and how it is treated there: whoever stands in the tree, whether it runs or not. What of that
the journal was told, and what it is told when the tree changes.

The rule it keeps: what an agent has started has no past, even if another of that name had one; unless it persists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agenthost.core.birth import AgentBirth
from agenthost.core.tree import AnyNode, State, Worker, owner_of
from agenthost.errors import UnknownName
from agenthost.host.journal_link import JournalLink
from agenthost.journal import words


class Receivers:
    """What it says goes over ``link``."""

    def __init__(self, state: State, link: JournalLink) -> None:
        self._state, self._link = state, link
        self.template: Callable[[str], AgentBirth | None] = lambda path: None
        """What a member of a pool that is not there would be."""
        self._known: set[str] = set()
        self._planted: dict[str, AnyNode] = {}
        """What agents have started and the journal knows, by path."""

    def receiver(self, path: str, verb: str = "send to") -> words.Terms:
        """How mail for it is treated. ``UnknownName`` if none can be sent there; ``verb`` is for its words."""
        node = self._state.nodes.get(path)
        if node is None and (birth := self.template(path)) is not None:
            self._known.add(path)
            return terms_of(birth)
        if node is None:
            raise UnknownName(f"cannot {verb} {path}: there is no such agent")
        if not isinstance(node, Worker):
            raise UnknownName(f"cannot {verb} {path}: it is a supervisor", hint="name one of its agents")
        if not isinstance(node.spec.birth, AgentBirth):
            raise UnknownName(f"cannot {verb} {path}: it is a program that takes no messages")
        self.introduce(path)
        return terms_of(node.spec.birth)

    def introduce(self, path: str) -> None:
        """It is about to have mail, or a door."""
        self._make_clean(path)
        self._known.add(path)

    def ended(self, path: str) -> None:
        """An incarnation of it, which may have been the last."""
        if path in self._known or path in self._planted:
            asyncio.get_running_loop().call_soon(self.know_again, path)

    def know_again(self, only: str = "") -> None:
        """The tree has changed: of what the journal knows, some may be gone, or be wanted in another way."""
        for path in [only] if only else list(self._known | self._planted.keys()):
            node = self._state.nodes.get(path)
            if (planted := self._planted.get(path)) is not None and planted is not node:
                del self._planted[path]
                self._link.say(words.Clear(self._link.next_id(), path, "the agent has ended, and will not come back"))
            if path not in self._known:
                continue
            if isinstance(node, Worker) and isinstance(node.spec.birth, AgentBirth):
                if not only:
                    self._link.say(words.Known(self._link.next_id(), path, terms_of(node.spec.birth)))
            elif only and self.template(path) is not None:
                self._known.discard(path)  # a member that sleeps; the journal asks again
            elif (birth := self.template(path)) is not None:
                self._link.say(words.Known(self._link.next_id(), path, terms_of(birth)))
            else:
                self._known.discard(path)
                self._link.say(words.Known(self._link.next_id(), path, None, f"cannot send to {path}: it was removed"))

    def say_known(self, path: str) -> None:
        """The journal has asked."""
        try:
            terms = self.receiver(path)
        except UnknownName as error:
            self._link.say(words.Known(self._link.next_id(), path, None, str(error)))
        else:
            self._link.say(words.Known(self._link.next_id(), path, terms))

    def _make_clean(self, path: str) -> None:
        """What an agent has started has no past, even if another of that name had one; unless it persists."""
        node = self._state.nodes.get(path)
        if node is None or owner_of(node) is None or node.spec.persist or self._planted.get(path) is node:
            return
        self._planted[path] = node
        self._link.say(words.Clear(self._link.next_id(), path, "it was for an earlier agent of this name"))


def terms_of(birth: AgentBirth) -> words.Terms:
    mail = birth.mail
    return words.Terms(
        mail.attempts,
        round(mail.initial_s * 1000),
        round(mail.max_s * 1000),
        mail.limit,
        mail.when_full,
        birth.recovery,
    )
