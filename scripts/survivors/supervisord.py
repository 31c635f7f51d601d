"""The victim under supervisord."""

from __future__ import annotations

import shlex
from pathlib import Path

from survivors.supervisor import Supervisor

TUNED = "stopsignal = KILL\nstopasgroup = true\nkillasgroup = true\n"
"""With TERM, its default, the victim ends, and its group is sent no KILL: the deaf one would be left as well."""


class Supervisord(Supervisor):
    def __init__(self, folder: Path, run: str, victim: list[str], programs: Path, settings: str) -> None:
        """``programs``: the folder of supervisord; ``settings``: lines for the section of the victim."""
        super().__init__(folder, run, victim)
        self._programs, self._settings = programs, settings
        self._config = folder / "supervisord.conf"

    def command(self) -> list[str]:
        socket = self.folder / "control"
        victim = shlex.join(self.victim).replace("%", "%%")
        self._config.write_text(
            f"[supervisord]\nnodaemon = true\nlogfile = {self.folder}/log\npidfile = {self.folder}/pid\n"
            f"childlogdir = {self.folder}\n"
            f"[unix_http_server]\nfile = {socket}\n[supervisorctl]\nserverurl = unix://{socket}\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:victim]\ncommand = {victim}\n{self._settings}"
        )
        return [str(self._programs / "supervisord"), "-c", str(self._config)]

    def stop_victim(self) -> None:
        self.run_command(str(self._programs / "supervisorctl"), "-c", str(self._config), "stop", "victim")
