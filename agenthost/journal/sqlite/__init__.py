"""A journal in one SQLite file: WAL, one writer connection, readers of their own.

``store`` and ``reading`` keep the two interfaces of ``agenthost.journal.store``; ``mail``, ``turns``, ``sessions`` and
``chronology`` carry out one kind of operation each; ``boxes`` is what the one writer remembers of the database.
Statements stand by name in ``sql/``, the schema and its changes in ``migrations/``, numbered.

Only the writer's connection ever moves pages from the WAL into the database: two connections that do so at once lost
pages in every SQLite from 3.7.0 to 3.51.2 (the "WAL-reset bug").
"""
