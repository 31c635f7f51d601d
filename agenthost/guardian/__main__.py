"""``python -m agenthost.guardian [--namespace auto|never|require] [--name NAME] [--silence SECONDS] -- HOST...``

Exit status: what the host's BYE said; 1 when it crashed too often, ended without BYE while stopping, was killed at the
third signal, could not be run, or when ``--namespace require`` was refused; 2 for wrong arguments.
"""

from __future__ import annotations

import sys

from agenthost import kernel
from agenthost.errors import UsageError
from agenthost.guardian import leaf
from agenthost.guardian.guard import Guard, prepare
from agenthost.guardian.terminal import Terminal

_WALLS = ("auto", "never", "require")


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """By hand: argparse would be a fifth of this process's memory."""
    options = {"--namespace": "auto", "--name": "", "--silence": "30"}
    while words and words[0] != "--":
        name, equals, value = words.pop(0).partition("=")
        if name not in options:
            raise UsageError(f"cannot understand {name!r}: the options are {', '.join(options)}, then -- and the host")
        if not equals:
            if not words:
                raise UsageError(f"cannot understand {name}: its value is missing")
            value = words.pop(0)
        options[name] = value
    if len(words) < 2:
        raise UsageError("cannot start a host: its command is missing; give it after --")
    if options["--namespace"] not in _WALLS:
        raise UsageError(f"cannot use --namespace {options['--namespace']}: it is one of {', '.join(_WALLS)}")
    return options, words[1:]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise UsageError(f"cannot use --silence {text}: give seconds, from 0.1 to 86400")
    return seconds


def main(words: list[str]) -> int:
    signals = prepare()
    try:
        options, argv = _options(list(words))
        silence_s = _seconds(options["--silence"])
    except UsageError as error:
        Terminal().say(str(error))
        return error.exit_code
    kernel.set_process_name("agenthost-guard")
    if why := leaf.try_enter():
        Terminal(options["--name"]).say(why)
    guard = Guard(argv, walls=options["--namespace"], silence_s=silence_s, name=options["--name"], signals=signals)
    if options["--namespace"] == "never":
        guard.without_namespace("--namespace never")
    return guard.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
