"""What ``agent:`` names is looked for without importing anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agenthost.config.agents import Agents, installed
from agenthost.config.problem import Refused

CREW = """\
import os
from somewhere import Imported as Renamed
if os.name:
    class Inner: ...
else:
    Other = None
try:
    class Tried: ...
except ImportError:
    class Fallback: ...
class Planner: ...
def build(): ...
Alias = Planner
"""


@pytest.fixture
def agents(tmp_path: Path) -> Agents:
    (tmp_path / "crew.py").write_text(CREW)
    return Agents(str(tmp_path))


@pytest.mark.parametrize("name", ["Planner", "Inner", "Other", "Tried", "Fallback", "Renamed", "Alias"])
def test_a_name_at_the_top_level_is_found(agents: Agents, name: str, tmp_path: Path) -> None:
    assert agents.resolve(f"crew.py:{name}") == f"{tmp_path}/crew.py:{name}"
    assert agents.resolve(f"crew:{name}") == f"crew:{name}"


def test_a_file_is_relative_to_the_config(agents: Agents, tmp_path: Path) -> None:
    assert agents.resolve("./x/../crew.py:Planner") == f"{tmp_path}/crew.py:Planner"
    assert agents.resolve(f"{tmp_path}/crew.py:Planner") == f"{tmp_path}/crew.py:Planner"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("crew.py:Planer", "there is no class 'Planer' in ", "did you mean 'Planner'?"),
        ("crew:Planer", "there is no class 'Planer' in ", "did you mean 'Planner'?"),
        ("crew.py:build", "'build' in ", "one of: Fallback, Inner, Planner, Tried"),
        ("none.py:A", "cannot read ", "relative to the config's folder"),
        ("bad.py:A", "bad.py: line 1: ", ""),
        ("nul.py:A", "cannot parse ", ""),
        ("empty.py:A", "there is no class 'A' in ", "it has no class at all"),
    ],
)
def test_what_is_not_there_is_refused(agents: Agents, tmp_path: Path, text: str, said: str, hint: str) -> None:
    (tmp_path / "bad.py").write_text("class A(:\n")
    (tmp_path / "nul.py").write_bytes(b"class A: ...\0\n")
    (tmp_path / "empty.py").write_text("")
    for _ in range(2):  # the second answer comes from memory
        with pytest.raises(Refused) as caught:
            agents.resolve(text)
        assert said in caught.value.what and hint in caught.value.hint


@pytest.mark.parametrize("source", ["from x import *\n", "def __getattr__(name): ...\n"])
def test_a_module_that_may_define_more_is_believed(agents: Agents, tmp_path: Path, source: str) -> None:
    (tmp_path / "more.py").write_text(source)
    assert agents.resolve("more:Anything") == "more:Anything"


def test_a_module_that_is_not_beside_the_config_is_seen_at_birth(agents: Agents) -> None:
    assert agents.resolve("some.package:Thing") == "some.package:Thing"


def test_a_package_beside_the_config_is_looked_into(agents: Agents, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("class Here: ...\n")
    assert agents.resolve("pack:Here") == "pack:Here"
    with pytest.raises(Refused):
        agents.resolve("pack:There")


def test_installed_agents_have_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "demo-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text("[agenthost.agents]\nchatter-of-demo = demo_pack.chat:Chat\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed()["chatter-of-demo"] == "demo_pack.chat:Chat"
    agents = Agents(str(tmp_path))
    assert agents.resolve("chatter-of-demo") == "demo_pack.chat:Chat"
    with pytest.raises(Refused) as caught:
        agents.resolve("chater-of-demo")
    assert caught.value.what == "no installed agent is called 'chater-of-demo'"
    assert caught.value.hint.startswith("did you mean 'chatter-of-demo'?")
    assert "demo_pack" not in sys.modules
