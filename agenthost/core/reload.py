"""Reload: a running tree becomes the tree of a changed config, all or nothing (rules U1, U4 to U6, D11).

First everything new is started, beside the old; if any of it does not come up, all of it goes again and the old state
stands. Only then the rest is done: in place, restarted, removed. From there on ordinary supervision decides.
"""

from __future__ import annotations

from dataclasses import replace

from agenthost.core import effects as do
from agenthost.core import sleeping, waking
from agenthost.core import supervisor as sup
from agenthost.core.events import Reload
from agenthost.core.plan import Change, plan, same_kind
from agenthost.core.rest import come_to_rest
from agenthost.core.spec import ChildSpec, SupervisorSpec, WorkerSpec
from agenthost.core.tree import AnyNode, Doing, Supervisor, Turn, UnderWay, Wish, Worker
from agenthost.core.worker import record as _record_worker

_ENDING = (Doing.STOPPING, Doing.NOTHING)


def reload(turn: Turn, wanted: Reload) -> None:
    state = turn.state
    if state.reloading is not None:
        _answer(turn, wanted.op, "another reload is under way", error="busy")
        return
    if state.root.doing not in (Doing.SERVING, Doing.REGROUPING):
        _answer(turn, wanted.op, "the tree is not up; reload when it is", error="busy")
        return
    changes = plan(state.root.spec, wanted.spec)
    for why in (_why_not_add(turn, one.path) for one in changes if one.what == "add"):
        if why:
            _answer(turn, wanted.op, why, error="busy")
            return
    under_way = state.reloading = UnderWay(wanted.op, wanted.by, wanted.spec, changes)
    turn.effects.append(do.Record("reload.begun", "/", {"by": wanted.by, "changes": _words(changes)}))
    for path, spec in _new_specs(wanted.spec, changes).items():
        _add(turn, under_way, path, spec)


def follow_up(turn: Turn) -> None:
    """After every move while a reload is under way: is all that is new up, or has some of it failed?"""
    under_way = turn.state.reloading
    if under_way is None:
        return
    if under_way.gone or turn.state.halting or turn.state.root.doing in _ENDING:
        _undo(turn, under_way, under_way.gone)
        return
    not_up = under_way.not_up
    while not_up and _is_up(not_up[-1]):
        not_up.pop()
    if not not_up:
        not_up.extend(node for node in under_way.added.values() if not _is_up(node))  # it has ended meanwhile
        if not not_up:
            _commit(turn, under_way)


def _is_up(node: AnyNode) -> bool:
    """Or has come to rest: it had nothing to do, or was up, and nothing of it is kept (R3, S3)."""
    return node.up_at is not None or not node.alive


def _undo(turn: Turn, under_way: UnderWay, gone: list[str]) -> None:
    turn.state.reloading = None
    for node in under_way.added.values():
        if turn.state.nodes.get(node.path) is node:
            _remove(turn, node, "the reload that brought it is undone")
    why = f"{gone[0]} does not come up: {_last_reason(turn, gone[0])}" if gone else "everything ends"
    turn.effects.append(do.Record("reload.undone", "/", {"by": under_way.by, "reason": why}))
    _answer(turn, under_way.op, f"{why}; the old state stands", error="start_failed")


def _last_reason(turn: Turn, path: str) -> str:
    """Why it ended, from the records of this very move: nothing else is kept of it."""
    for effect in reversed(turn.effects):
        if isinstance(effect, do.Record) and effect.path == path and "reason" in effect.fields:
            return str(effect.fields["reason"])
    return "it had ended"


def _new_specs(root: SupervisorSpec, changes: list[Change]) -> dict[str, ChildSpec]:
    """Of each new child by its path, in the order of the plan."""
    below: dict[str, dict[str, ChildSpec]] = {}
    found = {}
    for path in (one.path for one in changes if one.what == "add"):
        above, _, name = path.rpartition("/")
        if above not in below:
            below[above] = {child.name: child for child in _spec_at(root, above or "/").children}
        found[path] = below[above][name]
    return found


def _add(turn: Turn, under_way: UnderWay, path: str, spec: ChildSpec) -> None:
    parent = turn.state.nodes[path.rpartition("/")[0] or "/"]
    assert isinstance(parent, Supervisor)
    child = turn.state.plant(spec, parent)
    parent.children[spec.name] = child
    child.is_new = True
    under_way.added[path] = child
    under_way.not_up.append(child)
    sup.begin(turn, child)


def _commit(turn: Turn, under_way: UnderWay) -> None:
    turn.state.reloading = None
    state = turn.state
    _adopt(turn, state.root, under_way.spec)
    for change in under_way.changes:
        turn.because("D11")
        node = state.nodes.get(change.path)
        if node is None:
            continue
        if change.what == "remove":
            _remove(turn, node, "it is no longer in the config")
        elif isinstance(node, Worker) and sleeping.is_asleep(node) and change.what in ("restart", "live"):
            _rouse(turn, node)
        elif change.what == "restart" and isinstance(node, Worker) and not node.held:
            _restart(turn, node)
        elif change.what == "live" and isinstance(node, Worker):
            _tell_process(turn, node)
        elif change.what == "replace":
            node.wish = Wish.REPLACE
            _stop_or_settle(turn, node, "its kind has changed")
    turn.because("D11")
    turn.effects.append(do.Record("reload.done", "/", {"by": under_way.by, "changes": _words(under_way.changes)}))
    _answer(turn, under_way.op, _words(under_way.changes))


def _adopt(turn: Turn, node: Supervisor, spec: SupervisorSpec) -> None:
    """Specs and order of the new config; what it does not name is removed afterwards."""
    if spec.live != node.spec.live:
        waking.look_again(turn, node)
    node.spec = spec
    node.window.adjust(spec.intensity, spec.period_s, whole_seconds=spec.otp_strict)
    wanted = {child.name: child for child in spec.children}
    for name, child in node.children.items():
        new = wanted.get(name) if spec.template is None else replace(spec.template, name=name)  # U6: members too
        if new is None or not same_kind(child.spec, new):
            continue
        if isinstance(child, Worker) and isinstance(new, WorkerSpec):
            child.adopt(new)
            if node.is_pool:
                _tell_process(turn, child)
        elif isinstance(child, Supervisor) and isinstance(new, SupervisorSpec):
            _adopt(turn, child, new)
    listed = [child for child in node.children.values() if child.name not in wanted]  # added at run time, or leaving
    node.children = {
        **{name: node.children[name] for name in wanted if name in node.children},
        **{child.name: child for child in listed},
    }


def _tell_process(turn: Turn, node: Worker) -> None:
    """Of one that has a process: its cell may be empty while children that it has started are still ending."""
    if node.alive and not node.is_emptied:
        turn.because("U1")
        turn.effects.append(do.Adopt(node.path, node.n))


def _restart(turn: Turn, node: Worker) -> None:
    _record_worker(turn, node, "agent.reloaded")
    if node.alive:
        node.wish = Wish.COME_BACK
        sup.stop(turn, node, "its config has changed")
        return
    parent = node.parent
    assert parent is not None
    in_group = parent.waits_for == node.name
    sup.leave_waiting(turn, node)
    if in_group or node.name in parent.to_start:
        sup.go_on(turn, parent)
    elif parent.doing is Doing.SERVING:
        sup.begin(turn, node)


def _rouse(turn: Turn, node: Worker) -> None:
    """What it is born with counts from its next start on; who is not to sleep any more begins now."""
    if node.spec.hibernate_s is None and node.parent is not None and node.parent.doing is Doing.SERVING:
        sup.begin(turn, node)


def _remove(turn: Turn, node: AnyNode, why: str) -> None:
    node.wish = Wish.VANISH
    _stop_or_settle(turn, node, why)


def _stop_or_settle(turn: Turn, node: AnyNode, why: str) -> None:
    if node.alive:
        sup.stop(turn, node, why)
        return
    parent = node.parent
    assert parent is not None
    in_group = parent.waits_for == node.name
    sup.leave_waiting(turn, node)
    wish, node.wish = node.wish, Wish.NONE
    come_to_rest(turn, node, wish)
    if in_group:
        sup.go_on(turn, parent)
    elif wish is Wish.REPLACE and parent.doing not in _ENDING and node.name not in parent.to_start:
        sup.begin(turn, parent.children[node.name])


def _why_not_add(turn: Turn, path: str) -> str:
    """Empty if it can be added now. An old one of that name must be gone first: there are never two of one path."""
    parent = turn.state.nodes.get(path.rpartition("/")[0] or "/")
    if not isinstance(parent, Supervisor) or parent.doing not in (Doing.SERVING, Doing.REGROUPING):
        return f"the supervisor of {path} is not running; start it first"
    if path in turn.state.nodes:
        return f"{path} is there already, from run time or still ending; stop it, or reload again when it is gone"
    return ""


def _spec_at(root: SupervisorSpec, path: str) -> SupervisorSpec:
    spec = root
    for name in path.strip("/").split("/") if path != "/" else ():
        found = next(child for child in spec.children if child.name == name)
        assert isinstance(found, SupervisorSpec)
        spec = found
    return spec


def _words(changes: list[Change]) -> str:
    counts = {
        what: sum(one.what == what for one in changes) for what in ("add", "remove", "restart", "replace", "live")
    }
    said = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join(said) or "nothing has changed"


def _answer(turn: Turn, op: int, text: str, *, error: str | None = None) -> None:
    turn.effects.append(do.Answer(op, error, text))
