"""Carries out what ``later`` says, at the door: one course for both desks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agenthost.agent.committing import Until, know, request
from agenthost.agent.later import Cancel, Post, Schedule, Unschedule, Wish
from agenthost.protocol import mail
from agenthost.protocol.codec import pack_body
from agenthost.transport.data import check_size

if TYPE_CHECKING:
    from agenthost.agent.durable import Durable


async def carry_out(durable: Durable, until: Until, wish: Wish, deadline: float, *, in_turn: bool) -> None:
    match wish:
        case Post():
            await _post(durable, until, wish, deadline, in_turn=in_turn)
        case Cancel(key=key):
            stored = _stored(key)
            if in_turn:
                durable.sends[:] = [one for one in durable.sends if one.key != stored]
                durable.cancels.append(stored)
            else:
                await request(durable, until, lambda number: mail.Cancel(number, stored), f"cancel {key!r}", deadline)
        case Schedule(name=name, cron=cron, path=path, body=body):
            packed = check_size(pack_body(body))
            await request(
                durable,
                until,
                lambda number: mail.Schedule(number, name, cron, path, packed),
                f"schedule {name!r}",
                deadline,
            )
        case Unschedule(name=name):
            await request(
                durable, until, lambda number: mail.Unschedule(number, name), f"unschedule {name!r}", deadline
            )


async def _post(durable: Durable, until: Until, wish: Post, deadline: float, *, in_turn: bool) -> None:
    path, body = wish.path, check_size(pack_body(wish.body))
    await know(durable, until, path, deadline)
    key = _stored(wish.key) if wish.key else ""
    if in_turn:
        durable.sends.append(mail.Sending(path, body, key, wish.due_ms, wish.by_clock))
        return
    key = key or durable.new_key()
    await request(
        durable,
        until,
        lambda number: mail.Send(number, path, body, key, wish.due_ms, wish.by_clock),
        f"send to {path}",
        deadline,
    )


def _stored(key: str) -> str:
    """Apart from the keys that agents are given for what they may have to say twice."""
    return f"={key}"
