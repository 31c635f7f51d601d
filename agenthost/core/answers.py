"""What an answer must pass, as values: the config says them, an agent gets them with its certificate."""

from __future__ import annotations

from typing import Literal

import msgspec

USUAL_QUESTION = "Is this a good answer to the message?"


class Judge(msgspec.Struct, frozen=True, array_like=True):
    """Another agent says yes or no. ``agent`` is its path. ``when_silent``: what holds if it says neither, for it is
    down or late."""

    agent: str
    question: str = USUAL_QUESTION
    timeout_s: float = 30.0
    when_silent: Literal["reject", "accept"] = "reject"
