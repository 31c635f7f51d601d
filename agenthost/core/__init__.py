"""What is decided. ``step(state, event, now) -> effects`` reaches no clock, no socket, no file, no chance.

``spec`` and ``birth`` are what is wanted, ``reason`` is why something ended, ``events`` go in, ``effects`` come out.
``life`` is the table of a worker; ``strategy``, ``intensity``, ``backoff`` are one rule each; ``worker`` and
``supervisor`` compose them over the nodes of ``tree``; ``commands`` are the operator's; ``step`` is the door, ``view``
the window. ``rules`` are named where they decide; ``written`` makes bytes of events, ``replay`` decides them again.
"""
