"""The state that an agent begins with: its last, one of a checkpoint, or that of so many turns ago."""

from __future__ import annotations

from agenthost.journal.store import Reader
from agenthost.protocol import mail as say


def loaded(reader: Reader, path: str, message: say.Load) -> say.FromJournal:
    """What is said for it. Refused where there is no such checkpoint, or so many states are not kept."""
    if message.back:
        return _state_before(reader, path, message)
    found = reader.state(path, message.checkpoint)
    if found is not None:
        return say.State(message.id, found.state, found.state_version)
    if not message.checkpoint:
        return say.State(message.id)
    names = [one.name for one in reader.checkpoints(path)]
    if message.checkpoint in names:
        return say.State(message.id)  # it was made before there was a state
    why = f"cannot go back to {message.checkpoint!r}: {path} has no such checkpoint"
    hint = f"it has {', '.join(names[:8])}" if names else "it has none; ctx.checkpoint makes one"
    return say.Refused(message.id, "unknown_name", why, hint)


def _state_before(reader: Reader, path: str, message: say.Load) -> say.FromJournal:
    """As it was ``message.back`` committed turns ago."""
    made = reader.checkpoints(path)
    if message.back >= len(made):
        why = f"cannot go back {message.back} turns: the states after {len(made)} are kept"
        return say.Refused(message.id, "unknown_name", why)
    found = reader.state(path, made[message.back].name)
    return say.State(message.id, *(() if found is None else (found.state, found.state_version)))
