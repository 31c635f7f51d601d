"""Names of modules and digests of what was loaded."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.launch.digest import digest
from agenthost.launch.modules import load, module_name


@pytest.fixture(autouse=True)
def modules_forgotten() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("agenthost_file_"):
            del sys.modules[name]


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "coder.py").write_text(f"WHO = {folder!r}\n")
    first, second = (load(str(tmp_path / folder / "coder.py")) for folder in ("a", "b"))
    assert (first.WHO, second.WHO) == ("a", "b")
    assert load(str(tmp_path / "a" / "coder.py")) is first
    assert sys.modules[module_name(str(tmp_path / "a" / "coder.py"))] is first


def test_a_module_by_its_name_is_imported_as_ever() -> None:
    assert load("json.decoder") is importlib.import_module("json.decoder")
    assert module_name("json.decoder") == "json.decoder"


def test_a_file_that_failed_to_load_is_loaded_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load(str(file))
    file.write_text("mended = True\n")
    assert load(str(file)).mended


def test_a_relative_file_is_refused() -> None:
    with pytest.raises(ImportError, match="must be absolute"):
        load("agents/x.py")


def test_the_digest_tells_contents_not_times(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("a = 1\n")
    name = load(str(file)).__name__
    before, [source] = digest([name])
    assert source[0] == str(file)
    os.utime(file, (1, 1))
    assert digest([name])[0] == before
    file.write_text("a = 2\n")
    assert digest([name])[0] != before


def test_modules_without_files_do_not_count() -> None:
    assert digest(["sys", "no.such.module"])[1] == ()
