"""The daemon. What happened becomes an event, ``core.step`` decides, each kind of effect has one owner here.

==============  ==================================================================================
``main``        arguments and exit statuses
``host``        the composition, start and end
``home``        the lock of the state folder, the boot number
``guard``       the link to the guardian
``decider``     events in, effects to their owners
``timers``      owner of SetTimer and CancelTimer
``processes``   owner of Birth, Ask, Terminate and Kill; ``ordering`` makes the launcher's orders,
                ``hearing`` reads birth sockets, ``sweeping`` empties cells, ``readiness`` checks
                programs, ``incarnation`` is what is known of one run of an agent
``outputs``     where stdout and stderr go
``dialogs``     what agents say; ``lookups`` who may speak to whom, ``repeating`` what must arrive,
                ``doubting`` whether who is silent still runs
``operators``   what clients may ask; ``following`` requests that go on, ``reloading`` the config
                read again, ``status`` the tree as data, ``portrait`` the host itself
``system``      the host's own processes: router and logger
``recording``   what failed, for the journal's record of it; ``explaining`` all that is known of a path
``chronicle``   records and who follows them; ``terminal`` and ``narration`` show them
==============  ==================================================================================
"""
