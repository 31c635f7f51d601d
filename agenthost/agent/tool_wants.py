"""What an author may ask of a tool beside its words, checked before anything of it is made.

``tools.plain_words`` has the words, the host the limits. The rule: what cannot be had is a ``UsageError`` that shows
it, not an error from somewhere below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agenthost.errors import UsageError


def check_seconds(timeout: Any) -> None:
    """None or a number; NaN would be no bound at all."""
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout
    ):
        raise UsageError(f"cannot wait for timeout={timeout!r}", hint="give a number of seconds, such as 20 or 0.5")


def check_surroundings(env: Any, cwd: Any) -> None:
    if env is not None and not (
        isinstance(env, Mapping)
        and all(isinstance(name, str) and isinstance(value, str) for name, value in env.items())
    ):
        raise UsageError("cannot run a tool with this env", hint='give a map of text to text, such as {"PORT": "8080"}')
    if cwd is not None and not (isinstance(cwd, str) or hasattr(cwd, "__fspath__")):
        raise UsageError(f"cannot run a tool in cwd={cwd!r}", hint="give a folder as text or as a path")


def check_streamed(given: Any, output_bytes: Any) -> None:
    if given is not None and not isinstance(given, str | bytes | bytearray | memoryview):
        raise UsageError(f"cannot give a tool {type(given).__name__} as its input", hint="give text or bytes")
    if isinstance(given, str):
        try:
            given.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"cannot give a tool this input: {error}", hint="give bytes") from None
    if isinstance(output_bytes, bool) or not isinstance(output_bytes, int) or output_bytes < 0:
        raise UsageError(f"cannot keep output_bytes={output_bytes!r}", hint="give a whole number of bytes from 0")
