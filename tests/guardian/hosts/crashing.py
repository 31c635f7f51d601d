"""Gets ready and ends without a farewell."""

from __future__ import annotations

import sys

import speaking

speaking.say("READY")
speaking.note(f"host {speaking.outer_pid()}")
sys.exit(3)
