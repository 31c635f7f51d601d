"""Beats, tells what it hears, and says farewell with the status it is given when it hears the word it waits for.

``obedient.py STATUS WORD [CELL...]``; WORD ``now``: at once; ``never``: not at all.
"""

from __future__ import annotations

import sys

import speaking

status, awaited, *cells = sys.argv[1:]
if cells:
    speaking.say("CELLS " + " ".join(cells))
speaking.say("READY")
speaking.note(f"host {speaking.outer_pid()}")
word: str | None = "now"
while word != awaited:
    speaking.say("BEAT")
    word = speaking.heard(speaking.BEAT_S)
    if word:
        speaking.note(f"heard {word}")
speaking.say(f"BYE {status}")
