"""Those outside of the host that are killed too: ``python bystanders.py sender|reader ENDPOINT PATH FROM``.

A sender sends numbers, from FROM on, as fast as they are acknowledged, and prints each that was. A reader follows a
session, from FROM on, prints each entry as a line of JSON, and whether what it saw grow is what was stored.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from agenthost.client.client import Client
from agenthost.client.updates import Event
from agenthost.errors import AgenthostError


def say(line: Any) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")  # whole or not at all, pipe(7)


def send(endpoint: str, path: str, number: int) -> None:
    client = Client(endpoint)
    while True:
        try:
            client.send(path, number, 10, key=str(number))
        except AgenthostError:  # the host, or the journal, is gone for a moment: the same number again
            client.close()
            client = Client(endpoint)
            continue
        say(number)
        number += 1


def read(endpoint: str, path: str, after: int) -> None:
    while True:
        try:
            with Client(endpoint) as client, client.session(path, patience_s=None) as session:
                growing: dict[str, str] = {}
                for one in session.events(after, follow=True, live=True):
                    if isinstance(one, Event):
                        seen, text = growing.pop(one.part, None), one.fields.get("text")
                        say([one.seq, one.type, one.fields, one.broken, seen is None or seen == text])
                        after = one.seq
                    elif one.text is not None:
                        growing[one.part] = one.new if one.begins else growing.get(one.part, "") + one.new
        except AgenthostError:
            continue


if __name__ == "__main__":
    {"sender": send, "reader": read}[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
