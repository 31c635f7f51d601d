"""The JSON schema (draft 2020-12) of ``config.yaml``, generated from the table of keys.

It says what a schema can say; that names are unique, files exist and expressions compile, only the loader knows.
"""

from __future__ import annotations

from typing import Any

from agenthost.config import keys
from agenthost.config.sections import Section

_DATA = {
    "description": "Any data. Whole numbers fit into 64 bits.",
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
        {"type": "number", "not": {"type": "integer"}},
        {"type": "array", "items": {"$ref": "#/$defs/data"}},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/data"}},
    ],
}


def schema() -> dict[str, Any]:
    """As ``agenthost schema`` prints it."""
    forms = {section.name: section for section in keys.CHILDREN}
    every = (*keys.SECTIONS, *keys.MEMBERS.values())
    definitions = {section.name: section.definition() for section in every if section is not keys.HOST}
    for lines in (keys.LINES_WORKER, keys.MEMBERS["lines"]):
        definitions[lines.name]["properties"]["protocol"]["const"] = "lines"
        definitions[lines.name]["required"].append("protocol")
    for program in (keys.PROGRAM_WORKER, keys.MEMBERS["program"]):
        definitions[program.name]["not"] = _both_timeouts()
    for worker in (*keys.WORKERS, *(keys.MEMBERS[section.name] for section in keys.WORKERS)):
        definitions[worker.name]["dependentRequired"] = {"period": ["intensity"]}
    for name in forms:
        definitions[name]["allOf"] = [_ENDS_FOR_GOOD]
    for supervisor in (keys.TREE, keys.SUPERVISOR, keys.MEMBERS["supervisor"]):
        definitions[supervisor.name].setdefault("allOf", []).append(_STOPS_ITSELF)
    definitions["child"] = _chosen(forms, "A worker has `agent` or `command`, a supervisor `children` or `pool`.")
    definitions["member"] = _chosen(keys.MEMBERS, "What a member of a pool is: as a child, without a name.")
    definitions["data"] = _DATA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agenthost config",
        **keys.HOST.definition(),
        "$defs": definitions,
    }


def _says(key: str, *values: Any) -> dict[str, Any]:
    """A map that has ``key`` with one of ``values``."""
    return {"type": "object", "required": [key], "properties": {key: {"enum": list(values)}}}


_ENDS_FOR_GOOD = {"if": _says("significant", True), "then": _says("restart", "transient", "temporary")}
_STOPS_ITSELF = {
    "if": {"properties": {"children": {"contains": _says("significant", True)}}, "required": ["children"]},
    "then": _says("auto_shutdown", "any_significant", "all_significant"),
}


def _chosen(forms: dict[str, Section], description: str) -> dict[str, Any]:
    """Chosen by its keys, as the loader does, so that an editor complains about the right form."""
    reference = {name: {"$ref": f"#/$defs/{section.name}"} for name, section in forms.items()}
    any_rule = [{"required": [key.name]} for key in keys.TREE.keys if key.name not in ("intensity", "period")]
    program = {"if": _says("protocol", "lines"), "then": reference["lines"], "else": reference["program"]}
    nothing: dict[str, Any] = {"anyOf": [{"required": [name]} for name in ("agent", "command", "children", "pool")]}
    chosen = nothing
    for condition, form in (  # the first that holds stands last
        ({"anyOf": any_rule}, reference["supervisor"]),
        ({"required": ["command"]}, program),
        ({"required": ["agent"]}, reference["agent"]),
        ({"required": ["pool"]}, reference["pool"]),
    ):
        chosen = {"if": condition, "then": form, "else": chosen}
    return {"type": "object", "description": description, **chosen}


def _both_timeouts() -> dict[str, Any]:
    inner = {"type": "object", "required": ["timeout"]}
    return {"required": ["start_timeout", "ready"], "properties": {"ready": inner}}


def sections() -> tuple[Section, ...]:
    """In the order of the documentation."""
    return keys.SECTIONS
