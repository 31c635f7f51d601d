"""What survives: events of the core, mailboxes, turns, sessions and their logs, intents of tool calls, dead letters.

``store``    the interface: operations in batches, readers, upkeep; every failure is named there
``ops``      what can be asked for, as values; ``answers`` what becomes of it; ``values`` what is kept
``limits``   how large anything may be
``crashes``  records of what failed; ``outlook`` what will become of a receiver's mail
``export``   everything as lines of JSON
``writer``   many requesters' operations into few commits; driven by somebody's loop
``sqlite``   the store in one file of one machine
``memory``   the twin: the same answers, nothing on disk
"""
