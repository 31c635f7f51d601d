"""The daemon. What happened becomes an event, ``core.step`` decides, each kind of effect has one owner here.

``main``        arguments and exit statuses            ``host``       the composition, start and end
``decider``     events in, effects to their owners     ``timers``     SetTimer, CancelTimer
``processes``   Birth, Ask, Terminate, Kill            ``incarnation``  what is known of one run of an agent
``dialogs``     what agents say, and DOWN              ``lookups``    who may speak to whom, and where
``readiness``   when a program can work                ``outputs``    where stdout and stderr go
``system``      the host's own processes               ``operators``  what clients may ask
``status``      the tree as plain data                 ``chronicle``  records: ring, followers, terminal
``guard``       the link to the guardian               ``home``       lock, boot number, sweep
"""
