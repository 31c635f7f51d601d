"""Files of KEY=VALUE lines: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.config.env_file import MAX_BYTES, parse, read_env_file
from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.core.birth import EnvFile, LivenessCheck, LogKeeping, Secret
from agenthost.core.spec import WorkerSpec
from agenthost.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\n\r\n# B=2\r\n  # C=3\r\n", {"A": "1"}),
        ("export A=1\nexport\tB=2", {"A": "1", "B": "2"}),
        ("A=\nB=''\nC=\"\"", {"A": "", "B": "", "C": ""}),
        ("A = 1 ", {"A": "1"}),
        ("A=a b  c", {"A": "a b  c"}),
        ("A=x # y\nB=x#y\nC=#y\nD='x # y' # z", {"A": "x", "B": "x#y", "C": "", "D": "x # y"}),
        ("A='a\\n$B\"'", {"A": 'a\\n$B"'}),
        ('A="a\\n\\t\\"\\\\ \\$B \\x $B"', {"A": 'a\n\t"\\ $B \\x $B'}),
        ("A=$HOME ${HOME} `id`", {"A": "$HOME ${HOME} `id`"}),
        ("A=1\nA=2", {"A": "2"}),
        ("URL=postgres://u:p=q@h/d?x=y", {"URL": "postgres://u:p=q@h/d?x=y"}),
        ("export=1", {"export": "1"}),
    ],
)
def test_lines_mean_what_they_mean_to_other_tools(text: str, wanted: dict[str, str]) -> None:
    assert parse(text, "f") == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=1\ngeheim", "cannot read f:2: there is no NAME= in it"),
        ("A='geheim", "cannot set A in f:1: its quotes do not close"),
        ('A="geheim" x', "cannot set A in f:1: its quotes do not close, or something stands behind them"),
        ("\n1A=geheim", "cannot set '1A' in f:2: that is no name"),
        ("AGENTHOST_PATH=geheim", "it belongs to agenthost itself"),
        ("A=geheim\0", "cannot set A in f:1: a NUL character"),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_no_value_is_shown(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert said in str(caught.value)
    assert "geheim" not in f"{caught.value} {caught.value.hint}"


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\n\r'"), max_size=30))
def test_what_a_shell_reads_in_single_quotes_is_what_we_read(value: str) -> None:
    assert parse(f"A='{value}'", "f") == {"A": value}


def test_a_shell_agrees(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text('export A=\'x  y\' # z\nB="a\\"b\\\\c\\$d"\nC=plain\n')
    script = f'set -a; . {file}; printf "%s|%s|%s" "$A" "$B" "$C"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "|".join(read_env_file(str(file)).values())


def test_a_file_that_cannot_be_read_says_why_and_leaves_nothing_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "latin").write_bytes(b"A=1\nB=\xe9\n")
    for name, said in [
        ("none", "it is not there"),
        (".", "it is no file"),
        ("pipe", "it is no file"),
        ("long", "it is longer"),
        ("latin", "latin:2: it is not UTF-8"),
    ]:
        with pytest.raises(ConfigError, match=said):
            read_env_file(str(tmp_path / name))
    assert read_env_file(str(tmp_path / "none"), optional=True) == {}


def worker(tmp_path: Path, keys: str) -> WorkerSpec:
    text = f"agenthost: 1\ntree: {{children: [{{name: a, {keys}}}]}}\n"
    (spec,) = read_config(text.encode(), tmp_path / "t.yaml", environment={}).tree.children
    assert isinstance(spec, WorkerSpec)
    return spec


@pytest.mark.parametrize("form", ["command: [x]", "agent: 'm:C'", "command: [x], protocol: lines"])
def test_what_all_workers_may_have_arrives(tmp_path: Path, form: str) -> None:
    (tmp_path / "one.env").write_text("A=1\n")
    birth = worker(
        tmp_path,
        f"{form}, env_file: [one.env, 'sub/../two.env?', {{path: three.env, optional: true}}], no_new_privs: false,"
        " secrets: {T: {file: t}, S: {env: S, as: file}, C: {command: 'pass show x'}},"
        " liveness: {http: 'http://a/b', interval: 1s, timeout: 2s, failures: 4},"
        " log: {max_size: 1MiB, keep: 2, stderr: discard}",
    ).birth
    assert birth.env_files == (
        EnvFile(f"{tmp_path}/one.env"),
        EnvFile(f"{tmp_path}/two.env", optional=True),
        EnvFile(f"{tmp_path}/three.env", optional=True),
    )
    assert birth.secrets == (
        Secret("C", "command", ("pass", "show", "x")),
        Secret("S", "env", "S", as_file=True),
        Secret("T", "file", f"{tmp_path}/t"),
    )
    assert birth.liveness == LivenessCheck("http", "http://a/b", (), 1.0, 2.0, 4)
    assert birth.log == LogKeeping(1024**2, 2, stdout=True, stderr=False)
    assert birth.no_new_privileges is False


def test_log_none_keeps_nothing(tmp_path: Path) -> None:
    assert worker(tmp_path, "command: [x], log: none").birth.log == LogKeeping(stdout=False, stderr=False)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("env_file: none.env", "t.yaml:2:53: tree.children[0].env_file: cannot read"),
        ("env_file: '?'", "cannot use '?': it is no path"),
        ("env_file: [{optional: true}]", "env_file[0]: the key 'path' is missing"),
        ("ready: {notify: false}", "ready.notify: true is wanted here"),
        ("ready: {fd: 2}", "ready.fd: cannot use 2; write a whole number from 3 to 255"),
        ("secrets: {T: x}", "secrets.T: a map is wanted here"),
        ("secrets: {T: {file: a, env: B}}", "cannot have 'env' beside 'file'"),
        ("secrets: {AGENTHOST_X: {file: a}}", "belongs to agenthost itself"),
        ("liveness: {interval: 1s}", "one of http, tcp, command, notify is missing"),
        ("log: some", "a map or the word none is wanted here"),
        ("log: {keep: 0}", "log.keep: cannot use 0"),
    ],
)
def test_a_key_that_is_off_says_so(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        worker(tmp_path, f"command: [x], {keys}")
    assert said in str(caught.value)
