"""How a question to a person is named, and what the person is to say."""

from __future__ import annotations


def question_name(message: int, nth: int) -> str:
    """As a person names it: "9" is the first question of message 9, "9.2" the second."""
    return f"{message}.{nth}" if nth > 1 else str(message)


def how_to_answer(message: int, nth: int) -> str:
    """The commands, in half a sentence."""
    name = question_name(message, nth)
    return f"agenthost approve {name}, deny {name}, or answer {name} TEXT"
