"""The unit that is shipped. What a real systemd makes of it is shown in ``tests/systemd``."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.core.spec import Shutdown, SupervisorSpec, WorkerSpec
from agenthost.errors import UsageError
from agenthost.systemd.unit import NO_RESTART, Unit, longest_stop_s, quoted
from tests.cli.typing_user import agenthost
from tests.host.running import PATIENCE_S

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str = "team", folder: str = "", **child: Any) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / f"{name}.yaml"
        children = [{"name": "a", "command": ["sleep", "1000"], **child}]
        file.write_text(json.dumps({"agenthost": 1, "name": name, "tree": {"children": children}}))
        return str(file)

    return write


def printed(*words: str) -> dict[str, dict[str, str]]:
    """Section to its keys. No key stands twice in a section, and every line is understood."""
    answer = agenthost("unit", *words)
    assert answer.status == 0, answer.err
    sections: dict[str, dict[str, str]] = {}
    for line in answer.out.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line:
            key, _, value = line.partition("=")
            assert value and key not in section, line
            section[key] = value
    return sections


def test_a_unit_runs_the_config_as_a_service_that_says_when_it_is_ready(write: Write) -> None:
    file = write()
    unit = printed(file)
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    command, *words = shlex.split(service["ExecStart"])
    assert words[-2:] == ["run", file] and os.access(command, os.X_OK)
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")
    assert "User" not in service and unit["Install"]["WantedBy"] == "multi-user.target"


def test_a_unit_delegates_its_cgroup_and_ends_what_is_left_in_it(write: Write) -> None:
    service = printed(write())["Service"]
    assert (service["Delegate"], service["KillMode"], service["OOMPolicy"]) == ("yes", "mixed", "continue")
    assert service["WatchdogSec"] == "60s"


def test_a_unit_does_not_try_again_what_another_try_cannot_mend(write: Write) -> None:
    service = printed(write())["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2 75 77 78" == " ".join(map(str, NO_RESTART))


def test_a_unit_of_a_user_is_wanted_by_what_a_users_systemd_starts(write: Write) -> None:
    unit = printed("--user", write())
    assert unit["Install"]["WantedBy"] == "default.target" and "User" not in unit["Service"]
    assert "After" not in unit["Unit"], "a user's systemd has no network.target"


def test_a_unit_can_name_a_user_and_another_name_of_the_host(write: Write) -> None:
    file = write()
    unit = printed("--run-as", "games", "--name", "night", file)
    assert unit["Service"]["User"] == "games" and unit["Unit"]["Description"] == "agenthost: night"
    assert shlex.split(unit["Service"]["ExecStart"])[-4:] == ["run", "--name", "night", file]


def test_a_path_with_blanks_and_percents_stands_as_one_word(write: Write) -> None:
    service = printed(write(folder="my 100% $HOME"))["Service"]
    assert '/my 100%% $$HOME/team.yaml"' in service["ExecStart"]
    assert service["WorkingDirectory"].endswith("/my 100%% $HOME")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--user", "--run-as", "games"], 2, "cannot run a unit of systemd --user as games"),
        (["--run-as", "games;reboot"], 2, "cannot run a unit as 'games;reboot'"),
        (["--name", "a/b"], 2, "cannot name a host 'a/b'"),
    ],
)
def test_what_makes_no_unit_is_refused(write: Write, words: list[str], status: int, said: str) -> None:
    answer = agenthost("unit", *words, write())
    assert (answer.status, answer.out) == (status, "") and said in answer.err


def test_a_bad_config_makes_no_unit(write: Write) -> None:
    answer = agenthost("unit", write(nonsense=1))
    assert (answer.status, answer.out) == (78, "") and "nonsense" in answer.err


def test_a_control_character_makes_no_unit() -> None:
    with pytest.raises(UsageError, match="control character"):
        quoted("a\nExecStartPre=/bin/evil")
    with pytest.raises(UsageError, match="control character"):
        Unit("n", ["run"], "/a\nb", 30).text()


@given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), min_size=1))
def test_any_word_comes_back_as_it_was(word: str) -> None:
    text = quoted(word)
    if text[0] == '"':
        assert text[-1] == '"'
        text = text[1:-1].replace("\\\\", "\0").replace('\\"', '"')
        assert "\\" not in text
        text = text.replace("\0", "\\")
    else:
        assert " " not in text
    assert text.replace("%%", "%").replace("$$", "$") == word


def test_the_time_to_stop_is_that_of_the_tree_within_bounds() -> None:
    def tree(*graces_s: float | None, pool: bool = False) -> SupervisorSpec:
        workers = [WorkerSpec(f"w{n}", shutdown=Shutdown(grace_s)) for n, grace_s in enumerate(graces_s)]
        return SupervisorSpec("/", tuple(workers)) if not pool else SupervisorSpec("p", template=workers[0])

    assert longest_stop_s(tree(1.0)) == 30
    assert longest_stop_s(tree(40.0, 20.0)) == 70
    assert longest_stop_s(tree(40.0, pool=True)) == 50
    assert longest_stop_s(tree(None)) == longest_stop_s(tree(*[60.0] * 100)) == 600
    assert longest_stop_s(SupervisorSpec("/", (WorkerSpec("w", shutdown=Shutdown(900.0, brutal=True)),))) == 30


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("words", [[], ["--run-as", "games"]])
def test_systemd_understands_every_line(write: Write, tmp_path: Path, words: list[str]) -> None:
    made = tmp_path / "team.service"
    made.write_text(agenthost("unit", *words, write(folder="a b")).out)
    command = ["systemd-analyze", "verify", "--man=no", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    mine = [line for line in done.stderr.splitlines() if "team.service" in line]
    assert (mine, done.returncode) == ([], 0), done.stderr


def test_the_command_stands_beside_the_interpreter(write: Write) -> None:
    command = shlex.split(printed(write())["Service"]["ExecStart"])
    assert os.path.dirname(command[0]) == os.path.dirname(sys.executable)
