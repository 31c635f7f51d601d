"""What a reader sees of a journal in memory. Nothing is copied: a list of values is one look already."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from agenthost.core.budget.amounts import Amounts
from agenthost.journal import values
from agenthost.journal.limits import ALL_BYTES, PAGE
from agenthost.journal.memory.chronology import number_of
from agenthost.journal.memory.data import Conversation, Data


class MemoryReader:
    """See ``agenthost.journal.store.Reader``."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def close(self) -> None:
        """Nothing to let go of."""

    # ---- mail

    def message(self, id: int) -> values.Mail | None:
        return self._data.mail.get(id)

    def receiver(self, id: int) -> str:
        found = self._data.mail.get(id)
        return "" if found is None else found.receiver

    def history(self, id: int) -> tuple[values.Failure, ...]:
        return tuple(self._data.failures.get(id, ()))

    def by_key(self, sender: str, key: str) -> values.Mail | None:
        number = self._data.keys.get((sender, key))
        return None if number is None else self._data.mail[number]

    def mailbox(self, receiver: str, after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        return tuple(one for one in self._data.open_mail(receiver) if one.id > after)[: _page(limit)]

    def glance(self, receiver: str, limit: int = 100) -> tuple[values.Mail, ...]:
        return tuple(replace(one, body=b"", meta=b"", outcome=b"") for one in self.mailbox(receiver, 0, limit))

    def dead_count(self, receiver: str, limit: int = 100) -> int:
        found = (one for one in self._data.mail.values() if one.status == "dead" and one.receiver == receiver)
        return min(limit, sum(1 for _ in found))

    def open_count(self, receiver: str) -> int:
        return len(self._data.boxes.get(receiver, ()))

    def mailboxes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, int], ...]:
        found = ((path, len(box)) for path, box in sorted(self._data.boxes.items()) if box and path > after)
        return tuple(found)[: _page(limit)]

    def receivers(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        ready = [path for path in sorted(self._data.boxes) if path > after and self._has_ready(path)]
        return tuple(ready[: _page(limit)])

    def held(self, path: str) -> values.Mail | None:
        return self._data.held(path)

    def overdue(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        late = [one for one in self._data.mail.values() if one.status == "leased" and one.until_ms <= now_ms]
        return tuple(sorted(late, key=lambda one: (one.until_ms, one.id))[: _page(limit)])

    def holders(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        found = {one.receiver for one in self._data.mail.values() if one.status == "leased" and one.receiver > after}
        return tuple(sorted(found)[: _page(limit)])

    def next_due_ms(self) -> int:
        return min((one.due_ms for one in self._data.mail.values() if one.due_ms), default=0)

    def dead_letters(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        dead = [one for one in self._data.mail.values() if one.status == "dead" and one.id > after]
        wanted = sorted((one for one in dead if one.receiver.startswith(prefix)), key=lambda one: one.id)
        return tuple(wanted[: _page(limit)])

    def parked(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        held = [one for one in self._data.mail.values() if one.status == "parked" and one.id > after]
        wanted = sorted((one for one in held if one.receiver.startswith(prefix)), key=lambda one: one.id)
        return tuple(wanted[: _page(limit)])

    def lapsed(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        late = [one for one in self._data.mail.values() if one.status == "parked" and 0 < one.due_ms <= now_ms]
        return tuple(sorted(late, key=lambda one: (one.due_ms, one.id))[: _page(limit)])

    def delayed(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> tuple[values.Mail, ...]:
        found = [one for one in self._data.mail.values() if one.status == "delayed" and (one.due_ms, one.id) > after]
        return tuple(sorted(found, key=lambda one: (one.due_ms, one.id))[: _page(limit)])

    def cron(self, name: str) -> values.Cron | None:
        return self._data.crons.get(name)

    def crons(self, after: str = "", limit: int = 100) -> tuple[values.Cron, ...]:
        return tuple(cron for name, cron in sorted(self._data.crons.items()) if name > after)[: _page(limit)]

    # ---- agents and sessions

    def owner(self, path: str) -> values.Incarnation | None:
        return self._data.owners.get(path)

    def sessions(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Session, ...]:
        paths = [path for path in sorted(self._data.sessions) if path > after and path.startswith(prefix)]
        return tuple(self._data.sessions[path].session for path in paths[: _page(limit)])

    def session_count(self, above: str) -> int:
        found = [path.removeprefix(above) for path in self._data.sessions if path.startswith(above)]
        return sum("/" not in name and name != "" for name in found)

    def session(self, path: str) -> values.Session | None:
        held = self._data.sessions.get(path)
        return None if held is None else held.session

    def tombstone(self, path: str) -> values.Tombstone | None:
        return self._data.tombstones.get(path)

    def state(self, path: str, checkpoint: str = "") -> values.State | None:
        held = self._data.sessions.get(path)
        if held is None:
            return None
        if not checkpoint:
            return _state(held)
        _, state, there = held.checkpoints.get(checkpoint, (0, None, False))
        return state if there else None

    def checkpoints(self, path: str) -> tuple[values.State, ...]:
        held = self._data.sessions.get(path)
        kept = sorted(held.checkpoints.values(), key=lambda one: one[0], reverse=True) if held else []
        return tuple(replace(state, state=b"") for _, state, _ in kept)

    def log(self, path: str, after: int = 0, limit: int = 100, most_bytes: int = ALL_BYTES) -> values.LogPage:
        held = self._data.sessions.get(path)
        if held is None:
            buried = self._data.tombstones.get(path)
            last_seq = buried.last_seq if buried else 0
            return values.LogPage(last_seq + 1, last_seq, ())
        wanted = [one for seq, one in sorted(held.log.items()) if seq > after][: _page(limit)]
        page = list[values.Logged]()
        for one in wanted:
            page.append(one)
            if sum(len(each.body) for each in page) > most_bytes:
                break
        return values.LogPage(held.session.first_seq, held.session.last_seq, tuple(page))

    def kept(self, after: str = "", limit: int = 100) -> tuple[values.Kept, ...]:
        return tuple(self._data.kept[path] for path in sorted(self._data.kept) if path > after)[: _page(limit)]

    def stashes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, values.Incarnation], ...]:
        found = sorted((path, one.incarnation) for path, one in self._data.stash.items() if path > after)
        return tuple(found[: _page(limit)])

    def repeats(self, path: str) -> bytes:
        return self._data.repeats.get(path, b"")

    def intents(self, path: str, message: int | None = None) -> tuple[values.Intent, ...]:
        return tuple(one for one in self._data.intents if one.path == path and message in (None, one.message))

    # ---- meters

    def used(self, path: str) -> Amounts:
        return self._data.meters.get(path, Amounts())

    def metered(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Metered, ...]:
        found = sorted(path for path in self._data.meters if path > after and path.startswith(prefix))
        return tuple(values.Metered(path, self._data.meters[path]) for path in found[: _page(limit)])

    def spending(self, path: str) -> values.Spending | None:
        return self._data.spending.get(path)

    def spent(self, message: int) -> Amounts:
        return self._data.spent.get(message, Amounts())

    def grants(self, path: str, message: int = 0) -> tuple[values.Granted, ...]:
        return tuple(one for one in self._data.grants if one.path == path and one.message in (0, message))

    def counted(self, boot: int) -> int:
        return self._data.counted.get(boot, 0)

    # ---- what failed

    def crash(self, id: int) -> values.Crash | None:
        return self._data.crashes.get(id)

    def crashes(
        self, path: str = "", before: int = 0, since_ms: int = 0, limit: int = 100, *, below: bool = True
    ) -> tuple[values.Crash, ...]:
        found = [
            replace(one, details=b"")
            for number, one in sorted(self._data.crashes.items(), reverse=True)
            if (not before or number < before)
            and one.at_ms >= since_ms
            and (not path or one.path == path or (below and one.path.startswith(f"{path}/")))
        ]
        return tuple(found[: _page(limit)])

    # ---- the core

    def boots(self) -> tuple[int, ...]:
        return tuple(sorted(boot for boot, kept in self._data.core.items() if kept))

    def core(
        self, boot: int, after: int = -1, limit: int = 100
    ) -> tuple[values.Noted | values.Snapshot | values.Gap, ...]:
        kept = [one for one in self._data.core.get(boot, ()) if number_of(one) > after]
        end = _page(limit)
        if end < len(kept) and isinstance(kept[end], values.Snapshot):
            end += 1
        return tuple(kept[:end])

    def last_snapshot(self, boot: int) -> values.Snapshot | None:
        kept = [one for one in self._data.core.get(boot, ()) if isinstance(one, values.Snapshot)]
        return kept[-1] if kept else None

    def last_number(self, boot: int) -> int:
        return self._data.last_number(boot)

    # ---- all

    def stats(self) -> values.Stats:
        dead = sum(one.status == "dead" for one in self._data.mail.values())
        opened = sum(map(len, self._data.boxes.values()))
        return values.Stats(size_of(self._data), 0, len(self._data.sessions), opened, dead)

    def export(self) -> Iterator[values.Exported]:
        data = self._data
        sessions = [data.sessions[path] for path in sorted(data.sessions)]
        lines = list[values.Exported]()
        lines += (data.mail[number] for number in sorted(data.mail))
        lines += (line for number in sorted(data.failures) for line in data.failures[number])
        lines += (data.crons[name] for name in sorted(data.crons))
        lines += (values.Owner(path, data.owners[path], data.turns.get(path, 0)) for path in sorted(data.owners))
        lines += (data.stash[path] for path in sorted(data.stash))
        lines += (held.session for held in sessions)
        lines += (state for held in sessions if (state := _state(held)))
        for held in sessions:
            lines += (one for _, one, there in sorted(held.checkpoints.values(), key=lambda kept: kept[0]) if there)
        lines += (held.log[seq] for held in sessions for seq in sorted(held.log))
        lines += data.intents
        lines += (data.tombstones[path] for path in sorted(data.tombstones))
        lines += (data.kept[path] for path in sorted(data.kept))
        lines += (values.Repeats(path, data.repeats[path]) for path in sorted(data.repeats))
        lines += (values.Metered(path, data.meters[path]) for path in sorted(data.meters))
        lines += (data.spending[path] for path in sorted(data.spending))
        lines += (values.Spent(number, data.spent[number]) for number in sorted(data.spent))
        lines += data.grants
        lines += (values.Counted(boot, data.counted[boot]) for boot in sorted(data.counted))
        lines += (data.crashes[number] for number in sorted(data.crashes))
        lines += (one for boot in sorted(data.core) for one in data.core[boot])
        return iter(lines)

    def _has_ready(self, path: str) -> bool:
        first = dict[str, values.Mail]()
        for one in sorted(self._data.open_mail(path), key=lambda one: one.place):
            if one.place:
                first.setdefault(f"s{one.session}" if one.session else f"f{one.sender}", one)
        return any(one.status == "waiting" for one in first.values())


def size_of(data: Data) -> int:
    """Bytes of what authors wrote."""
    sessions = data.sessions.values()
    return (
        sum(len(one.body) for one in data.mail.values())
        + sum(len(held.state or b"") + sum(len(one.body) for one in held.log.values()) for held in sessions)
        + sum(len(one.event) for kept in data.core.values() for one in kept if isinstance(one, values.Noted))
    )


def _state(held: Conversation) -> values.State | None:
    one = held.session
    if held.state is None:
        return None
    return values.State(one.path, held.state, one.state_version, one.last_seq, "", one.changed_ms)


def _page(limit: int) -> int:
    return max(1, min(limit, PAGE))
