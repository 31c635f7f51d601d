"""The host's process: ``python -c "from agenthost.host.main import main; main()" CONFIG [--name NAME] [--quiet]``.

Started by the guardian. Exit statuses: 0 a planned end, 1 the tree gave up or did not come up, 78 a bad config, and
those of ``errors.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import os
import signal
import sys

from agenthost import kernel
from agenthost.config.load import load
from agenthost.config.users import users_of
from agenthost.errors import AgenthostError
from agenthost.host.guard import Guard
from agenthost.host.host import Host
from agenthost.transport.places import Places

OOM_SCORE = -900
"""Where it may be had: all that runs below can be ended and started again, and who does that must live."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="agenthost-host")
    parser.add_argument("config")
    parser.add_argument("--name")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    kernel.set_process_name("ah-host")
    kernel.try_set_oom_score(OOM_SCORE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the guardian hears the signals and says what to do
    guard, status = Guard(), 1
    if guard.lifted:
        kernel.try_share_priority()
    kernel.claim_descriptors()
    try:
        status = asyncio.run(_run(arguments, guard))
    except AgenthostError as error:
        sys.stderr.write(f"agenthost: {error}\n")
        status = error.exit_code
        guard.say("BYE", str(status))  # final: what cannot work must not be tried again
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing is left to do, and threads of libraries must not hold us


async def _run(arguments: argparse.Namespace, guard: Guard) -> int:
    config = load(arguments.config)
    file_name = config.name
    if arguments.name:
        config = dataclasses.replace(config, name=arguments.name)
    places = Places(config.name)
    places.create((*config.operators, *users_of(config.tree)))
    host = Host(config, places, guard, file_name=file_name, quiet=arguments.quiet)
    gc.freeze()
    return await host.run()
