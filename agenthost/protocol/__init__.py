"""What is said: every message of agenthost, defined once. Pure. ``SPEC.md`` beside this file is the same in prose.

``control``   agents and clients with the host, relayed by the router (DEALER - ROUTER)
``data``      one agent or client with another, directly (DEALER - ROUTER)
``birth``     the host with a process it started, over the inherited socket pair
``codec``     bytes to messages and back; bodies are msgpack and opaque to the host
"""
