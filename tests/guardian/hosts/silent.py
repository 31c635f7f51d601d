"""Gets ready, then hangs as a host with a blocked loop does.

``silent.py bye``: says farewell first; ``silent.py deaf``: closes its link.
"""

from __future__ import annotations

import signal
import sys

import speaking

speaking.say("READY")
speaking.note(f"host {speaking.outer_pid()}")
if "deaf" in sys.argv:
    speaking.link.close()
if "bye" in sys.argv:
    speaking.say("BYE 5")
while True:
    signal.pause()
