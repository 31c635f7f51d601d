"""The rules that decide, by name: each effect of a move carries the name of the one that made it (``Turn.because``).

Letters and numbers are those of OTP's supervisor as docs/otp.md tests it (S start and stop, R restart, T strategy, I
intensity, A significant children, U change in place), D what deviates from it (docs/decisions.md), H what is the
host's own. The rule it keeps: what the core decides by has a line here, and what has a line here is decided by.
"""

from __future__ import annotations

Rule = str
"""A key of ``RULES``."""

RULES: dict[Rule, str] = {
    "S1": "children start one after another, in order; the next one when the one before is ready",
    "S2": "a child that does not come up while its supervisor starts ends that start; what was up is stopped",
    "S3": "one that says there is nothing to do has no process and is no failure",
    "S4": "children are stopped one after another, in reverse order",
    "S5": "members of a pool are stopped all at once",
    "S6": "who is asked to end has its grace; TERM comes after two fifths of it, KILL after all of it",
    "S7": "without a grace nobody is asked: KILL at once",
    "S10": "who ends by itself while it is about to be stopped does not disturb that",
    "R1": "a permanent child is restarted, whatever it ended of",
    "R2": "a transient child is restarted unless it ended well",
    "R3": "a temporary child is never restarted, and nothing of it is kept",
    "R4": "a transient child that ended well stays down until somebody starts it",
    "R7": "what an operator wants of a child counts as no restart, and touches no sibling",
    "R9": "a restart that fails counts as another death, and is tried again",
    "T1": "one_for_one: only the child that failed is started again",
    "T2": "one_for_all: the others are stopped in reverse order, then all are started in order",
    "T3": "rest_for_one: later siblings are stopped in reverse order, then it and they are started in order",
    "T7": "a member of a pool that is not restarted leaves nothing",
    "I1": "more restarts than the intensity within the period are not borne",
    "I3": "a supervisor that gives up stops its children in reverse order, and then ends",
    "A3": "a significant child has ended for good: its supervisor stops",
    "A4": "the last significant child has ended for good: its supervisor stops",
    "U1": "what does not need a new process changes in place",
    "D1": "a restart waits: at once the first time, then longer and longer, with chance in it",
    "D3": "to give up is a reason of its own, which the supervisor above counts like a crash",
    "D6": "a child of run time that persists comes back with its supervisor, and with the next host",
    "D10": "a child with an intensity of its own is given up alone",
    "D11": "a reload starts what is new first; if any of that fails, the old state stands",
    "D12": "a module that does not import is its agent's trouble alone",
    "D13": "a start by hand that fails is an error to whoever asked, and is tried again",
    "H1": "when the main process is gone, what it left in its cell is killed",
    "H2": "an agent has ended when its cell is empty, and not before; only then is decided what follows",
    "H3": "who is not ready within its start_timeout is killed",
    "H4": "a cell that is not empty 10 s after KILL is stuck: KILL again, and no start before it is empty",
    "H5": "who is found silent, unhealthy or out of bounds is ended",
    "H6": "an operator's command is recorded with who gave it, and answered once",
    "H7": "a turn is interrupted first; only who does not come back within turn.interrupt is ended",
    "H8": "who stands still hears nothing, and no deadline passes for it",
    "H9": "one that sleeps begins anew when somebody wants something of it; members of a pool are made when they are",
    "H10": "an agent with nothing to do may end its process and stay an agent; nothing is counted",
    "H11": "the host ends: everything is stopped, and nothing starts any more",
    "H12": "a pool with bounded room lets who was idle longest sleep for the next",
    "H13": "an agent has ended when the children that it has started have; they end with it",
    "H14": "ready is told once, and whoever waits for that goes on",
    "H15": "a child that is added must come up, else nothing of it is kept",
    "H16": "only what has no process can be deleted",
}
