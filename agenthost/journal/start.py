"""What the host spawns as its journal. The host itself imports nothing of the database: that is for the new process."""

from __future__ import annotations

import socket
from typing import Literal


def start(
    link: socket.socket, doors: socket.socket, database: str, boot: int, durability: Literal["process", "power"]
) -> None:
    from agenthost.journal.process import main

    main(link, doors, database, boot, durability)
