"""The tiny process above the host: makes the outer wall, ends it when the host dies, starts the host again.

It decides nothing about agents and imports only ``errors`` and ``kernel``, so that it stays small and has little
that can fail. ``guard`` is the loop; ``namespace`` and ``direct`` are the two ways to start a host; ``init`` is pid 1
of the namespace; ``cells`` and ``descendants`` empty what is left. ``docs/architecture.md`` defines the link.
"""
