"""The command line: a command is a call to the host and a print. Nothing is decided here.

``main`` is the table of commands; ``asking`` reaches the host; ``showing`` prints. Imports are late: whoever asks for
``version`` does not load ZeroMQ.
"""
