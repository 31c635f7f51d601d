"""For every form that a child can have: the keys that other forms have, and why they are not for this one."""

from __future__ import annotations

from agenthost.config import keys
from agenthost.config.sections import Misplaced

_AGENT_ONLY = Misplaced("it is for agents and for commands with 'protocol: lines'")
_PROGRAM_ONLY = Misplaced("it is for commands without a protocol")
_SUPERVISOR_ONLY = Misplaced("it is for supervisors, which have 'children'")
_SUPERVISORS_ONLY = Misplaced("it is for supervisors, which have 'children' or 'pool'")
_WORKER_ONLY = Misplaced("it is for workers, which have 'agent' or 'command'")
_AGENTS = Misplaced("it is for agents")
_PYTHON_AGENTS = Misplaced("it is for agents in Python: nobody else starts children")
_POOLS = Misplaced("it is for pools, whose members it bounds")
_SLEEPERS = Misplaced("it is for agents in Python: nobody else can be started again with what it knew")
_COMMANDS = Misplaced("it is for commands")
_OF_MEMBERS = Misplaced("it is for the members of the pool", "move it into 'pool'")
_NO_RESTART = Misplaced("nothing restarts the whole tree")
_PERSIST = Misplaced("it is for what is started at run time; what stands in the config is there after every restart")

_TREE = {
    "name": Misplaced("the tree has none, 'name' stands above it"),
    "restart": _NO_RESTART,
    "backoff": _NO_RESTART,
    "significant": Misplaced("no supervisor stands above the tree"),
    "pool": Misplaced("the tree has 'children', and a pool is one of them", "move it into 'children', with a 'name'"),
}
_POOL = {
    "strategy": Misplaced("a pool is one_for_one, each member stands for itself"),
    "auto_shutdown": Misplaced("a pool does not stop itself, its members come and go"),
}
_MEMBER = {
    "name": Misplaced("a member gets its name when it is started"),
    "significant": Misplaced("a member cannot be significant, a pool does not stop itself"),
    "cron": Misplaced("members come and go", "let the member ctx.schedule it, or another agent send it"),
}
_BEGUN = {
    "name": Misplaced("the name is given beside it"),
    "significant": Misplaced("nothing stops itself because a child that an agent started has ended"),
    "hibernate_after": Misplaced("what an agent has started does not sleep: it ends, and is started anew"),
    "cron": Misplaced("it is for agents that stand in the config", "use ctx.schedule"),
}


def _by_form() -> dict[str, dict[str, Misplaced]]:
    worker = {key.name for section in keys.WORKERS for key in section.keys}
    supervisor, pool = set(keys.SUPERVISOR.key_names), set(keys.POOL.key_names)
    agent, lines, program = (set(s.key_names) for s in (keys.AGENT_WORKER, keys.LINES_WORKER, keys.PROGRAM_WORKER))
    why = dict.fromkeys(supervisor - worker, _SUPERVISOR_ONLY) | dict.fromkeys(pool - worker, _SUPERVISORS_ONLY)
    why |= {"live": _POOLS, "hibernate_after": _SLEEPERS}
    of_worker = dict.fromkeys(worker - supervisor, _WORKER_ONLY)
    found = {
        "supervisor": of_worker | {"live": _POOLS},
        "pool": dict.fromkeys(worker - pool, _OF_MEMBERS) | _POOL,
        "agent": why | dict.fromkeys(program - agent, _COMMANDS) | dict.fromkeys(program - lines, _PROGRAM_ONLY),
        "lines": why | {"args": _AGENTS, "may": _PYTHON_AGENTS} | dict.fromkeys(program - lines, _PROGRAM_ONLY),
        "program": why | {"args": _AGENTS, "may": _PYTHON_AGENTS} | dict.fromkeys(lines - program, _AGENT_ONLY),
    }
    found = {form: there | {keys.PERSIST.name: _PERSIST} for form, there in found.items()}
    members = {keys.MEMBERS[form].name: there | _MEMBER for form, there in found.items()}
    begun = {section.name: found[form] | _BEGUN for form, section in keys.BEGUN.items()}
    return found | members | begun | {"tree": of_worker | {"live": _POOLS, keys.PERSIST.name: _PERSIST} | _TREE}


ELSEWHERE = _by_form()
