"""Commands around a config and an installation: run, check, schema, doctor, version, completion."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agenthost.cli.showing import Plain, dump, is_terminal, tinted
from agenthost.errors import AgenthostError, Busy, NoHost
from agenthost.observe.printable import printable
from agenthost.version import PROTOCOL, VERSION

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file (YAML).", show_default=False)]

HOST = "from agenthost.host.main import main; main()"


def run(
    config: Config,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for this host than the config's.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
) -> None:
    """Run a tree in the foreground, until Ctrl-C.

    Ctrl-C asks it to stop, the second one hurries, the third kills; nothing is left either way.

    Exit status 0 after a planned end: somebody stopped it, or the tree has ended by itself. 1 if the tree gave up or
    did not come up, if the host crashed more than 5 times in 60 s, after the third Ctrl-C, or if its state folder or
    namespace could not be had; 75 if a host of that name runs, 78 for a bad config, which another try cannot mend.
    """
    from agenthost.config.load import load

    loaded = load(config)
    name = name or loaded.name
    _refuse_a_second(name)
    if is_terminal() and not quiet:
        print(f"agenthost {VERSION}: host {name}, {_counted(loaded.tree)} from {loaded.file}")
        print("Ctrl-C stops it. From elsewhere: agenthost status, agenthost logs -f, agenthost --help")
    python = [sys.executable, "-P"]  # not the working folder: a file of the user's must not pass for a library
    host = [*python, "-c", HOST, str(loaded.file), "--name", name]
    guardian = ["-m", "agenthost.guardian", "--namespace", loaded.namespace, "--name", name]
    sys.stdout.flush()
    os.execv(sys.executable, [*python, *guardian, "--", *host, *(["--quiet"] if quiet else [])])


def check(
    config: Config, output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text
) -> None:
    """Say what is wrong with a config.

    Each problem with its line and column; exit status 78 if there is any. Starts and imports nothing.
    """
    from agenthost.config.load import load
    from agenthost.config.problem import ConfigProblems
    from agenthost.config.remarks import remarks
    from agenthost.containment import unheld
    from agenthost.containment.tiers import expected_means

    try:
        loaded = load(config)
    except ConfigProblems as error:
        if output is not Plain.text:
            problems = [dataclasses.asdict(problem) for problem in error.problems]
            dump({"file": str(config), "ok": False, "problems": problems}, output)
            raise typer.Exit(error.exit_code) from None
        raise
    if unheld.has_strict(loaded.tree):
        unheld.check(loaded.tree, expected_means(loaded.containment))
    remarked = remarks(loaded.tree)
    if output is Plain.text:
        print(f"{config}: good; host {loaded.name}, {_counted(loaded.tree)}")
        for remark in remarked:
            print(f"{config}: remark: {remark}")
    else:
        good = {"file": str(config), "ok": True, "problems": [], "remarks": remarked, "name": loaded.name}
        good |= {"workers": _workers(loaded.tree), "pools": _pools(loaded.tree)}
        dump(good, output)


def _workers(spec: Any) -> int:
    from agenthost.core.spec import SupervisorSpec

    return sum(map(_workers, spec.children)) if isinstance(spec, SupervisorSpec) else 1


def _pools(spec: Any) -> int:
    """Of the tree as it starts: what stands in a pool's template is there only once a member is."""
    from agenthost.core.spec import SupervisorSpec

    if not isinstance(spec, SupervisorSpec):
        return 0
    return sum(map(_pools, spec.children)) if spec.template is None else 1


def _counted(tree: Any) -> str:
    count, pools = _workers(tree), _pools(tree)
    said = "1 agent or program" if count == 1 else f"{count} agents and programs"
    return said if not pools else f"{said}, 1 pool" if pools == 1 else f"{said}, {pools} pools"


def _refuse_a_second(name: str) -> None:
    """Before anything is started. (The state folder's lock decides; this says it sooner, and with what to do.)"""
    from agenthost.transport.places import Places, running_hosts

    folder = str(Places(name).runtime_folder)
    if any(host.name == name and host.endpoint.startswith(f"ipc://{folder}/") for host in running_hosts()):
        raise Busy(
            f"cannot start host {name!r}: it is running already",
            hint=f"stop it with: agenthost --host {name} stop /, or give this one another name with --name",
        )


def schema() -> None:
    """Print the JSON schema of the config."""
    from agenthost.config.schema import schema as make

    print(json.dumps(make(), indent=2))


def version(output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text) -> None:
    """Print the version."""
    if output is Plain.text:
        print(f"agenthost {VERSION}")
    else:
        dump({"version": VERSION, "protocol": PROTOCOL, "python": sys.version.split()[0]}, output)


def doctor(output: Annotated[Plain, typer.Option("-o", "--output", help="Format.")] = Plain.text) -> None:
    """What this machine offers and a running host uses.

    Which walls hold, which do not, and what to do about it. Changes nothing.
    """
    findings = [*_machine(), *_running_host()]
    if output is not Plain.text:
        dump(findings, output)
        return
    for finding in findings:
        mark = tinted("yes", "32") if finding["ok"] else tinted("no ", "33")
        print(f"{mark}  {printable(finding['subject'])}: {printable(finding['text'])}")


def _machine() -> list[dict[str, Any]]:
    import resource

    from agenthost.containment.means import sentences
    from agenthost.containment.tiers import expected_means, probe

    had = expected_means("auto")

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = f"the hard limit is {hard}, enough for about {hard // 4} agents"
    return [
        *({"subject": f"tier {tier.name}", "ok": tier.available, "text": tier.why} for tier in probe()),
        {"subject": "limits", "ok": all(mean.whole for mean in had.values()), "text": "; ".join(sentences(had))},
        {"subject": "open files", "ok": hard >= 4096, "text": enough},
        {"subject": "kernel", "ok": True, "text": os.uname().release},
    ]


def _running_host() -> list[dict[str, Any]]:
    from agenthost.cli.asking import client

    try:
        with client() as asked:
            name = asked.request("status")["host"]["name"]
            return [{**finding, "subject": f"host {name}, {finding['subject']}"} for finding in asked.request("doctor")]
    except NoHost as error:
        return [{"subject": "host", "ok": False, "text": str(error)}]
    except AgenthostError as error:
        return [{"subject": "host", "ok": False, "text": f"it does not say: {error}"}]


class Shell(enum.StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print a completion script for a shell.

    In bash: eval "$(agenthost completion bash)". It completes commands, options and paths of the running host.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="agenthost", complete_var="_AGENTHOST_COMPLETE", shell=shell.value))


COMMANDS = {
    "run": run,
    "check": check,
    "schema": schema,
    "doctor": doctor,
    "version": version,
    "completion": completion,
}
