"""A birth that somebody waits for, and the packet that orders it of a zygote. Private to this package."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass

import msgspec

from agenthost.errors import StartFailed
from agenthost.launch import birth_socket
from agenthost.launch.launcher import Born, Order
from agenthost.launch.orders import INLINE_BYTES, Fork, ForkFailed

_encode = msgspec.msgpack.encode


@dataclass(slots=True, eq=False)
class Pending:
    """``tries`` counts zygotes that ended with it; ``birth`` is our end of its socket while it is under way."""

    order: Order
    body: bytes
    future: asyncio.Future[Born]
    tries: int = 0
    birth: socket.socket | None = None

    def fail(self, error: StartFailed) -> None:
        self.forget()
        if not self.future.done():
            self.future.set_exception(error)

    def forget(self) -> None:
        """It was not born, or nobody wants it."""
        if self.birth is not None:
            self.birth.close()
            self.birth = None

    def cannot_fork(self, answer: ForkFailed) -> None:
        hints = {
            errno.EPERM: "a PID namespace needs root or a user namespace",
            errno.EAGAIN: "the limit of processes is reached (pids.max)",
        }
        why = f"cannot start {self.order.path}: fork: {answer.error}"
        self.fail(StartFailed(why, hint=hints.get(answer.errno)))

    def send(self, link: socket.socket, id: int) -> None:
        """As the fork order ``id``. ``OSError``, and then nothing was sent: ``BlockingIOError`` if the link is full."""
        order = self.order
        descriptors, in_memory = [order.stdout, order.stderr], None
        if order.cell.cgroup_fd is not None:
            descriptors.append(order.cell.cgroup_fd)
        if order.stdin is not None:
            descriptors.append(order.stdin)
        if order.ready is not None:
            descriptors.append(order.ready[0])
        ours, theirs = birth_socket.pair()
        try:
            body = self.body
            if len(body) > INLINE_BYTES or order.private or order.files:  # what the zygote reads stays in its memory
                in_memory = _in_memory(body)
                descriptors.append(in_memory)
                body = b""
            fork = Fork(
                id=id,
                new_pid_namespace=order.cell.new_pid_namespace,
                new_user_namespace=order.cell.new_user_namespace,
                in_cgroup=order.cell.cgroup_fd is not None,
                body=body,
                has_stdin=order.stdin is not None,
                has_ready=order.ready is not None,
            )
            socket.send_fds(link, [_encode(fork)], [theirs.fileno(), *descriptors])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            if in_memory is not None:
                os.close(in_memory)
        self.birth = ours


def _in_memory(body: bytes) -> int:
    memory = os.memfd_create("agenthost-order")
    try:
        left = memoryview(body)
        while left:
            left = left[os.write(memory, left) :]
    except OSError:
        os.close(memory)
        raise
    return memory
