"""Command: a program that speaks JSON lines, as an agent (config: ``command: [...]`` with ``protocol: lines``).

A call's body becomes one line of JSON on the program's standard input; the next line of its standard output is the
reply, as JSON, or as a string where it is none. One at a time, in order. The program's error output is the agent's.
The rule it keeps: program and agent end together, the same way. The program's exit status or signal becomes the
agent's; a program that is late, or speaks unasked, is killed, and the turn fails.

The exception is a turn that is interrupted. The program gets SIGINT, what Ctrl-C is to it. If it answers then, that
answer is dropped and it is kept; else it is killed and a fresh one takes its place: a late answer would be taken for
the answer to the next question.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from agenthost_workers.lines import Ended, Late, LineError, LineProgram

from agenthost import Agent, Context, Message, Refuse, TurnInterrupted

_LAST_REPLY_S = 0.1
"""A reply that the program gave just before it ended gets this long to leave."""
_CLOSING_S = 1.0
"""From the end of its output to the end of the program itself; then it is killed."""


class Command(Agent):
    """Args: ``argv`` (list), ``env`` (added to ours), ``cwd``, ``stop_wait_s`` (1; after end of input, before KILL),
    ``interrupt_wait_s`` (1; after SIGINT, before KILL)."""

    def on_start(self, ctx: Context) -> None:
        self._name = os.path.basename(self.args["argv"][0])
        self._turn = threading.Lock()
        self._stopping = False
        self._begin()

    def _begin(self) -> None:
        self._program = LineProgram(self.args["argv"], env=self.args.get("env"), cwd=self.args.get("cwd"))
        self._end = threading.Thread(
            target=self._end_when_it_ends, args=(self._program,), name="program's end", daemon=True
        )
        self._end.start()

    def handle(self, message: Message, ctx: Context) -> Any:
        try:
            line = json.dumps(message.body, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Refuse(f"cannot say this to {self._name}: {error}; send what JSON can hold") from None
        left_s = None if message.deadline is None else max(message.deadline - time.monotonic(), 0.0)
        with self._turn:
            try:
                answer = self._program.ask(line, left_s=left_s)
            except Ended:
                end_as(self._name, self._status_of_end())
            except LineError as error:
                self._stopping = True  # this turn fails with the reason; nothing else ends the process first
                self._program.kill()
                why = f"killed {self._name}: {error}"
                raise (TimeoutError(why) if isinstance(error, Late) else RuntimeError(why)) from error
            except TurnInterrupted:
                if not self._program.try_give_up(float(self.args.get("interrupt_wait_s", 1.0))):
                    given_up = self._program
                    self._begin()  # from here on the old one's end is nobody's
                    given_up.kill()
                    ctx.log(f"{self._name} was killed with the turn that was interrupted; a fresh one has begun")
                raise
        return _value(answer)

    def on_stop(self, ctx: Context) -> None:
        self._stopping = True
        self._program.close_input()
        if self._program.wait_ended(float(self.args.get("stop_wait_s", 1.0))) is None:
            self._program.kill()
        self._end.join()
        self._program.close()

    def _status_of_end(self) -> int:
        self._stopping = True
        status = self._program.wait_ended(_CLOSING_S)
        return self._program.kill() if status is None else status

    def _end_when_it_ends(self, program: LineProgram) -> None:
        poll = select.poll()
        poll.register(program.pidfd, select.POLLIN)
        poll.poll()
        if self._turn.locked():
            with self._turn:  # the turn in hand reads to the end, and ends the agent unless there was an answer
                pass
            time.sleep(_LAST_REPLY_S)
        if program is not self._program:
            program.wait_ended()
            program.close()
        elif not self._stopping:
            self._stopping = True
            end_as(self._name, program.wait_ended() or 0)


def _value(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace").removesuffix("\r")


def end_as(name: str, status: int) -> NoReturn:
    """End this process as the program ended: with its exit status, or by its signal (``status`` negative)."""
    words = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
    print(f"{name} ended: {words}", file=sys.stderr, flush=True)
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's core is the one to look at
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            ctypes.CDLL(None).signal(-status, 0)  # SIG_DFL; Python's own works in the main thread alone
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [-status])
        os.kill(os.getpid(), -status)
        time.sleep(1)  # the signal is on its way; pid 1 of a namespace never gets it (pid_namespaces(7))
    os._exit(status if status >= 0 else 128 - status)
