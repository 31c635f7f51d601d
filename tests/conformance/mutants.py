"""Cores with one rule broken. The comparison is worth what it finds in them.

Each mutant is a context manager that puts one wrong function in the place of a right one. Only this folder does such a
thing: here the change is the point, and the core has no seam that exists for tests alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from agenthost.core import commands, rest, step, strategy, supervisor
from agenthost.core.intensity import Window
from agenthost.core.reason import Reason
from agenthost.core.spec import Restart, Strategy
from agenthost.core.tree import AnyNode, Doing, State, Supervisor, Turn

Mutant = Callable[[], AbstractContextManager[None]]


@contextmanager
def instead(owner: Any, name: str, wrong: Any) -> Iterator[None]:
    """``owner.name`` is ``wrong`` for a while. A builtin's name is put over it and taken away again."""
    over_builtin = name == "reversed"
    right = None if over_builtin else getattr(owner, name)
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        if over_builtin:
            delattr(owner, name)
        else:
            setattr(owner, name, right)


def permanent_child_that_ended_well_stays_down() -> AbstractContextManager[None]:
    """Against R1."""
    return instead(
        supervisor, "comes_back", lambda restart, reason: restart is not Restart.TEMPORARY and not reason.well
    )


def transient_child_always_comes_back() -> AbstractContextManager[None]:
    """Against R2."""
    return instead(supervisor, "comes_back", lambda restart, reason: restart is not Restart.TEMPORARY)


def temporary_child_keeps_its_spec() -> AbstractContextManager[None]:
    """Against R3, for bystanders of a group restart and for what an operator stops."""
    return instead(rest, "_leaves_nothing", lambda child: False)


def one_for_all_starts_nobody_else() -> AbstractContextManager[None]:
    """Against T2."""
    return instead(supervisor, "group", _group({Strategy.ONE_FOR_ALL: lambda names, failed: [failed]}))


def rest_for_one_takes_the_earlier_ones_along() -> AbstractContextManager[None]:
    """Against T3."""
    return instead(supervisor, "group", _group({Strategy.REST_FOR_ONE: lambda names, failed: names}))


def rest_for_one_leaves_the_later_ones_alone() -> AbstractContextManager[None]:
    """Against T3."""
    return instead(supervisor, "group", _group({Strategy.REST_FOR_ONE: lambda names, failed: [failed]}))


def stops_in_the_order_of_starting() -> AbstractContextManager[None]:
    """Against S4 and T2."""
    return instead(supervisor, "reversed", list)


def gives_up_one_restart_early() -> AbstractContextManager[None]:
    """Against I1."""
    right = Window.restart

    def wrong(self: Window, now: float) -> bool:
        return right(self, now) and self.count < max(self.intensity, 1)

    return instead(Window, "restart", wrong)


def bears_one_restart_too_many() -> AbstractContextManager[None]:
    """Against I1."""
    right = Window.restart

    def wrong(self: Window, now: float) -> bool:
        return right(self, now) or self.count == self.intensity + 1

    return instead(Window, "restart", wrong)


def a_restarted_supervisor_remembers_what_it_bore() -> AbstractContextManager[None]:
    """Against I5: the counter belongs to one incarnation of the supervisor."""
    return instead(Window, "clear", lambda self: None)


def a_group_restart_counts_for_every_sibling() -> AbstractContextManager[None]:
    """Against I6."""
    right = supervisor._regroup

    def wrong(turn: Turn, sup: Supervisor, child: AnyNode, wait_s: float) -> None:
        for _ in range(sum(other.alive for other in sup.children.values())):
            sup.window.restart(turn.now)
        right(turn, sup, child, wait_s)

    return instead(supervisor, "_regroup", wrong)


def what_an_operator_stopped_is_restarted() -> AbstractContextManager[None]:
    """Against R7."""

    def wrong(turn: Turn, parent: Supervisor, child: AnyNode, wish: object, in_hand: bool) -> None:
        rest.answer_stop(turn, child, text="")
        supervisor._judge(turn, parent, child, Reason("killed"))

    return instead(supervisor, "_as_wished", wrong)


def a_failed_restart_does_not_count() -> AbstractContextManager[None]:
    """Against R9."""
    right = supervisor._restart

    def wrong(turn: Turn, sup: Supervisor, child: AnyNode, reason: Reason) -> None:
        if child.up_at is None and sup.window.count:
            sup.window._restarts.pop()
        right(turn, sup, child, reason)

    return instead(supervisor, "_restart", wrong)


def a_group_restart_leaves_the_stopped_ones_down() -> AbstractContextManager[None]:
    """Against T4: deviation D4 although ``otp_strict`` is on."""
    right = supervisor._start_next

    def wrong(turn: Turn, sup: Supervisor, child: AnyNode | None) -> None:
        right(turn, sup, None if child is not None and child.held else child)

    return instead(supervisor, "_start_next", wrong)


def a_retry_starts_from_the_first_child() -> AbstractContextManager[None]:
    """Against T6."""
    right = supervisor._failed_to_start

    def wrong(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
        if parent.doing is Doing.REGROUPING and reason.kind != "ignore":
            supervisor._restart(turn, parent, next(iter(parent.children.values())), reason)
        else:
            right(turn, parent, child, reason)

    return instead(supervisor, "_failed_to_start", wrong)


def giving_up_is_a_failure_to_the_supervisor_above() -> AbstractContextManager[None]:
    """Against I3 and I8: deviation D3 although ``otp_strict`` is on."""
    right = supervisor.stop

    def wrong(turn: Turn, node: AnyNode, why: str, *, end: Reason | None = None) -> None:
        gave_up = end is not None and end.kind == "shutdown" and " restarts in " in end.text
        right(turn, node, why, end=Reason("gave_up", text=why) if gave_up else end)

    return instead(supervisor, "stop", wrong)


def a_failed_first_start_does_not_end_the_supervisor() -> AbstractContextManager[None]:
    """Against S2."""
    right = supervisor._failed_to_start

    def wrong(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
        right(turn, parent, child, Reason("ignore") if parent.doing is Doing.STARTING else reason)

    return instead(supervisor, "_failed_to_start", wrong)


def a_child_that_ignores_is_forgotten() -> AbstractContextManager[None]:
    """Against S3."""
    return instead(supervisor, "settle_ignored", rest.forget)


def a_start_by_hand_that_fails_is_tried_again() -> AbstractContextManager[None]:
    """Against section 8."""
    right = supervisor._unasked

    def wrong(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason, in_hand: bool, by_hand: bool) -> None:
        right(turn, parent, child, reason, in_hand, False)

    return instead(supervisor, "_unasked", wrong)


def children_added_at_run_time_outlive_their_supervisor() -> AbstractContextManager[None]:
    """Against T8."""
    return instead(State, "replant", lambda self, node: None)


def a_significant_child_is_like_any_other() -> AbstractContextManager[None]:
    """Against A3."""
    return instead(supervisor, "_mind_significant", lambda turn, parent, child, reason: None)


def the_last_significant_child_is_not_waited_for() -> AbstractContextManager[None]:
    """Against A4: all_significant is taken for any_significant."""

    def wrong(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
        if child.spec.significant:
            supervisor.stop(turn, parent, "a significant child has ended")

    return instead(supervisor, "_mind_significant", wrong)


def deleting_asks_for_no_stop_first() -> AbstractContextManager[None]:
    """Against section 8: what runs cannot be deleted, but is said to be."""

    def wrong(turn: Turn, wanted: Any) -> None:
        commands._answer(turn, wanted, "deleted")

    return instead(step, "delete", wrong)


def _group(
    wrong: dict[Strategy, Callable[[list[str], str], list[str]]],
) -> Callable[[Strategy, Sequence[str], str], list[str]]:
    right = strategy.group

    def group(of: Strategy, names: Sequence[str], failed: str) -> list[str]:
        return wrong[of](list(names), failed) if of in wrong else right(of, names, failed)

    return group


MUTANTS: tuple[Mutant, ...] = (
    permanent_child_that_ended_well_stays_down,
    transient_child_always_comes_back,
    temporary_child_keeps_its_spec,
    one_for_all_starts_nobody_else,
    rest_for_one_takes_the_earlier_ones_along,
    rest_for_one_leaves_the_later_ones_alone,
    stops_in_the_order_of_starting,
    gives_up_one_restart_early,
    bears_one_restart_too_many,
    a_restarted_supervisor_remembers_what_it_bore,
    a_group_restart_counts_for_every_sibling,
    what_an_operator_stopped_is_restarted,
    a_failed_restart_does_not_count,
    a_group_restart_leaves_the_stopped_ones_down,
    a_retry_starts_from_the_first_child,
    giving_up_is_a_failure_to_the_supervisor_above,
    a_failed_first_start_does_not_end_the_supervisor,
    a_child_that_ignores_is_forgotten,
    a_start_by_hand_that_fails_is_tried_again,
    children_added_at_run_time_outlive_their_supervisor,
    a_significant_child_is_like_any_other,
    the_last_significant_child_is_not_waited_for,
    deleting_asks_for_no_stop_first,
)
