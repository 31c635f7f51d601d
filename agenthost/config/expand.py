"""``${NAME}`` and ``${NAME:-default}`` in a value, from an environment; ``$$`` is a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agenthost.config.problem import Refused, nearest

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|(?P<broken>\{))",
)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``Refused`` if a variable without default is not set, or ``${`` is not followed by a name and ``}``.

    As in a shell, the default is also taken where the variable is set to nothing. ``$NAME`` without braces stays.
    """

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if found["broken"]:
            what = f"cannot read {text[found.start() :][:20]!r}"
            raise Refused(what, "write ${NAME}, ${NAME:-default}, or $${ for '${'")
        set_to = environment.get(found["name"])
        if found["default"] is not None:
            return set_to or found["default"][2:]
        if set_to is None:
            near = nearest(found["name"], environment) if environment else ""
            also = f", or {near}" if near.startswith("did") else ""
            hint = f"set it, or write ${{{found['name']}:-default}}{also}"
            raise Refused(f"{found['name']} is not set in the environment", hint)
        return set_to

    return _REFERENCE.sub(value, text) if "$" in text else text
