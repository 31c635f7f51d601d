"""The layers of docs/architecture.md hold, and `make lint` notices when one does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def check_layers(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = os.environ | {"PYTHONPATH": f"{folder}:{folder / 'scripts/editable'}", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and the contracts, to be broken."""
    for name in ("agenthost", "workers", "scripts/editable"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_the_layers_hold() -> None:
    result = check_layers(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("agenthost/core/spec.py", "agenthost.protocol.codec", "Imports point down"),
        ("agenthost/errors.py", "agenthost.core.spec", "Imports point down"),
        ("agenthost/host/__init__.py", "agenthost.client", "Imports point down"),
        ("agenthost/transport/__init__.py", "agenthost.config", "Imports point down"),
        ("agenthost/version.py", "agenthost.errors", "Imports point down"),
        ("agenthost/host/__init__.py", "agenthost.testing", "Imports point down"),
        ("agenthost/cli/__init__.py", "agenthost_workers", "Imports point down"),
        ("agenthost/guardian/__init__.py", "agenthost.core.spec", "The guardian stays small"),
        ("agenthost/guardian/__init__.py", "msgspec", "The guardian stays small"),
        ("agenthost/cli/__init__.py", "agenthost.guardian", "Nobody imports the guardian"),
        ("agenthost/core/spec.py", "time", "The core reaches no clock"),
        ("agenthost/core/spec.py", "random", "The core reaches no clock"),
        ("agenthost/core/birth.py", "os", "The core reaches no clock"),
        ("agenthost/protocol/codec.py", "zmq", "The protocol says what is said"),
        ("agenthost/agent/__init__.py", "typer", "What runs in agents"),
        ("workers/__init__.py", "agenthost.cli", "What runs in agents"),
    ],
)
def test_an_import_against_the_layers_is_named(copy: Path, importer: str, imported: str, contract: str) -> None:
    with (copy / importer).open("a") as file:
        file.write(f"\nimport {imported}\n")
    result = check_layers(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(rf"^{contract}.* BROKEN$", result.stdout, re.MULTILINE), result.stdout


def test_every_package_has_a_place_in_the_layers() -> None:
    contracts = (ROOT / ".importlinter").read_text()
    layers = contracts[contracts.index("layers =") : contracts.index("[importlinter:contract:guardian]")]
    packages = {path.stem for path in (ROOT / "agenthost").iterdir() if path.is_dir() or path.suffix == ".py"}
    packages -= {"__init__", "__pycache__", "__main__", "guardian"}
    assert {name for name in packages if f"agenthost.{name}" not in layers} == set()
