"""What ``scripts/orphans.py`` is made of: the victim, who counts its survivors, and the supervisors it runs under."""
