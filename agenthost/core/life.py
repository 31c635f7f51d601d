"""The life of a worker as one table: (life, input) -> (life, actions). All that may happen is written here.

Lives with a process are STARTING to STUCK; a process counts as there until its cell is empty (EMPTIED). An undecided
pair raises and names both: the host said something that cannot be. Actions are names that ``worker`` carries out.

The way down is a ladder: ASKED, TERMINATING, KILLING, and STUCK when even KILL does not empty the cell. Whenever the
main process ends, KILLING sweeps what it left behind, so a normal end is swept as well.
"""

from __future__ import annotations

import enum


class Life(enum.StrEnum):
    DOWN = "down"
    STARTING = "starting"
    READY = "ready"
    ASKED = "asked"
    TERMINATING = "terminating"
    KILLING = "killing"
    STUCK = "stuck"
    WAITING = "waiting"
    ASLEEP = "asleep"
    DONE = "done"
    GAVE_UP = "gave_up"


class Input(enum.StrEnum):
    BEGIN = "begin"  # start an incarnation
    READY = "ready"  # the process can work
    IGNORED = "ignored"  # the process says there is nothing to do
    LEAVE = "leave"  # it ends by itself, to sleep
    EXITED = "exited"  # the main process is gone
    EMPTIED = "emptied"  # and so is all it started
    ASK = "ask"  # end, please
    TERM = "term"  # the first part of the grace ran out, or hurry
    KILL = "kill"  # the grace ran out, or a reason not to wait
    OVERDUE = "overdue"  # KILL was long ago and the cell is not empty
    DELAY = "delay"  # wait before the next incarnation
    REST = "rest"  # no further incarnation unless somebody asks
    SLEEP = "sleep"  # no further incarnation unless somebody wants something of it
    FINISH = "finish"  # it ended well and is not to come back (R4)
    GIVE_UP = "give_up"  # another try cannot help (D12)


class Action(enum.StrEnum):
    BIRTH = "birth"
    TELL_READY = "tell_ready"
    ASK = "ask"
    TERMINATE = "terminate"
    KILL = "kill"
    SWEEP = "sweep"  # KILL what the main process left behind
    TELL_STUCK = "tell_stuck"
    TELL_ENDED = "tell_ended"


L, In, A = Life, Input, Action

WITH_PROCESS = frozenset({L.STARTING, L.READY, L.ASKED, L.TERMINATING, L.KILLING, L.STUCK})
AT_REST = frozenset({L.DOWN, L.WAITING, L.ASLEEP, L.DONE, L.GAVE_UP})
ENDING = frozenset({L.ASKED, L.TERMINATING, L.KILLING, L.STUCK})

TABLE: dict[tuple[Life, Input], tuple[Life, tuple[Action, ...]]] = {
    **{(rest, In.BEGIN): (L.STARTING, (A.BIRTH,)) for rest in AT_REST},
    **{(rest, In.DELAY): (L.WAITING, ()) for rest in AT_REST},
    **{(rest, In.REST): (L.DOWN, ()) for rest in AT_REST},
    (L.DOWN, In.SLEEP): (L.ASLEEP, ()),
    **{(rest, In.FINISH): (L.DONE, ()) for rest in AT_REST},
    **{(rest, In.GIVE_UP): (L.GAVE_UP, ()) for rest in AT_REST},
    (L.STARTING, In.READY): (L.READY, (A.TELL_READY,)),
    (L.STARTING, In.IGNORED): (L.ASKED, (A.ASK,)),
    (L.STARTING, In.ASK): (L.ASKED, (A.ASK,)),
    (L.STARTING, In.TERM): (L.TERMINATING, (A.TERMINATE,)),
    (L.STARTING, In.KILL): (L.KILLING, (A.KILL,)),
    (L.STARTING, In.EXITED): (L.KILLING, (A.SWEEP,)),
    (L.READY, In.ASK): (L.ASKED, (A.ASK,)),
    (L.READY, In.LEAVE): (L.ASKED, ()),
    (L.READY, In.TERM): (L.TERMINATING, (A.TERMINATE,)),
    (L.READY, In.KILL): (L.KILLING, (A.KILL,)),
    (L.READY, In.EXITED): (L.KILLING, (A.SWEEP,)),
    (L.READY, In.READY): (L.READY, ()),  # said twice, because the router died in between
    (L.READY, In.IGNORED): (L.READY, ()),  # too late: it has said otherwise
    (L.ASKED, In.TERM): (L.TERMINATING, (A.TERMINATE,)),
    (L.ASKED, In.KILL): (L.KILLING, (A.KILL,)),
    (L.ASKED, In.EXITED): (L.KILLING, (A.SWEEP,)),
    (L.TERMINATING, In.TERM): (L.TERMINATING, ()),
    (L.TERMINATING, In.KILL): (L.KILLING, (A.KILL,)),
    (L.TERMINATING, In.EXITED): (L.KILLING, (A.SWEEP,)),
    (L.KILLING, In.KILL): (L.KILLING, ()),
    (L.KILLING, In.TERM): (L.KILLING, ()),
    (L.KILLING, In.EXITED): (L.KILLING, ()),
    (L.KILLING, In.EMPTIED): (L.DOWN, (A.TELL_ENDED,)),
    (L.KILLING, In.OVERDUE): (L.STUCK, (A.TELL_STUCK, A.KILL)),
    (L.STUCK, In.OVERDUE): (L.STUCK, (A.KILL,)),
    (L.STUCK, In.KILL): (L.STUCK, (A.KILL,)),
    (L.STUCK, In.TERM): (L.STUCK, ()),
    (L.STUCK, In.EXITED): (L.STUCK, ()),
    (L.STUCK, In.EMPTIED): (L.DOWN, (A.TELL_ENDED,)),
    # Whoever is on the way down does not come back up, and need not be asked again.
    **{(life, In.READY): (life, ()) for life in ENDING},
    **{(life, In.IGNORED): (life, ()) for life in ENDING},
    **{(life, In.ASK): (life, ()) for life in ENDING},
}


class ImpossibleMove(AssertionError):
    """The host reported what cannot have happened; a bug of ours, never of a user."""


def move(life: Life, what: Input, *, who: str) -> tuple[Life, tuple[Action, ...]]:
    try:
        return TABLE[life, what]
    except KeyError:
        raise ImpossibleMove(f"{who} is {life} and cannot take {what}") from None
