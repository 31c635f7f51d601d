"""``turn: {reap: true}``: what a turn has left behind in its agent's cell is killed before its reply leaves.

The host kills; zombies are their parent's, so those that are ours are reaped here. Whoever holds an object for one of
them, a ``subprocess.Popen`` say, finds it ended.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agenthost.errors import AgenthostError
from agenthost.protocol import wishes

if TYPE_CHECKING:
    from agenthost.agent.kin import Kin


async def reap(kin: Kin) -> None:
    """Says on stderr whom it was about. That it could not be done ends no agent: the next turn tries again."""
    try:
        killed = await kin.answer(kin.request(wishes.Reap()), kin.far(), "end what the turn left behind")
    except AgenthostError as error:
        print(error, file=sys.stderr, flush=True)
    else:
        if killed:
            names = ", ".join(f"{one['name']} (pid {one['pid']})" for one in killed)
            print(f"the turn left behind, and the host has killed: {names}", file=sys.stderr, flush=True)
    _bury()


def _bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return  # there is none
