"""What the command line says without a host: help, versions, configs, and what is wrong with its words."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from agenthost.cli.looking import Awaited
from agenthost.cli.main import app
from agenthost.core.life import Life
from agenthost.version import PROTOCOL, VERSION
from tests.cli.typing_user import agenthost

GOOD = "agenthost: 1\nname: good\ntree:\n  children:\n    - {name: a, command: [sleep, '1']}\n"
BAD = "agenthost: 1\nname: bad\ntree:\n  childs: []\n  children:\n    - {name: a b, command: sleep}\n"


@pytest.fixture
def config(places: Path) -> Path:
    file = places / "good.yaml"
    file.write_text(GOOD)
    return file


WRONG = """frob|status --frob|status -o xml|stop|call|call /a {|events -n -1|logs --since soon|wait /a --for redy
stop /a --timeout soon|completion tcsh|run""".replace("\n", "|").split("|")


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words_are_status_2(words: str) -> None:
    assert CliRunner().invoke(app, words.split()).exit_code == 2 or agenthost(*words.split()).status == 2


def test_a_mistyped_command_gets_the_nearest_one() -> None:
    done = agenthost("statsu")
    assert done.status == 2 and "status" in done.err and done.out == ""


def test_every_command_has_help_whose_first_line_is_not_cut() -> None:
    done = agenthost("--help")
    assert done.status == 0 and "..." not in done.out.partition("Commands:")[2]
    group = typer.main.get_command(app)
    for name in group.commands:  # type: ignore[attr-defined]
        shown = CliRunner().invoke(app, [name, "-h"])
        assert shown.exit_code == 0 and shown.output.startswith(f"Usage: agenthost {name}"), shown.output
        assert "`" not in shown.output


def test_version_is_one_line_or_data() -> None:
    assert agenthost("version").out == f"agenthost {VERSION}\n"
    data = agenthost("version", "-o", "json").data
    assert (data["version"], data["protocol"]) == (VERSION, PROTOCOL)


def test_schema_is_a_json_schema_that_the_good_config_keeps(config: Path) -> None:
    import yaml

    schema = agenthost("schema").data
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(BAD), schema)


def test_check_says_good_and_counts(config: Path) -> None:
    done = agenthost("check", str(config))
    assert (done.status, done.out) == (0, f"{config}: good; host good, 1 agent or program\n")
    assert agenthost("check", str(config), "-o", "json").data["workers"] == 1


def test_check_counts_pools_apart_from_what_is_there_from_the_start(places: Path) -> None:
    file = places / "pools.yaml"
    pool = "pool: {children: [{name: a, command: [x]}]}"
    file.write_text(
        f"agenthost: 1\ntree: {{children: [{{name: p, {pool}}}, {{name: s, children: [{{name: q, {pool}}}]}}]}}"
    )
    assert agenthost("check", str(file)).out == f"{file}: good; host pools, 0 agents and programs, 2 pools\n"
    data = agenthost("check", str(file), "-o", "json").data
    assert (data["workers"], data["pools"]) == (0, 2)


def test_check_names_every_problem_with_its_place_one_a_line(places: Path) -> None:
    file = places / "bad.yaml"
    file.write_text(BAD)
    done = agenthost("check", str(file))
    assert done.status == 78 and done.out == ""
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == [f"{file}:4:3", f"{file}:6:14"]
    data = agenthost("check", str(file), "-o", "json")
    assert data.status == 78
    first = data.data["problems"][0]
    assert (first["line"], first["column"], first["hint"]) == (4, 3, "did you mean 'children'?")


def test_run_refuses_a_bad_config_and_a_missing_one_before_anything_starts(places: Path) -> None:
    (places / "bad.yaml").write_text(BAD)
    assert agenthost("run", str(places / "bad.yaml")).status == 78
    done = agenthost("run", str(places / "none.yaml"))
    assert (done.status, done.err) == (78, f"{places}/none.yaml: cannot read it: No such file or directory\n")
    assert not list((places / "run").iterdir())


def test_a_name_that_is_unfit_for_a_folder_is_refused(config: Path) -> None:
    done = agenthost("run", str(config), "--name", "../x")
    assert done.status == 2 and "cannot name a host '../x'" in done.err


ASKING = [
    ["status"],
    ["tree"],
    ["ps"],
    ["events"],
    ["wait", "a"],
    ["stop", "a"],
    ["call", "a"],
    ["send", "a"],
    ["logs"],
]


@pytest.mark.parametrize("words", ASKING, ids=lambda words: words[0])
def test_without_a_host_every_command_that_needs_one_says_so_with_status_69(words: list[str], places: Path) -> None:
    done = agenthost(*words)
    assert done.status == 69 and done.out == ""
    assert done.err.startswith("agenthost: cannot ") and done.err.count("\n") == 1


def test_doctor_works_without_a_host_and_as_data(places: Path) -> None:
    done = agenthost("doctor", "-o", "json")
    assert done.status == 0
    subjects = [finding["subject"] for finding in done.data]
    assert {"tier cgroup", "tier pidns", "tier walk", "host"} <= set(subjects)
    assert len(agenthost("doctor").lines) == len(subjects)


def test_the_states_one_can_wait_for_are_those_there_are() -> None:
    assert {str(state) for state in Awaited} == {str(life) for life in Life} | {"stopped"}
    assert issubclass(Awaited, enum.StrEnum)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_stream_is_no_crash(stream: str) -> None:
    closing = ">&-" if stream == "stdout" else "2>&-"
    command = f"{sys.executable} -m agenthost.cli version {closing}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_status_1_and_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m agenthost.cli schema >/dev/full"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, "agenthost: No space left on device\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m agenthost.cli schema | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n0\n", "")


def test_printing_a_version_loads_nothing_that_talks_or_decorates() -> None:
    code = "import sys; sys.argv = ['agenthost', {!r}]\nfrom agenthost.cli.main import main\ntry: main()\n"
    code += "except SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    heavy = {"zmq", "msgspec", "msgpack", "asyncio", "rich", "yaml", "psutil", "pydantic", "multiprocess", "dill"}
    for word, allowed in (("version", set[str]()), ("status", set[str]())):
        done = subprocess.run([sys.executable, "-c", code.format(word)], capture_output=True, text=True, env=_no_host())
        assert heavy & set(done.stderr.split()) == allowed, word


def _no_host() -> dict[str, str]:
    return {**os.environ, "AGENTHOST_SOCKET": "/nonexistent"}
