"""The version of agenthost, in one place; ``pyproject.toml`` reads it from here."""

VERSION = "0.1.0"

PROTOCOL = 1
"""The number of the wire protocol of ``protocol/SPEC.md``; both ends of a connection must name the same."""
