"""What the tests of the team share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"


def load_config_module(name: str) -> ModuleType:
    """A module of ``configs/``, which is no package: agents find it beside their config."""
    spec = importlib.util.spec_from_file_location(f"configs_{name}", CONFIGS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules.get(spec.name)
    if module is None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def search_tool() -> ModuleType:
    return load_config_module("search_tool")


@pytest.fixture(scope="session")
def crew() -> ModuleType:
    return load_config_module("crew")
