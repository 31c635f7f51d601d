"""A bad config is refused with all its problems, each at its place, each with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agenthost.config.load import load, read_config
from agenthost.config.problem import ConfigProblems
from agenthost.errors import ConfigError


def problems(text: str | bytes, folder: Path | str = "/nowhere", **environment: str) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigProblems) as caught:
        read_config(raw, f"{folder}/t.yaml", environment=environment)
    return [str(problem).removeprefix(f"{folder}/t.yaml:").strip() for problem in caught.value.problems]


def of_child(keys: str) -> list[str]:
    """Problems of one worker, its place cut down to its key."""
    found = problems(f"agenthost: 1\ntree:\n  children:\n    - {{{keys}}}\n")
    return [line.partition("tree.children[0]")[2].lstrip(".: ") for line in found]


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    found = problems(
        """\
agenthost: 1
nmae: team
tree:
  strategy: one_for_al
  children:
    - name: a
      command: [x]
      restrat: permanent
      limits:
        memory: 2
    - name: a
      command: [x]
      env: {A: "${NOPE}"}
"""
    )
    assert found == [
        "2:1: unknown key 'nmae'; did you mean 'name'?",
        "4:13: tree.strategy: cannot use 'one_for_al'; did you mean 'one_for_all'?",
        "8:7: tree.children[0]: unknown key 'restrat'; did you mean 'restart'?",
        "10:17: tree.children[0].limits.memory: 2 has no unit; write 2MiB, 2GiB or 2B",
        "11:13: tree.children[1].name: the name 'a' is taken by a sibling at line 6; names are paths: choose another",
        "13:16: tree.children[1].env.A: NOPE is not set in the environment; set it, or write ${NOPE:-default}",
    ]


def test_the_error_is_a_config_error_with_its_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("agenthost: 2\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert (caught.value.code, caught.value.exit_code) == ("bad_config", 78)
    assert str(caught.value).splitlines() == [
        f"{file}:1:1: the key 'tree' is missing; What is run.",
        f"{file}:1:12: agenthost: cannot use 2; write a whole number from 1 to 1",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("---\n", "the file is empty"),
        ("- a\n", "1:1: a map is wanted here, not a list"),
        ("agenthost\n", "1:1: a map is wanted here, not text"),
        ("agenthost: 1\ntree:\n\tchildren: []\n", "3:1: cannot read this as YAML"),
        ("agenthost: 1\ntree:\n\tchildren: []\n", "indent with spaces, not tabs"),
        ("agenthost: 1\ntree: {children: [\n", "cannot read this as YAML"),
        ("agenthost: 1\nname: 'a\n", "cannot read this as YAML"),
        ("agenthost: 1\nagenthost: 1\n", "2:1: the key 'agenthost' stands here twice; the first is at line 1"),
        ("agenthost: &a 1\n", "1:12: cannot use the anchor &a"),
        ("a: &a [x]\nb: [*a, *a]\n", "2:5: cannot use the alias *a"),
        ("tree:\n  <<: {children: []}\n", "2:3: cannot use the merge key '<<'"),
        ("agenthost: !!int 1\n", "1:12: cannot use the tag"),
        ("agenthost: !!python/object/apply:os.system [id]\n", "1:12: cannot use the tag"),
        ("agenthost: 1\n---\nagenthost: 1\n", "2:1: cannot have a second document"),
        ("? [a]\n: b\n", "1:3: cannot use a map or a list as a key"),
        ("~: b\n", "1:1: cannot use an empty key"),
        ("agenthost: 1\nname: \0\n", "2:7: cannot read the control character U+0000"),
        (b"agenthost: 1\nname: \xff\n", "2:7: cannot read byte 0xff: the file is not UTF-8"),
        ("agenthost: 1\n".encode("utf-16"), "1:1: cannot read byte 0xff: the file is not UTF-8"),
        ("agenthost: true\n", "agenthost: a whole number is wanted here, not 'true'"),
        ("agenthost: 1\ntree: []\n", "2:7: tree: a map is wanted here, not a list"),
        ("agenthost: 1\ntree: {}\n", "2:7: tree: the key 'children' is missing"),
        ("agenthost: 1\ntree: {children: }\n", "tree.children: a list is wanted here, not nothing"),
        ("agenthost: 1\ntree: {children: {name: a}}\n", "tree.children: a list is wanted here, not a map"),
        ("agenthost: 1\ntree: {name: x, children: []}\n", "the key 'name' is not for here: the tree has none"),
        ("agenthost: 1\ntree: {children: [x]}\n", "tree.children[0]: a map is wanted here, not text"),
        ("agenthost: 1\nname: -x\ntree: {children: []}\n", "cannot use '-x': a name has letters"),
        ("agenthost: 1\nname: 5\ntree: {children: []}\n", 'not a number; put it in quotes if it is meant: "5"'),
        ("agenthost: 1\nname: é\ntree: {children: []}\n", "a name has letters"),
        ("agenthost: 1\nname: ../x\ntree: {children: []}\n", "a name has letters"),
        ("agenthost: 1\noperators: [nobodyy]\ntree: {children: []}\n", "this machine; did you mean 'nobody'?"),
        ("agenthost: 1\noperators: [-1]\ntree: {children: []}\n", "operators[0]: cannot use -1 as a uid"),
        ("agenthost: 1\ntree: {intensity: -1, children: []}\n", "tree.intensity: cannot use -1"),
        ("agenthost: 1\ntree: {intensity: infinity, children: []}\n", "tree.intensity: a whole number is wanted"),
        ("agenthost: 1\ntree: {period: 0s, children: []}\n", "tree.period: cannot use 0s: it must be more"),
        ("agenthost: 1\ntree: {period: infinity, children: []}\n", "tree.period: cannot use 'infinity' as a duration"),
        ("agenthost: 1\ntree: {otp_strict: yes, children: []}\n", "true or false is wanted here, not text"),
    ],
)  # fmt: skip
def test_a_file_that_is_off_says_so(text: str | bytes, said: str) -> None:
    found = problems(text)
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("name: a", "one of agent, command, children, pool is missing"),
        ("command: [x]", "the key 'name' is missing"),
        ("name: a, agent: 'm:C', command: [x]", "cannot have 'command' beside 'agent'"),
        ("name: a, children: [], agent: 'm:C'", "cannot have 'agent' beside 'children'"),
        ("name: a, strategy: one_for_one", "the key 'children' is missing"),
        ("name: a, comand: [x]", "unknown key 'comand'; did you mean 'command'?"),
        ("name: a, command: [x], args: {}", "the key 'args' is not for here: it is for agents; remove it"),
        ("name: a, command: [x], turn: {}", "the key 'turn' is not for here: it is for agents and for commands with"),
        ("name: a, agent: 'm:C', ready: {line: x}", "the key 'ready' is not for here: it is for commands without"),
        ("name: a, agent: 'm:C', protocol: lines", "the key 'protocol' is not for here: it is for commands"),
        ("name: a, command: [x], protocol: lines, stop_signal: INT", "the key 'stop_signal' is not for here"),
        ("name: a, command: [x], strategy: one_for_all", "the key 'strategy' is not for here: it is for supervisors"),
        ("name: a, children: [], shutdown: 5s", "the key 'shutdown' is not for here: it is for workers"),
        ("name: a, command: [x], protocol: acp", "protocol: cannot use 'acp'; one of: lines, none"),
        ("name: a, command: []", "command: cannot run an empty command"),
        ("name: a, command: ''", "command: cannot run an empty command"),
        ("name: a, command: 'x \"y'", "command: cannot split 'x \"y': no closing quotation"),
        ("name: a, command: [x, [y]]", "command[1]: a word is wanted here, not a list"),
        ("name: a, command: [x, ~]", "command[1]: a word is missing here"),
        ('name: a, command: [x, "\\0"]', "command[1]: a NUL character cannot be passed on"),
        ("name: a, command: [x], shutdown: 5", "shutdown: 5 has no unit; write 5s, or 5ms"),
        ("name: a, command: [x], shutdown: 5 s", "shutdown: cannot use '5 s' as a duration"),
        ("name: a, command: [x], shutdown: 5s1m", "shutdown: cannot use '5s1m' as a duration"),
        ("name: a, command: [x], shutdown: -5s", "shutdown: cannot use '-5s' as a duration"),
        ("name: a, command: [x], shutdown: infinty", "shutdown: cannot use 'infinty'; did you mean 'infinity'?"),
        ("name: a, command: [x], shutdown: ~", "shutdown: a duration is wanted here, not nothing"),
        ("name: a, command: [x], start_timeout: 0s", "start_timeout: cannot use 0s"),
        ("name: a, command: [x], start_timeout: 1s, ready: {line: x, timeout: 1s}", "cannot have 'timeout' beside"),
        ("name: a, command: [x], ready: {}", "ready: one of http, tcp, line, notify, fd is missing"),
        ("name: a, command: [x], ready: {line: x, tcp: 'a:1'}", "ready: cannot have 'line' beside 'tcp'"),
        ("name: a, command: [x], ready: {line: '('}", "ready.line: cannot use '(' as a regular expression"),
        ("name: a, command: [x], ready: {tcp: 'a:65536'}", "ready.tcp: cannot use 'a:65536'"),
        (
            "name: a, command: [x], ready: {http: 'https://a'}",
            "ready.http: cannot use 'https://a': it is no http:// URL",
        ),
        ("name: a, command: [x], ready: {http: 'http://a:x/'}", "ready.http: cannot use 'http://a:x/' as a URL"),
        ("name: a, command: [x], limits: {memory: 0B}", "limits.memory: cannot use '0B' as a size"),
        ("name: a, command: [x], limits: {memory: 2G}", "limits.memory: cannot use '2G' as a size"),
        ("name: a, command: [x], limits: {cpu: 0}", "limits.cpu: cannot use 0; write a number of cores above 0"),
        ("name: a, command: [x], limits: {cpu: .nan}", "limits.cpu: cannot use .nan"),
        (
            "name: a, command: [x], limits: {processes: 1.5}",
            "limits.processes: a whole number is wanted here, not '1.5'",
        ),
        ("name: a, command: [x], limits: 5", "limits: a map is wanted here, not a number"),
        ("name: a, command: [x], backoff: nono", "backoff: a map or the word none is wanted here, not 'nono'"),
        ("name: a, command: [x], backoff: {initial: 2s, max: 1s}", "backoff: 'initial' is more than 'max'"),
        ("name: a, command: [x], backoff: {factor: 0.5}", "backoff.factor: cannot use 0.5"),
        ("name: a, command: [x], stop_signal: TREM", "stop_signal: cannot use 'TREM'; did you mean 'TERM'?"),
        ("name: a, command: [x], env: [A]", "env: a map is wanted here, not a list"),
        ("name: a, command: [x], env: {A B: 1}", "env: 'A B' is no name of an environment variable"),
        ("name: a, command: [x], env: {AGENTHOST_PATH: 1}", "env: 'AGENTHOST_PATH' belongs to agenthost itself"),
        ("name: a, command: [x], env: {A: [1]}", "env.A: a value is wanted here, not a list"),
        ("name: a, command: [x], env: {A: }", "env.A: a value is missing here"),
        ("name: a, command: [x], env: {A: '${B'}", "env.A: cannot read '${B'"),
        ("name: a, agent: 'm:C', args: [1]", "args: a map is wanted here, not a list"),
        ("name: a, agent: 'm:C', args: {a: [18446744073709551616]}", "args.a[0]: a whole number here must fit into 64"),
        ("name: a, agent: 'm:C', turn: {progress: 60}", "turn.progress: 60 has no unit"),
        ("name: a, agent: 'm x:C'", "agent: 'm x' is no name of a module"),
        ("name: a, agent: 'm:'", "agent: cannot use 'm:': it is no agent"),
    ],
)
def test_a_child_that_is_off_says_so(keys: str, said: str) -> None:
    found = of_child(keys)
    assert any(said in line for line in found), found
    assert len(found) <= 2, found


def test_a_bare_variable_near_a_set_one_is_suggested() -> None:
    found = problems("agenthost: 1\ntree: {children: [{name: a, command: [x], env: {A: '${HOEM}'}}]}", HOME="/h")
    assert "did you mean 'HOME'?" in found[0]


def test_duplicate_names_are_refused_only_among_siblings() -> None:
    good = "agenthost: 1\ntree: {children: [{name: a, command: [x]}, {name: b, children: [{name: a, command: [x]}]}]}"
    assert read_config(good.encode(), "t.yaml").tree.children[1].name == "b"


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for name, said in (
        ("none.yaml", "cannot read it: No such file or directory"),
        (".", "cannot read it: Is a directory; name the file inside it"),
        ("loop.yaml", "cannot read it: Too many levels of symbolic links"),
        ("a\0b", "cannot read it: embedded null byte"),
    ):
        with pytest.raises(ConfigProblems, match=said):
            load(f"{tmp_path}/{name}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user who may not read the file")
def test_a_file_of_somebody_else_says_so(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("agenthost: 1\n")
    file.chmod(0o000)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigProblems, match="cannot read it: Permission denied"):
            load(file)
    finally:
        os.seteuid(0)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigProblems, match="cannot read more than 32 MiB"):
        load("/dev/zero")


def test_a_name_that_the_file_cannot_give_must_be_written() -> None:
    with pytest.raises(ConfigProblems, match="cannot make a name of the file's name 'my team'; add the key 'name'"):
        read_config(b"agenthost: 1\ntree: {children: []}\n", "my team.yaml")


def test_thousands_of_problems_are_cut() -> None:
    rows = "".join(f"k{number}: 1\n" for number in range(5000))
    with pytest.raises(ConfigProblems) as caught:
        read_config(f"agenthost: 1\ntree: {{children: []}}\n{rows}".encode(), "t.yaml")
    assert len(caught.value.problems) == 5000
    assert len(str(caught.value).splitlines()) == 201
    assert str(caught.value).endswith("t.yaml: and 4800 more problems")
