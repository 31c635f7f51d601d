"""Says what no host should say, then says farewell with status 3."""

from __future__ import annotations

import os

import speaking

for garbage in (b"", b"\0\xff", b" ", b"beat", b"BYE", b"BYE x", b"BYE -1", b"BYE 256", b"BYE 1 2", b"BYE \xc2\xb2"):
    speaking.link.send(garbage)
speaking.link.send(b"CELLS relative /home/../etc /tmp /nowhere/at/all")
speaking.link.send(b"x" * 100_000)
for _ in range(200):
    speaking.link.send(os.urandom(50))
speaking.note(f"host {speaking.outer_pid()}")
speaking.say("READY")
speaking.say("BYE 3")
