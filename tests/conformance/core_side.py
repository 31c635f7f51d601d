"""A scenario through ``agenthost.core``: the same lines as ``supervisors.escript`` writes of Erlang's supervisors.

Lines: "step N"; "birth PATH#K" and "end PATH#K REASON", K counting the incarnations of a path; "answer WORD"; for each
supervisor that is up "list PATH child=state ..." (newest first) and "count PATH specs active supervisors workers"; and
at last "over REASON", what the root ended with.
"""

from __future__ import annotations

from agenthost.core.tree import AnyNode, Doing, Supervisor
from tests.conformance.actions import ACTIONS
from tests.conformance.scenario import Scenario
from tests.conformance.stage import ENDS, Run, Stage


def run(scenario: Scenario, *, otp_strict: bool = True) -> Run:
    stage = Stage(scenario, otp_strict=otp_strict)
    stage.say("step 0")
    stage.boot()
    stage.settle()
    for stage.step, action in enumerate(scenario.actions, 1):
        if stage.ended is not None:
            break
        stage.say(f"step {stage.step}")
        stage.verb = action.verb
        answer = ACTIONS[action.verb](stage, action)
        stage.settle()
        if stage.ended is None:
            stage.say(f"answer {answer()}")
            show(stage, stage.state.root)
    if stage.ended is None:
        stage.say(f"step {len(scenario.actions) + 1}")
        stage.halt()
        stage.settle()
    assert stage.ended is not None
    stage.say(f"over {ENDS.get(stage.ended.kind, stage.ended.kind)}")
    return stage.run


def show(stage: Stage, node: AnyNode) -> None:
    if not isinstance(node, Supervisor) or not node.alive:
        return
    assert node.doing is Doing.SERVING, f"{node.path} is {node.doing} and nothing is going on"
    children = list(node.children.values())
    supervisors = sum(isinstance(child, Supervisor) for child in children)
    if node.is_pool:
        children.sort(key=lambda child: child.path)
    shown = [f" {child.path}={'up' if child.alive else 'down'}" for child in children]
    stage.say(f"list {node.path}{''.join(shown if node.is_pool else reversed(shown))}")
    specs, active = 1 if node.is_pool else len(children), sum(child.alive for child in children)
    stage.say(f"count {node.path} {specs} {active} {supervisors} {len(children) - supervisors}")
    for child in children:
        show(stage, child)
