"""The table of keys: every key of ``config.yaml`` with its kind, default and meaning. Nothing else defines them.

The loader reads by it, the JSON schema (``schema.py``) and ``docs/config.md`` (``reference.py``) are generated from it.
"""

from __future__ import annotations

import signal
from dataclasses import replace

from agenthost.config import kinds
from agenthost.config.answer_kinds import JUDGE, LOOPS, JudgeKind, LoopsKind, SchemaKind
from agenthost.config.budget_kinds import BUDGET, PRICES, TREE_BUDGET
from agenthost.config.budget_kinds import SECTIONS as BUDGET_SECTIONS
from agenthost.config.cron_kinds import CRON, Crons
from agenthost.config.kinds import Duration, Flag, ListOf, Share, Size, Text, Whole, Word, Yes
from agenthost.config.private_kinds import ENV_FILE, SECRET, EnvFiles, Secrets
from agenthost.config.process_kinds import USER, Command, Environment, Plain, check_regex, check_url
from agenthost.config.recovery_kinds import ASK, LADDER, RETRY, SPAN, Recovery
from agenthost.config.sections import Children, Key, Section, Sub, Template

_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "PWR", "ABRT")
STOP_SIGNALS = {name: int(signal.Signals[f"SIG{name}"]) for name in _SIGNALS}
STOP_SIGNALS |= {f"SIG{name}": number for name, number in STOP_SIGNALS.items()}

AGENT = Text(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}|[^\u0000:]+:[A-Za-z_][A-Za-z0-9_]*",
    "agent",
    "it is no agent",
    "write a short name, module:Class, or path/file.py:Class",
)
_PORT = "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}"

BACKOFF = Section(
    "backoff",
    "Waiting before a restart. The first restart after a calm spell is immediate.",
    (
        Key("initial", Duration(), "The first delay.", "250ms"),
        Key(
            "factor", Share("a number from 1 to 100", 1.0, 100.0), "Each delay is this many times the one before.", "2"
        ),
        Key("max", Duration(), "No delay is longer.", "30s"),
        Key(
            "jitter",
            Share("a number from 0 to 1", 0.0, 1.0),
            "Up to this share of the delay is added at random.",
            "0.2",
        ),
        Key("calm", Duration(), "A child that was ready this long starts again at the bottom.", "10s"),
    ),
    word="none",
)

READY = Section(
    "ready",
    "When a program can work. Without it: as soon as it runs.",
    (
        Key(
            "http",
            Text(r"http://[^\s/?#\u0000][^\s\u0000]*", "URL", "it is no http:// URL", "", check_url, expands=True),
            "A URL that answers with a status below 400. `${NAME}` and `${NAME:-default}` are filled in.",
        ),
        Key(
            "tcp",
            Text(
                rf"[^\s:\u0000]+:(?:{_PORT})|\[[0-9A-Fa-f:.]+\]:(?:{_PORT})",
                "host:port",
                "it is no host:port",
                "write it like 127.0.0.1:8080",
                expands=True,
            ),
            "`host:port` that accepts a connection. `${NAME}` and `${NAME:-default}` are filled in.",
        ),
        Key(
            "line",
            Text(r"[^\u0000]+", "regular expression", "cannot be empty", "", check_regex),
            "A regular expression that a line of its output matches somewhere.",
        ),
        Key(
            "notify",
            Yes(),
            "It says `READY=1` to the socket that `NOTIFY_SOCKET` names, as a service of systemd does (sd_notify(3)).",
        ),
        Key(
            "fd",
            Whole(3, 255),
            "The number of a descriptor that it inherits, and to which it writes a line end when it is ready, as s6 "
            "wants it.",
        ),
        Key("interval", Duration(), "How often `http` and `tcp` are tried.", "100ms"),
        Key("timeout", Duration(), "As `start_timeout`; say it in one place.", "30s"),
    ),
    one_of=("http", "tcp", "line", "notify", "fd"),
)

LIVENESS = Section(
    "liveness",
    "What must go on while it is ready; failing too often ends the incarnation, as a stop would.",
    (
        *(key for key in READY.keys if key.name in ("http", "tcp")),
        Key("command", Command(), "A program that ends with status 0. It runs in the agent's cell and environment."),
        Key(
            "notify",
            Yes(),
            "It says `WATCHDOG=1` to the socket that `NOTIFY_SOCKET` names, at least once every `interval`, which it "
            "finds in `WATCHDOG_USEC` (sd_watchdog_enabled(3)).",
        ),
        Key("interval", Duration(), "From one check to the next.", "10s"),
        Key("timeout", Duration(), "How long one may take; with `notify`, how late a sign of life may be.", "5s"),
        Key("failures", Whole(1, 1000), "So many in a row end it.", "3"),
    ),
    one_of=("http", "tcp", "command", "notify"),
)

LOG = Section(
    "log",
    "What is kept of its output. `none`: nothing.",
    (
        Key("max_size", Size(), "A file that is longer is put aside, and a new one begun.", "10MiB"),
        Key("keep", Whole(1, 10), "Files kept, the newest included.", "3"),
        Key("stdout", Word(("keep", "discard")), "`discard`: it goes nowhere.", "keep"),
        Key("stderr", Word(("keep", "discard")), "The same of its error output.", "keep"),
    ),
    word="none",
)

TURN = Section(
    "turn",
    "Bounds of a turn of an agent.",
    (
        Key("timeout", Duration(), "A turn that takes longer is interrupted.", "no limit"),
        Key(
            "progress",
            Duration(),
            "A turn that has not got on for this long is interrupted: it tells nothing, no call is answered, no tool "
            "prints, starts or ends, and `ctx.progress()` is not called.",
            "no limit",
        ),
        Key(
            "silence",
            Duration(),
            "A turn without a sign of life for this long ends the incarnation: its interpreter does not run.",
            "`progress`, else 60s",
        ),
        Key(
            "interrupt",
            Duration(),
            "How long an agent may take to come back from a turn that was interrupted; then the incarnation is ended.",
            "5s",
        ),
        Key(
            "reap",
            Flag(),
            "Whether the host kills what a turn has left behind in the agent's cell before its reply leaves: all but "
            "the agent itself and its children.",
            "false",
        ),
    ),
)

MAIL = Section(
    "mail",
    "How durable mail for an agent is treated.",
    (
        Key("attempts", Whole(1, 1_000_000), "Turns of a message that may fail until it is a dead letter.", "3"),
        Key("initial", Duration(), "The pause after the first; each is twice as long as the one before.", "1s"),
        Key("max", Duration(), "No pause is longer.", "60s"),
        Key("limit", Whole(1, 1_000_000), "Messages that may wait in its mailbox.", "1000000"),
        Key(
            "when_full",
            Word(("refuse", "drop_oldest", "spill")),
            "What becomes of one more: its sender is told, the oldest is dropped, or it is kept all the same.",
            "refuse",
        ),
    ),
)

LIMITS = Section(
    "limits",
    "What an incarnation and all it starts may use.",
    (
        Key("memory", Size(), "Memory of all its processes together; more ends it.", "no limit"),
        Key("cpu", Share("a number of cores above 0, such as 0.5", 0.0, 4096.0, above=True), "Cores.", "no limit"),
        Key("processes", Whole(1), "Processes and threads at a time.", "no limit"),
        Key("open_files", Whole(8), "Open descriptors of each process.", "the host's own"),
        Key("file_size", Size(), "The largest file that it can write.", "no limit"),
        Key(
            "cpu_weight",
            Whole(1, 10_000),
            "Its share beside its siblings while all want more than there is: with 200 twice as much as with 100.",
            "100",
        ),
        Key(
            "strict",
            Flag(),
            "Whether a limit that cannot be held here as it is meant is an error. It is a warning otherwise.",
            "false",
        ),
    ),
)
_OF_ONE = ("cpu_weight", "strict")
SUMS = replace(
    LIMITS,
    name="sums",
    title="What the limits of several may add up to.",
    keys=tuple(key for key in LIMITS.keys if key.name not in _OF_ONE),
)

MAY = Section(
    "may",
    "What an agent may start at run time, as `ctx.start` and `ctx.scope` do.",
    (
        Key(
            "start",
            ListOf(Text(r"[^\u0000]+", "pattern"), "list of patterns"),
            "Globs, of which one must match: the agent (short name, `module:Class` or `path/file.py:Class`, the path "
            "relative to the folder of the config or absolute), the program of a command, or `function` for code "
            "that is sent. `*` stands for `/`, too. A program with `/` is its path without `.` and `..`, one without "
            "is that word; where the child sets another `PATH`, the path of what is found there.",
            '["*"]',
        ),
        Key("children", Whole(0), "Children at one time, with all that they start themselves.", "100"),
        Key("depth", Whole(0, 32), "1: its children may start none. A supervisor that it starts is a level too.", "3"),
        Key("limits", SUMS, "What the limits of all of them may add up to; each must then have that limit.", "none"),
    ),
)

RESTART = Key(
    "restart",
    Word(("permanent", "transient", "temporary")),
    "When it is started again: always, after a bad end only, or never.",
    "permanent",
)
NAME = Key("name", kinds.NAME, "The last part of its path. Unique among its siblings.", required=True)
BACKOFF_KEY = Key("backoff", BACKOFF, "Waiting before it is restarted.", "as below; `none` under `otp_strict`")

SIGNIFICANT = Key(
    "significant",
    Flag(),
    "Whether its supervisor stops itself when this child has ended for good, as `auto_shutdown` says. Not for a "
    "permanent child: it never does.",
    "false",
)

_STRATEGY = Key(
    "strategy",
    Word(("one_for_one", "one_for_all", "rest_for_one")),
    "Which siblings are restarted with a child that failed: none, all, those that stand after it.",
    "one_for_one",
)
_BOUNDS = (
    Key(
        "intensity",
        Whole(0),
        "So many restarts within `period` are borne; one more ends it.",
        "5; 1 under `otp_strict`",
    ),
    Key("period", Duration(), "The window that `intensity` counts in.", "30s; 5s under `otp_strict`"),
    Key(
        "otp_strict",
        Flag(),
        "Erlang's defaults and rules, without agenthost's deviations.",
        "as the supervisor above it",
    ),
)
_AUTO_SHUTDOWN = Key(
    "auto_shutdown",
    Word(("never", "any_significant", "all_significant")),
    "Whether it stops itself when one significant child has ended for good, or when the last of them has.",
    "never",
)
_CHILDREN = Key("children", Children(), "Its workers and supervisors, in the order they are started.", required=True)
_TREE_BUDGET_KEY = Key("budget", TREE_BUDGET, "What all below it may use together.", "no limit")
_RULES = (_STRATEGY, *_BOUNDS, _AUTO_SHUTDOWN, _CHILDREN, _TREE_BUDGET_KEY)
TREE = Section("tree", "The supervisor at the top, `/`.", _RULES)
SUPERVISOR = Section(
    "supervisor",
    "A supervisor inside the tree: it has `children`.",
    (NAME, *_RULES, RESTART, BACKOFF_KEY, SIGNIFICANT),
)
POOL = Section(
    "pool",
    "A supervisor that begins empty: its members, all alike, are started at run time, and stopped all at once.",
    (
        NAME,
        Key("pool", Template(), "What a member is: a worker, or a whole supervisor.", required=True),
        Key(
            "live",
            Whole(1),
            "So many members run at a time; the one that was used longest ago sleeps for the next. For agents alone.",
            "no limit",
        ),
        *_BOUNDS,
        RESTART,
        BACKOFF_KEY,
        SIGNIFICANT,
        _TREE_BUDGET_KEY,
    ),
)

_WORKER = (
    RESTART,
    SIGNIFICANT,
    Key(
        "intensity",
        Whole(0),
        "So many restarts within `period` are borne; one more sets it aside, and it alone. Its restarts are then not "
        "its supervisor's. Not under `otp_strict`.",
        "its supervisor counts",
    ),
    Key("period", Duration(), "The window that `intensity` counts in.", "30s"),
    Key(
        "shutdown",
        Duration(positive=False, others=("kill", "infinity")),
        "How long it may take to end after it was asked; then it is killed. `kill` does not ask, `infinity` waits.",
        "5s",
    ),
    Key(
        "start_timeout",
        Duration(others=("infinity",)),
        "How long it may take to get ready.",
        "30s; infinity under `otp_strict`",
    ),
    BACKOFF_KEY,
    Key("limits", LIMITS, "What it may use.", "no limits"),
    Key("env", Environment(), "Added to the host's environment. `${NAME}` and `${NAME:-default}` are replaced."),
    Key(
        "env_file",
        EnvFiles(),
        "Files of `NAME=VALUE` lines, read anew at every start. A later file counts more than an earlier, `env` most.",
    ),
    Key("secrets", Secrets(), "Variables of which only this process gets the values."),
    Key("cwd", Text(), "The folder it runs in, relative to the folder of the config.", "the config's folder"),
    Key(
        "user",
        USER,
        "Whom it runs as, with that user's groups. Another user than the host's own takes a host that is root.",
        "the host's own",
    ),
    Key("liveness", LIVENESS, "What must go on while it is ready.", "that it runs"),
    Key("log", LOG, "What is kept of its output.", "as below"),
    Key(
        "no_new_privs",
        Flag(),
        "Whether set-uid programs and file capabilities give nobody in it more rights (PR_SET_NO_NEW_PRIVS).",
        "true",
    ),
)
_COMMAND = Key("command", Command(), "A program and its arguments.", required=True)
_PROTOCOL = Word(("none", "lines"))
_PROTOCOL_KEY = Key(
    "protocol",
    _PROTOCOL,
    "`none`: it is run, and that is all. `lines`: an agent whose messages are lines of JSON on its stdin and stdout.",
    "none",
)
_TURN_KEY = Key("turn", TURN, "Bounds of its turns.")
_MAIL_KEY = Key("mail", MAIL, "How its durable mail is treated.", "as below")
_RECOVERY_KEY = Key(
    "recovery",
    Recovery(),
    "What is done about durable mail whose turn failed, rung by rung. `mail.attempts` is then 20 if it is not said.",
    "retry, then dead_letter, as `mail` says",
)
_ANSWER_KEYS = (
    Key("schema", SchemaKind(), "What its answers must be like; others are rejected.", "anything"),
    Key("judge", JudgeKind(), "Who is asked whether an answer is good.", "nobody"),
    Key("loops", LoopsKind(), "How often a turn may repeat itself.", "as below"),
)
_BUDGET_KEY = Key("budget", BUDGET, "What it may use.", "no limit")
_CRON_KEY = Key("cron", Crons(), "Messages that are sent to it again and again.", "none")
_HIBERNATE_KEY = Key(
    "hibernate_after",
    Duration(),
    "With nothing to do for so long its process ends. Mail, a call, or a message that is due starts it again.",
    "never",
)
_GROUP_KEY = Key("group", kinds.NAME, "Whom it is found among, by `ctx.group`.", "none")

AGENT_WORKER = Section(
    "agent",
    "A worker that is a Python agent.",
    (
        NAME,
        Key(
            "agent",
            AGENT,
            "The class: the short name of an installed agent, `module:Class`, or `path/file.py:Class`, both looked "
            "for in the folder of the config.",
            required=True,
        ),
        Key("args", Plain(), "Keyword arguments for it.", "{}"),
        *_WORKER,
        _TURN_KEY,
        _MAIL_KEY,
        _RECOVERY_KEY,
        *_ANSWER_KEYS,
        _BUDGET_KEY,
        _CRON_KEY,
        _HIBERNATE_KEY,
        _GROUP_KEY,
        Key("may", MAY, "What it may start itself.", "as below"),
    ),
)
LINES_WORKER = Section(
    "lines",
    "A worker that is a program which speaks `protocol: lines`.",
    (
        *(NAME, _COMMAND, _PROTOCOL_KEY, *_WORKER, _TURN_KEY, _MAIL_KEY, _RECOVERY_KEY),
        *(*_ANSWER_KEYS, _BUDGET_KEY, _CRON_KEY, _GROUP_KEY),
    ),
)
PROGRAM_WORKER = Section(
    "program",
    "A worker that is any other program.",
    (
        NAME,
        _COMMAND,
        _PROTOCOL_KEY,
        *_WORKER,
        Key("ready", READY, "When it can work.", "as soon as it runs"),
        Key("stop_signal", Word(tuple(STOP_SIGNALS)), "The signal that asks it to end.", "TERM"),
        Key("pty", Flag(), "Whether its standard streams are a terminal; what it writes there is its stdout.", "false"),
    ),
)

HOST = Section(
    "host",
    "The file.",
    (
        Key("agenthost", Whole(1, 1), "The version of this format: `agenthost: 1`.", required=True),
        Key(
            "name", kinds.NAME, "The host's name; its runtime and state folders are named after it.", "the file's name"
        ),
        Key("tree", Sub("tree"), "What is run.", required=True),
        Key(
            "containment",
            Word(("auto", "cgroup", "pidns", "walk")),
            "What holds the processes of an agent together. `auto` takes the strongest that this machine offers.",
            "auto",
        ),
        Key(
            "namespace",
            Word(("auto", "never", "require")),
            "Whether the host has a PID namespace of its own, so that nothing can survive it.",
            "auto",
        ),
        Key(
            "operators",
            ListOf(USER, "list of uids and user names"),
            "Who may control the host, besides root and the user it runs as.",
            "[]",
        ),
        Key(
            "strays",
            Word(("end", "report")),
            "What becomes of processes that an earlier host left behind: ended at start, or only reported.",
            "end",
        ),
        Key(
            "durability",
            Word(("process", "power")),
            "What durable mail and state survive: the death of any process, or that of the machine too. `power` waits "
            "for the disk at each commit.",
            "process",
        ),
        Key("prices", PRICES, "What tokens cost.", "nothing"),
    ),
)

WORKERS = (AGENT_WORKER, PROGRAM_WORKER, LINES_WORKER)
CHILDREN = (SUPERVISOR, POOL, *WORKERS)
SECTIONS = (
    *(HOST, TREE, *CHILDREN, BACKOFF, READY, LIVENESS, LOG, ENV_FILE, SECRET),
    *(TURN, MAIL, LADDER, RETRY, SPAN, ASK, JUDGE, LOOPS, CRON, LIMITS, MAY, SUMS),
    *BUDGET_SECTIONS,
)

PERSIST = Key(
    "persist",
    Flag(),
    "Whether it is started again with its supervisor, and by the next host. One that has ended for good is not.",
    "false",
)
"""Of what is started at run time; what stands in the config is there in any case."""

NOT_OF_MEMBERS = (NAME.name, SIGNIFICANT.name)
_STANDING = (*NOT_OF_MEMBERS, _CRON_KEY.name)
"""Of what stands in the config itself."""


def _without(section: Section, of: str, words: str) -> Section:
    without = (*_STANDING, _HIBERNATE_KEY.name) if of == "begun" else _STANDING
    kept = tuple(key for key in section.keys if key.name not in without)
    return replace(section, name=f"{section.name}_{of}", title=f"{section.title} {words}", keys=(*kept, PERSIST))


MEMBERS = {section.name: _without(section, "member", "A member of a pool.") for section in CHILDREN}
"""By the name of the same form as a child: what stands in a pool's ``pool``."""

BEGUN = {
    section.name: _without(section, "begun", "Started by an agent.") for section in CHILDREN if section is not POOL
}
"""The same of what an agent starts at run time; its name stands beside it."""
