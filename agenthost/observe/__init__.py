"""What can be seen: records of what happened, and what agents print.

``logger`` is a process of its own: it reads pipes (``source``) and writes files (``rotation``, ``names``). ``capture``
is the host's end of its link, ``words`` what passes over it. ``logs`` reads the files, without a host; ``selection``
chooses agents by path. ``record`` is the host's own log.
"""
