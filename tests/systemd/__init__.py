"""agenthost under a real systemd: a Debian that these tests build and boot themselves, in qemu without KVM.

``image`` builds the file system, once for each digest of what goes into it; ``machine`` boots it and takes in what it
reports; ``inside`` is what runs in it. Slow: ``make test-all`` has it, after ``scripts/setup.sh systemd``.
"""
