"""``python -m agenthost.cli`` is ``agenthost``."""

from agenthost.cli.main import main

main()
