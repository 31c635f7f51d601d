"""``significant: true``: refused where nothing could come of it (rules A1 and A2), with what would make it good."""

from __future__ import annotations

from agenthost.config.document import line_of
from agenthost.config.kinds import Reading
from agenthost.config.sections import Found


def is_significant(found: Found, above: Found, reading: Reading) -> bool:
    """Whether the child says so and may. ``above`` is its supervisor's section.

    A bad word in ``restart`` or ``auto_shutdown`` has been noted already: no more is said, and the child is not.
    """
    if not found.get("significant"):
        return False
    at, where = found.nodes["significant"], f"{found.where}.significant"
    permanent = _is_left(found, "restart", "permanent")
    if permanent:
        what = f"a permanent child never ends for good, and 'restart' is permanent {permanent}"
        reading.say(at, where, what, "write 'restart: transient' or 'restart: temporary' beside it")
    never = _is_left(above, "auto_shutdown", "never")
    if never:
        what = f"nothing would come of it: 'auto_shutdown' of its supervisor, '{above.where}', is never {never}"
        reading.say(at, where, what, "write 'auto_shutdown: any_significant' or 'auto_shutdown: all_significant' there")
    return not (permanent or never) and "restart" in found.values and "auto_shutdown" in above.values


def _is_left(found: Found, key: str, usual: str) -> str:
    """From where ``key`` has its usual value; "" if it has another, or a bad one."""
    if key not in found.keys:
        return "unless it is written"
    return line_of(found.nodes[key]).strip() or "there" if found.get(key) == usual else ""
