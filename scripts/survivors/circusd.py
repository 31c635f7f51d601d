"""The victim under circus."""

from __future__ import annotations

import shlex
from pathlib import Path

from survivors.supervisor import Supervisor

TUNED = "stop_children = True\n"
"""circus signals the victim, then its children one by one, and those it finds no more once the victim has ended: how
many survive a stop is chance, 4 or 5. ``stop_signal = KILL`` lets no fewer survive."""


class Circus(Supervisor):
    def __init__(self, folder: Path, run: str, victim: list[str], programs: Path, settings: str) -> None:
        """``programs``: the folder of circusd; ``settings``: lines for the section of the victim."""
        super().__init__(folder, run, victim)
        self._programs, self._settings = programs, settings
        self._endpoint = f"ipc://{folder}/control"

    def command(self) -> list[str]:
        config = self.folder / "circus.ini"
        config.write_text(
            f"[circus]\nendpoint = {self._endpoint}\npubsub_endpoint = ipc://{self.folder}/events\n"
            f"[watcher:victim]\ncmd = {shlex.join(self.victim)}\n{self._settings}"
        )
        return [str(self._programs / "circusd"), str(config)]

    def stop_victim(self) -> None:
        self.run_command(str(self._programs / "circusctl"), "--endpoint", self._endpoint, "stop", "victim", "--waiting")
