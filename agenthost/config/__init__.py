"""``config.yaml`` to specs: ``load(path)`` gives a ``HostConfig``, or every problem of the file at once.

``document`` reads YAML with places, ``kinds`` and ``process_kinds`` are what values can be, ``sections`` are maps with
known keys, ``keys`` is the table of all of them. ``build`` makes specs of what was read. ``schema`` and ``reference``
are generated from the table. Nothing here imports an author's code.
"""
