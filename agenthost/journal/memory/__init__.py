"""The twin: a journal in memory, for tests and simulations. It gives the answers that SQLite gives, by simpler means.

It shares nothing with ``agenthost.journal.sqlite`` but the limits, so that each is the other's check. What it keeps is
gone with its process. Looking through a mailbox takes as long as the mailbox is long.
"""
