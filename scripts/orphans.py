"""``scripts/orphans.py``: how many awkward processes survive their supervisor, under agenthost and under its peers.

The same victim (``survivors/victim.py``) runs under circus and supervisord, which are installed into an environment of
their own, and under agenthost in each tier that this machine offers. Prints a Markdown table; with ``--write`` also
into README.md. Exit status: 0, 1 if there is a survivor that a tier of agenthost claims to catch, 2 if something could
not be counted. It leaves nothing but that environment, also after TERM and Ctrl-C; after a SIGKILL of itself, what has
survived a peer at that moment stays for a quarter of an hour, and a stopped process for good.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from survivors import circusd, peers, supervisord, table
from survivors.hosted import Hosted
from survivors.owner import Owner, ordinary_user, ourselves
from survivors.situations import Count, Row, counts
from survivors.supervisor import Supervisor
from survivors.waiting import CannotCount

from agenthost import kernel
from agenthost.version import VERSION

AGENTHOST, PEERS = "agenthost", "peers"


def main() -> int:
    wanted = _wanted()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    kernel.become_subreaper()
    began, found, whole = time.monotonic(), list[Count](), True
    try:
        rows: list[Row] = []
        if wanted.only != AGENTHOST:
            try:
                rows += peer_rows(wanted.peers)
            except peers.NoPeers as error:
                whole = False
                _say(f"no rows of peers: {error}")
        if wanted.only != PEERS:
            rows += agenthost_rows()
        for row in rows:
            for count in counts(row, wanted.patience):
                found.append(count)
                said = " ".join(count.survivors) or "nobody"
                _say(f"{time.monotonic() - began:5.0f} s  {_named(row)}, {count.situation}: {said} left")
    except CannotCount as error:
        _say(str(error))
        return 2
    except subprocess.CalledProcessError as error:  # of agenthost doctor
        _say(f"cannot count under agenthost: {error}: {error.stderr.strip()}")
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if not found:
        return 2
    print(json.dumps(table.data(found), indent=2) if wanted.json else f"{table.markdown(found)}\n\n{_machine()}")
    if wanted.write and not whole:
        _say("nothing is written: the figures of the peers are missing")
        return 2
    if wanted.write:
        table.write(f"{table.markdown(found)}\n\n{_machine()}.")
    broken = [count for count in found if count.claimed and count.survivors]
    for count in broken:
        _say(f"{_named(count.row)} claims to leave nobody, but after {count.situation}: {' '.join(count.survivors)}")
    return 1 if broken else 0


def peer_rows(folder: Path) -> Iterator[Row]:
    """With default settings, and with those that let fewer survive. ``peers.NoPeers``."""
    versions = peers.installed(folder)
    programs = folder / "bin"
    kinds = (
        (f"circus {versions['circus']}", circusd.Circus, circusd.TUNED),
        (f"supervisord {versions['supervisor']}", supervisord.Supervisord, supervisord.TUNED),
    )
    for name, kind, tuned in kinds:
        for settings in ("", tuned):
            shown = "default" if not settings else f"`{'`, `'.join(settings.replace(' ', '').split())}`"
            make = functools.partial(kind, programs=programs, settings=settings)
            yield Row(name, shown, ourselves().name, Supervisor.parts, make, sys.executable)


def agenthost_rows() -> Iterator[Row]:
    """Each tier for each owner, and last the weakest there is: no PID namespace around the host."""
    me = ourselves()
    owners = [me]
    if os.getuid() == 0:
        user, why = ordinary_user()
        owners += [user] if user else []
        if not user:
            _say(f"no rows of an ordinary user: {why}")
    for owner in owners:
        for tier, refused in owner.tiers().items():
            if refused:
                _say(f"no row of {tier} for {owner.name}: {refused}")
            else:
                yield _agenthost_row(owner, tier, namespace=True)
    yield _agenthost_row(owners[-1], "walk", namespace=False)


def _agenthost_row(owner: Owner, tier: str, *, namespace: bool) -> Row:
    settings = f"`{tier}`" if namespace else f"`{tier}`, no PID namespace around the host"
    make = functools.partial(Hosted, owner=owner, tier=tier, namespace=namespace)
    return Row(f"agenthost {VERSION}", settings, owner.name, Hosted.parts, make, owner.python, owner.uid, claims=True)


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="count what survives supervisors")
    parser.add_argument("--only", choices=[AGENTHOST, PEERS], help="count under agenthost, or under its peers, only")
    parser.add_argument("--json", action="store_true", help="print data, not a table")
    parser.add_argument("--write", action="store_true", help="write the table into README.md")
    parser.add_argument("--peers", type=Path, default=peers.default_folder(), metavar="FOLDER",
                        help="where circus and supervisord are installed (default: %(default)s)")  # fmt: skip
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS",
                        help="how long a supervisor has for cleaning up (default: %(default)g)")  # fmt: skip
    wanted = parser.parse_args()
    if wanted.write and wanted.only:
        parser.error("--write needs all rows: leave --only out")
    return wanted


def _named(row: Row) -> str:
    return f"{row.supervisor} ({row.settings}; {row.user})"


def _machine() -> str:
    return f"Linux {platform.release()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
