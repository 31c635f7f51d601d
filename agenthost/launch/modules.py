"""Loading an author's module by the name the config gives it: "package.module" or "/absolute/file.py".

A file gets a module name of its own that is the same in every process: pickles and tracebacks agree, and two files
of one name do not meet.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType

from agenthost.launch.digest import blake2b

loaded: set[str] = set()
"""What ``load`` has loaded, as it was called."""


def module_name(module: str) -> str:
    """The key in ``sys.modules``: "/srv/team/coder.py" is "agenthost_file_coder_1f0c2a9b"."""
    if not is_file(module):
        return module
    stem = os.path.splitext(os.path.basename(module))[0]
    readable = "".join(letter if letter.isalnum() else "_" for letter in stem)
    return f"agenthost_file_{readable}_{blake2b(os.fsencode(module)).hexdigest()[:8]}"


def is_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module


def load(module: str) -> ModuleType:
    """Import it, or return it if it is loaded. Raises what the import raises."""
    found = _load(module)
    loaded.add(module)
    return found


def _load(module: str) -> ModuleType:
    if not is_file(module):
        return importlib.import_module(module)
    name = module_name(module)
    if name in sys.modules:
        return sys.modules[name]
    if not os.path.isabs(module):
        raise ImportError(f"cannot load {module!r}: the path of a file must be absolute")
    spec = importlib.util.spec_from_file_location(name, module)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {module!r}: it is not a Python source file")
    fresh = importlib.util.module_from_spec(spec)
    sys.modules[name] = fresh  # before it runs: dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(fresh)
    except BaseException:  # as the import system does it: a half-loaded module is not found again
        sys.modules.pop(name, None)
        raise
    return fresh
