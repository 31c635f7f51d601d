"""The bare mechanism that calls are measured against: DEALER and ROUTER over ipc, blocking, in two processes.

``raw_calls.py FOLDER TASKS calls N`` prints microseconds of N round trips of 100 bytes, as JSON; ``raw_calls.py FOLDER
TASKS batches N EACH`` the calls a second with EACH of them under way at once, id and body packed with msgpack on both
sides. TASKS: a file of the cgroup to join, to have the cpu weight that agents have, or nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import msgpack
import zmq

BODY = b"x" * 100


def main() -> None:
    folder, tasks, what, *numbers = sys.argv[1:]
    if tasks:
        with open(tasks, "w", encoding="ascii") as file:
            file.write("0")
    endpoint, parent = f"ipc://{folder}/raw-{os.getpid()}", os.getpid()
    server = os.fork()
    if server == 0:
        serve(endpoint, packed=what == "batches")
        os._exit(0)
    try:
        dealer = zmq.Context().socket(zmq.DEALER)
        dealer.setsockopt(zmq.RCVTIMEO, 30_000)
        dealer.connect(endpoint)
        print(json.dumps(calls(dealer, *map(int, numbers)) if what == "calls" else batches(dealer, *map(int, numbers))))
        sys.stdout.flush()
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.unlink(endpoint.removeprefix("ipc://"))
        assert os.getpid() == parent
        os._exit(0)


def serve(endpoint: str, *, packed: bool) -> None:
    router = zmq.Context().socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 100_000)
    router.setsockopt(zmq.RCVHWM, 100_000)
    router.bind(endpoint)
    while True:
        peer, frame = router.recv_multipart()
        if packed:
            number, body = msgpack.unpackb(frame)
            frame = msgpack.packb([number, body])
        router.send_multipart([peer, frame])


def calls(dealer: zmq.Socket[bytes], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        dealer.send(BODY)
        dealer.recv()
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


def batches(dealer: zmq.Socket[bytes], count: int, each: int) -> float:
    began = 0.0
    for at in range(count + 1):
        if at == 1:  # the first one made the connection
            began = time.perf_counter()
        for number in range(each):
            dealer.send(msgpack.packb([number, BODY]))
        for _ in range(each):
            msgpack.unpackb(dealer.recv())
    return count * each / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
