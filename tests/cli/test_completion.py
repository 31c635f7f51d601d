"""TAB in a real bash."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.typing_user import agenthost
from tests.host.conftest import Start
from tests.host.running import tree

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@pytest.fixture
def command(places: Path) -> Path:
    """An ``agenthost`` for the shell to run."""
    file = places / "bin" / "agenthost"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -m agenthost.cli "$@"\n')
    file.chmod(0o755)
    return file


def complete(command: Path, *words: str) -> list[str]:
    """What bash offers for the last of ``words``."""
    script = f"""
        PATH={command.parent}:$PATH
        eval "$(agenthost completion bash)"
        spec=$(complete -p agenthost); function=${{spec##*-F }}; function=${{function%% *}}
        COMP_WORDS=({shlex.join(["agenthost", *words])}); COMP_CWORD={len(words)}
        $function agenthost
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.split()


def test_commands_options_and_choices_are_completed(command: Path) -> None:
    assert complete(command, "st") == ["status", "start", "stop"]
    assert complete(command, "status", "--out") == ["--output"]
    assert complete(command, "status", "-o", "j") == ["json", "jsonl"]
    assert complete(command, "wait", "--for", "st") == ["stopped", "starting", "stuck"]
    assert complete(command, "run", "") == [], "left to bash, which completes files"


def test_paths_of_the_running_host_are_completed_as_they_are_typed(command: Path, start: Start, agents: str) -> None:
    host = start(tree({"name": "crew", "children": [{"name": "a", "agent": f"{agents}:Echo"}]}))
    assert complete(command, "stop", "/cr") == ["/crew", "/crew/a"]
    assert complete(command, "stop", "cr") == ["crew", "crew/a"]
    assert complete(command, "logs", "/crew/") == ["/crew/a"]
    assert complete(command, "--host", host.name, "call", "") == ["/", "/crew", "/crew/a"]
    assert complete(command, "--host", "another", "call", "") == []


def test_without_a_host_there_is_nothing_to_offer_and_no_complaint(command: Path) -> None:
    assert complete(command, "stop", "/") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    done = agenthost("completion", shell)
    assert done.status == 0 and "_AGENTHOST_COMPLETE" in done.out
