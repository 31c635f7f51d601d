"""Words of the command line to values, without the library that typer (from 0.29) would load for it.

That library takes longer to import than all the rest of a command takes to run. Rule: only what is certainly right is
decided here; everything else, all errors among it, goes the usual way and gets the usual words. Where typer has no
``type_descriptor`` (before 0.29) nothing is changed.
"""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import Any

import typer

_NOT_HERE = object()


def quicken(command: Any) -> Any:
    """``command`` and all below it, the click commands that typer makes."""
    command.get_params = partial(_params, command.get_params)  # with the option for help, which it makes itself
    for below in getattr(command, "commands", {}).values():
        quicken(below)
    return command


def _params(usual: Any, ctx: Any) -> Any:
    found = usual(ctx)
    for param in found:
        if hasattr(param, "type_descriptor") and not isinstance(param.process_value, partial):
            param.process_value = partial(_process, param, param.process_value)
    return found


def _process(param: Any, usual: Any, ctx: Any, value: Any) -> Any:
    known = _converted(param.type_descriptor, value)
    if known is _NOT_HERE or (param.required and not known):
        return usual(ctx, value)
    return known if param.callback is None else param.callback(ctx, param, known)


def _converted(wanted: Any, value: Any) -> Any:
    kind, parser = wanted.annotation, wanted.parameter_info.parser
    if value is None:
        return None if kind != list[str] else ()
    if parser is not None:
        try:
            return parser(value)
        except typer.BadParameter:
            return _NOT_HERE
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return kind(value) if value in {str(member) for member in kind} else _NOT_HERE
    if kind == list[str]:
        return list(value) if all(isinstance(word, str) for word in value) else _NOT_HERE
    if kind is str and isinstance(value, str):
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int):
        return value
    if kind is Path and isinstance(value, str):
        return Path(value)
    return _NOT_HERE
