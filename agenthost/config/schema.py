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
    definitions = {section.name: section.definition() for section in keys.SECTIONS if section is not keys.HOST}
    definitions["lines"]["properties"]["protocol"]["const"] = "lines"
    definitions["lines"]["required"].append("protocol")
    definitions["program"]["not"] = _both_timeouts()
    definitions["child"] = _child()
    definitions["data"] = _DATA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agenthost config",
        **keys.HOST.definition(),
        "$defs": definitions,
    }


def _child() -> dict[str, Any]:
    """Chosen by its keys, as the loader does, so that an editor complains about the right form."""
    reference = {section.name: {"$ref": f"#/$defs/{section.name}"} for section in (keys.SUPERVISOR, *keys.WORKERS)}
    speaks_lines = {"properties": {"protocol": {"const": "lines"}}, "required": ["protocol"]}
    any_rule = [{"required": [key.name]} for key in keys.TREE.keys]
    return {
        "type": "object",
        "description": "A worker has `agent` or `command`, a supervisor `children`.",
        "if": {"required": ["agent"]},
        "then": reference["agent"],
        "else": {
            "if": {"required": ["command"]},
            "then": {"if": speaks_lines, "then": reference["lines"], "else": reference["program"]},
            "else": {
                "if": {"anyOf": any_rule},
                "then": reference["supervisor"],
                "else": {"anyOf": [{"required": [name]} for name in ("agent", "command", "children")]},
            },
        },
    }


def _both_timeouts() -> dict[str, Any]:
    inner = {"type": "object", "required": ["timeout"]}
    return {"required": ["start_timeout", "ready"], "properties": {"ready": inner}}


def sections() -> tuple[Section, ...]:
    """In the order of the documentation."""
    return keys.SECTIONS
