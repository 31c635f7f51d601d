"""Commands around a config and an installation: run, check, schema, doctor, version, completion."""

from __future__ import annotations

import enum
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agenthost.cli.showing import Format, dump, is_colourful
from agenthost.errors import AgenthostError, NoHost
from agenthost.version import PROTOCOL, VERSION

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file (YAML).", show_default=False)]

HOST = "from agenthost.host.main import main; main()"


def run(
    config: Config,
    name: Annotated[str | None, typer.Option(help="Another name for this host than the config's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
) -> None:
    """Run a tree in the foreground. Ctrl-C asks it to stop, the second hurries, the third kills; nothing is left."""
    from agenthost.config.load import load

    loaded = load(config)
    python = [sys.executable, "-P"]  # not the working folder: a file of the user's must not pass for a library
    host = [*python, "-c", HOST, str(loaded.file), "--name", name or loaded.name]
    guardian = ["-m", "agenthost.guardian", "--namespace", loaded.namespace, "--name", name or loaded.name]
    sys.stdout.flush()
    os.execv(sys.executable, [*python, *guardian, "--", *host, *(["--quiet"] if quiet else [])])


def check(config: Config) -> None:
    """Say what is wrong with a config, each problem with its line; status 78 if anything is."""
    from agenthost.config.load import load
    from agenthost.core.spec import SupervisorSpec

    loaded = load(config)

    def workers(spec: Any) -> int:
        return sum(map(workers, spec.children)) if isinstance(spec, SupervisorSpec) else 1

    print(f"{config}: good; host {loaded.name!r} with {workers(loaded.tree)} agents and programs")


def schema() -> None:
    """Print the JSON schema of the config, for editors."""
    from agenthost.config.schema import schema as make

    print(json.dumps(make(), indent=2))


def version(output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table) -> None:
    """Print the version."""
    facts = {"version": VERSION, "protocol": PROTOCOL, "python": sys.version.split()[0]}
    if output is Format.table:
        print(f"agenthost {VERSION}")
    else:
        dump(facts, output, key="version")


def doctor(output: Annotated[Format, typer.Option("-o", "--output", help="Format.")] = Format.table) -> None:
    """What this machine offers, what a running host uses of it, and what to do about the rest. Changes nothing."""
    findings = [*_machine(), *_running_host()]
    if output is not Format.table:
        dump(findings, output, items=findings, key="subject")
        return
    for finding in findings:
        mark = "yes" if finding["ok"] else "no "
        if is_colourful():
            mark = f"\033[{32 if finding['ok'] else 33}m{mark}\033[0m"
        print(f"{mark}  {finding['subject']}: {finding['text']}")


def _machine() -> list[dict[str, Any]]:
    import resource

    from agenthost.containment.tiers import probe

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = f"the hard limit is {hard}, enough for about {hard // 4} agents"
    return [
        *({"subject": f"tier {tier.name}", "ok": tier.available, "text": tier.why} for tier in probe()),
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
    """Print the shell's completion script: ``eval "$(agenthost completion bash)"``."""
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="agenthost", complete_var="_AGENTHOST_COMPLETE", shell=shell.value))


COMMANDS = {
    "run": run,
    "check": check,
    "schema": schema,
    "doctor": doctor,
    "version": version,
    "completion": completion,
}
