"""What agenthost knows of systemd on paper: the text of a unit. What a running one hears is ``guardian.notify``."""
