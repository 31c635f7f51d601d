"""A good config becomes specs, with the defaults that the documentation promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthost.config.load import load
from agenthost.config.model import HostConfig
from agenthost.config.problem import ConfigProblems
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth, ReadyCheck
from agenthost.core.spec import Backoff, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec


def read(folder: Path, text: str, **environment: str) -> HostConfig:
    file = folder / "team.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment=environment)


def one(folder: Path, child: str, **environment: str) -> WorkerSpec:
    """The one worker of a tree, written in braces."""
    found = read(folder, f"agenthost: 1\ntree:\n  children:\n    - {child}\n", **environment).tree.children[0]
    assert isinstance(found, WorkerSpec)
    return found


def program(folder: Path, child: str, **environment: str) -> ProgramBirth:
    birth = one(folder, child, **environment).birth
    assert isinstance(birth, ProgramBirth)
    return birth


def agent(folder: Path, child: str, **environment: str) -> AgentBirth:
    birth = one(folder, child, **environment).birth
    assert isinstance(birth, AgentBirth)
    return birth


def test_a_small_config_has_all_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, "agenthost: 1\ntree:\n  children:\n    - {name: a, command: [sleep, 100]}\n")
    assert config == HostConfig(
        name="team",
        file=tmp_path / "team.yaml",
        folder=tmp_path,
        tree=SupervisorSpec(
            "/",
            (
                WorkerSpec(
                    "a",
                    Restart.PERMANENT,
                    Shutdown(5.0),
                    30.0,
                    Backoff(),
                    ProgramBirth(("sleep", "100"), (), str(tmp_path), Limits(), None, 15),
                ),
            ),
            Strategy.ONE_FOR_ONE,
            5,
            30.0,
        ),
    )


def test_every_key_of_a_program_arrives(tmp_path: Path) -> None:
    worker = one(
        tmp_path,
        "{name: model, command: 'llama-server --port \"80 99\"', restart: transient, shutdown: 1m30s, cwd: sub/../var,"
        " limits: {memory: 2GiB, cpu: 0.5, processes: 200, open_files: 64, file_size: 512MB}, stop_signal: INT,"
        " ready: {http: 'http://127.0.0.1:8099/health', timeout: 60s, interval: 250ms}, env: {B: 1.10, A: no},"
        " backoff: {initial: 1s, factor: 3, max: 1h, jitter: 0, calm: 2m}}",
    )
    assert worker == WorkerSpec(
        "model",
        Restart.TRANSIENT,
        Shutdown(90.0),
        60.0,
        Backoff(1.0, 3.0, 3600.0, 0.0, 120.0),
        ProgramBirth(
            ("llama-server", "--port", "80 99"),
            (("A", "no"), ("B", "1.10")),
            str(tmp_path / "var"),
            Limits(2 * 1024**3, 0.5, 200, 64, 512_000_000),
            ReadyCheck("http", "http://127.0.0.1:8099/health", 0.25),
            2,
        ),
    )


def test_every_key_of_an_agent_arrives(tmp_path: Path) -> None:
    birth = agent(
        tmp_path,
        "{name: p, agent: 'crew:Planner', args: {n: 1, deep: [1.5, null, {ok: true}], s: '7'}, turn: {progress: 2m},"
        " env: {K: v}, limits: {processes: 3}}",
    )
    assert birth == AgentBirth(
        "crew:Planner",
        {"n": 1, "deep": [1.5, None, {"ok": True}], "s": "7"},
        (("K", "v"),),
        str(tmp_path),
        (str(tmp_path),),
        Limits(processes=3),
        120.0,
        progress_s=120.0,
    )


def test_who_gets_on_slowly_may_still_be_silent_for_no_longer_than_is_said(tmp_path: Path) -> None:
    birth = agent(tmp_path, "{name: p, agent: 'm:C', turn: {progress: 30m, silence: 20s, timeout: 2h}}")
    assert isinstance(birth, AgentBirth)
    assert (birth.progress_s, birth.silence_s, birth.turn_s) == (1800.0, 20.0, 7200.0)
    assert agent(tmp_path, "{name: p, agent: 'm:C'}").progress_s is None


def test_a_command_that_speaks_lines_is_born_as_the_command_agent(tmp_path: Path) -> None:
    birth = agent(tmp_path, "{name: c, command: [cat], protocol: lines, env: {K: v}, cwd: x, turn: {progress: 5s}}")
    assert birth.agent == "agenthost_workers.command:Command"
    assert birth.args == {"argv": ["cat"], "env": {"K": "v"}, "cwd": str(tmp_path / "x")}
    assert (birth.env, birth.cwd, birth.silence_s) == ((), str(tmp_path), 5.0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kill", Shutdown(0.0, brutal=True)),
        ("infinity", Shutdown(None)),
        ("0s", Shutdown(0.0)),
        ("250ms", Shutdown(0.25)),
        ("1d2h3m4.5s6ms", Shutdown(93784.506)),
    ],
)
def test_shutdown_is_a_duration_or_a_word(tmp_path: Path, written: str, meant: Shutdown) -> None:
    assert one(tmp_path, f"{{name: a, command: [x], shutdown: {written}}}").shutdown == meant


def test_backoff_and_start_timeout_can_be_switched_off(tmp_path: Path) -> None:
    worker = one(tmp_path, "{name: a, command: [x], backoff: none, start_timeout: infinity}")
    assert (worker.backoff, worker.start_timeout_s) == (None, None)


def test_one_bound_of_a_backoff_moves_the_default_of_the_other(tmp_path: Path) -> None:
    slow = one(tmp_path, "{name: a, command: [x], backoff: {initial: 1h}}").backoff
    quick = one(tmp_path, "{name: a, command: [x], backoff: {max: 1ms}}").backoff
    assert slow and (slow.initial_s, slow.max_s) == (3600.0, 3600.0)
    assert quick and (quick.initial_s, quick.max_s) == (0.001, 0.001)


def test_otp_strict_has_the_defaults_of_otp_and_is_inherited(tmp_path: Path) -> None:
    tree = read(
        tmp_path,
        "agenthost: 1\ntree:\n  otp_strict: true\n  children:\n  - {name: w, command: [x]}\n"
        "  - {name: inner, children: [{name: w, command: [x]}]}\n"
        "  - {name: loose, otp_strict: false, intensity: 0, period: 1h, children: [{name: w, command: [x]}]}\n",
    ).tree
    assert (tree.otp_strict, tree.intensity, tree.period_s) == (True, 1, 5.0)
    worker, inner, loose = tree.children
    assert isinstance(worker, WorkerSpec) and isinstance(inner, SupervisorSpec) and isinstance(loose, SupervisorSpec)
    assert (worker.backoff, worker.start_timeout_s) == (None, None)
    assert (inner.otp_strict, inner.intensity, inner.period_s, inner.backoff) == (True, 1, 5.0, None)
    assert (loose.otp_strict, loose.intensity, loose.period_s) == (False, 0, 3600.0)
    assert loose.children[0].backoff == Backoff()


def test_the_environment_is_put_into_env(tmp_path: Path) -> None:
    birth = program(
        tmp_path,
        "{name: a, command: [x], env: {A: '${HOME}/x', B: '${NOT:-a b}', C: '${EMPTY:-d}', D: '$$HOME', E: '$HOME',"
        " F: '$${HOME}', G: '${EMPTY}'}}",
        HOME="/h",
        EMPTY="",
    )
    assert dict(birth.env) == {
        "A": "/h/x", "B": "a b", "C": "d", "D": "$HOME", "E": "$HOME", "F": "${HOME}", "G": "",
    }  # fmt: skip


def test_the_words_of_a_command_are_taken_as_written(tmp_path: Path) -> None:
    assert program(tmp_path, "{name: a, command: [x, 010, 1.10, yes, true, 0x1F, '']}").argv == (
        "x", "010", "1.10", "yes", "true", "0x1F", "",
    )  # fmt: skip
    assert program(tmp_path, "{name: a, command: true}").argv == ("true",)


def test_host_keys_arrive(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "agenthost: 1\nname: other\ncontainment: walk\nnamespace: never\noperators: [1000, root, 1000]\n"
        "strays: report\ntree: {children: []}\n",
    )
    assert (config.name, config.containment, config.namespace) == ("other", "walk", "never")
    assert (config.operators, config.strays, config.tree.children) == ((1000, 0), "report", ())


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"\xef\xbb\xbfagenthost: 1\r\ntree:\r\n  children: []\r\n")
    assert load(file).name == "w"


def test_relative_paths_are_relative_to_the_config_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.yaml").write_text("agenthost: 1\ntree: {children: [{name: a, command: [x], cwd: ../b}]}\n")
    monkeypatch.chdir(tmp_path)
    config = load("etc/a.yaml")
    assert (config.folder, config.file) == (tmp_path / "etc", tmp_path / "etc/a.yaml")
    worker = config.tree.children[0]
    assert isinstance(worker, WorkerSpec) and worker.birth.cwd == str(tmp_path / "b")


def test_ten_thousand_workers_load(tmp_path: Path) -> None:
    rows = "".join(
        f"    - name: w{number}\n      command: [sleep, 100]\n      limits: {{memory: 2GiB}}\n"
        for number in range(10_000)
    )
    assert len(read(tmp_path, f"agenthost: 1\ntree:\n  children:\n{rows}").tree.children) == 10_000


def test_loading_imports_none_of_the_authors_code(tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass A: ...\n")
    for name in ("trap:A", "trap.py:A"):
        assert agent(tmp_path, f"{{name: a, agent: '{name}'}}").agent
    assert not (tmp_path / "ran").exists()


def test_supervisors_nest_to_a_bound(tmp_path: Path) -> None:
    def nested(depth: int) -> str:
        inner = "{name: w, command: [x]}"
        for _ in range(depth - 1):
            inner = f"{{name: s, children: [{inner}]}}"
        return f"agenthost: 1\ntree: {{children: [{inner}]}}\n"

    read(tmp_path, nested(32))
    with pytest.raises(ConfigProblems, match="cannot nest supervisors deeper than 32"):
        read(tmp_path, nested(33))
    with pytest.raises(ConfigProblems, match="cannot nest deeper than 200 levels"):
        read(tmp_path, nested(150))
