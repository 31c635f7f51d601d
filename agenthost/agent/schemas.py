"""``schema:``: whether an answer is as its JSON schema wants it. Imports ``jsonschema``, 40 ms and 10 MB: only the
zygote of agents with a schema does.

Nothing is fetched: a schema that refers to another file was refused when the config was read. What an answer says
wrong is told without its own words, so that the same fault has the same fingerprint whatever the data.
"""

from __future__ import annotations

from typing import Any

from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry

_LONGEST = 300


class Schema:
    """Of one agent. ``schema`` as the config has it: of the draft that its ``$schema`` names, 2020-12 without one."""

    def __init__(self, schema: Any) -> None:
        kind = validator_for(schema, default=Draft202012Validator)
        self._validator = kind(schema, registry=Registry())

    def fault(self, answer: Any) -> tuple[str, str] | None:
        """(what is wrong, in words; which rule of the schema says so), None if nothing is. ``answer`` is plain data, as
        it is after a journey."""
        try:
            found = best_match(self._validator.iter_errors(answer))
        except RecursionError:  # the schema refers to itself without end, or the answer is as deep as that
            return "its schema and it are nested too deeply to be compared", "#"
        return None if found is None else (_words(found), _pointer(found.absolute_schema_path))


def _words(error: ValidationError) -> str:
    where = _place(error.absolute_path)
    shown = repr(error.instance)
    said = error.message
    said = f"it{said[len(shown) :]}" if said.startswith(shown) else said
    said = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
    return f"at {where}: {said}" if where else said


def _place(path: Any) -> str:
    """``items[0].price``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _pointer(path: Any) -> str:
    """RFC 6901."""
    return "#" + "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
