"""What agents may use, and what becomes of it when they have. Pure: no clock, no file.

``amounts``   what is metered, and how people read it
``budget``    what the config says
``prices``    what tokens of a model cost
``scope``     what a bound holds for: a turn, a session, an agent, everything below a supervisor
``crossing``  whether a bound is reached, and what follows
"""
