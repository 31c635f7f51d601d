"""One host for several sentences of a file: for those that leave it as they found it.

``share(tree, **host_keys)`` is used as ``start`` is, and gives the host that runs with that tree and those keys
already, or begins one. After each test it must be as it was at first: the same paths, all of them ready and idle, no
mail, and no process that it does not account for. Where it is not, the test fails and the next one gets a fresh host.
At the end of the file each has to end as planned and to leave nothing.

What is counted from the beginning goes on: incarnations, restarts, state that is durable. Records do not: ``events``
shows those of the test alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.host.accounting import assert_all_accounted
from tests.host.running import MARK, PATIENCE_S, Running, ready
from tests.leftovers import lent
from tests.places import VARIABLES, place

AGAIN_S = PATIENCE_S
AT_REST = {"ready", "down", "done", "gave_up"}
AS_IT_WAS = ("path", "state", "held", "flags", "mailbox", "live", "asleep")


@dataclass(frozen=True, slots=True)
class Shared:
    """``ending`` ends it as planned, and removes its ``places``."""

    host: Running
    places: Path
    before: list[dict[str, Any]]
    ending: ExitStack


class SharedHosts:
    """Those of one file, by what they run."""

    def __init__(self) -> None:
        self._there: dict[str, Shared] = {}
        self._begun = 0

    def __enter__(self) -> SharedHosts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as all_of_them:  # each is ended, also where another one has left something
            for one in self._there.values():
                all_of_them.push(one.ending)

    @contextmanager
    def borrowed(
        self, folder: Path, patch: pytest.MonkeyPatch, config_tree: dict[str, Any], keys: dict[str, Any]
    ) -> Iterator[Running]:
        """For one test, whose ``folder`` that is; the environment names the places of the host meanwhile."""
        wanted = json.dumps([config_tree, keys], sort_keys=True)
        if wanted not in self._there:
            self._there[wanted] = self._begin(config_tree, keys)
        one = self._there[wanted]
        for name, variable in VARIABLES.items():
            patch.setenv(variable, str(one.places / name))
        one.host.folder = folder
        one.host.forget_events()
        try:
            yield one.host
            one.host.wait(lambda: facts(one.host) == one.before, "it is again as it was when it began", AGAIN_S)
            assert_all_accounted(one.host, AGAIN_S)
            one.host.assert_no_bug_of_ours()
        except BaseException as error:
            del self._there[wanted]  # the next test gets another one
            now = facts(one.host) if one.host.host() else []
            one.host.end()
            one.ending.close()
            error.add_note(f"--- the host was:\n{one.before}\n--- it is:\n{now}")
            raise
        finally:
            one.host.hang_up()

    def _begin(self, config_tree: dict[str, Any], keys: dict[str, Any]) -> Shared:
        self._begun += 1
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            folder = stack.enter_context(place(patch))
            host = Running(folder, config_tree, **{"name": f"s{os.getpid()}-{self._begun}", **keys})
            entry = f"{MARK}={host.mark}".encode()
            lent[entry] = f"agenthost-{host.name}."
            stack.callback(lent.pop, entry)
            stack.enter_context(ready(host))
            before = facts(host)
            assert {row["state"] for row in before} == {"ready"}, before
            return Shared(host, folder, before, stack.pop_all())


def put_back(host: Running) -> None:
    """Starts what a test has stopped, and kills who has children of run time or a turn in hand: each is born anew."""
    host.wait(lambda: {row["state"] for row in host.rows().values()} <= AT_REST, "nothing is under way")
    rows = host.rows()
    for path, row in rows.items():
        above = rows[os.path.dirname(path)]
        if row["kind"] != "worker" or above["kind"] == "worker":
            continue
        if row["held"]:
            host.ask("start", path=path)
        elif row["flags"] or any(below.startswith(f"{path}/") for below in rows):
            host.ask("kill", path=path)


def facts(host: Running) -> list[dict[str, Any]]:
    """Without what is 0 or empty: a mailbox is so until the journal has told."""
    return [{key: row[key] for key in AS_IT_WAS if row.get(key)} for row in host.rows().values()]
