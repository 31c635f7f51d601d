"""What becomes of work that failed (DESIGN section 8). Pure: no clock, no chance, no file.

*Restart* asks whether a process comes back; that is the rest of ``core`` and OTP's. *Remedy* asks what becomes of the
message whose turn failed. The two are decided apart, and meet only in what is recorded.

``failure``       what failed
``fingerprint``   which failures are the same
``rungs``         what can be done about one
``ladder``        in which order, and what comes next
"""
