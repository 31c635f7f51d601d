"""Bounds that both ends of a wire keep; ``SPEC.md`` lists them. Units stand at the end of the names."""

PEER_MESSAGE_BYTES = 256 * 1024
"""The longest message a peer may send over the control plane; a longer one ends its connection."""

HOST_MESSAGE_BYTES = 16 * 1024 * 1024
"""The longest message the host sends; a longer result is a stream of Responses."""

CONTROL_FRAMES = 1
"""A control message is one ZeroMQ frame. More than this is garbled."""

CONNECTIONS_PER_PROCESS = 16
CONNECTIONS_PER_OUTSIDE_UID = 512
"""Of the control plane. Processes outside the host's PID namespace cannot be told apart, so they share."""

MESSAGES_PER_S = 2000.0
BURST_MESSAGES = 500.0
MESSAGE_COST_BYTES = 4096
"""What a process may say on the control plane; a message costs one, and one more for each so many bytes."""

ROUTING_ID_BYTES = 16
"""Random, chosen anew by each DEALER: whoever knew it could take over the peer's answers."""

RESEND_AFTER_S = (0.25, 0.5, 1.0)
"""Pauses before a message that must be answered is sent again; the last one repeats."""

SOCKET_PATH_BYTES = 107
"""``sun_path`` of unix(7) without its closing zero."""
