"""The path that somebody has typed, as the tree has it."""

from __future__ import annotations


def normal(path: str) -> str:
    """ "crew/coder/" is /crew/coder."""
    return "/" + path.strip("/")
