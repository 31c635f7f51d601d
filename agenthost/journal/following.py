"""Sessions as readers follow them: entries from the store, parts as they grow, who else is there. No sockets in here.

For each reader of a session is noted how far he has got: the last entry that he was told, and of each open part the
last character. What he lacks is said while he has room for more, and never before. So a reader who is slow costs a
bounded buffer, loses what parts have told meanwhile (not their entries), and nobody waits for him. All who are at the
end of a log get the same bytes, encoded once; who is further back reads the store, a few pages in each turn of the
loop.

The rule it keeps: entries come from what was committed, in order and without holes; Settled stands right before the
entry of a part that a reader has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agenthost.errors import AgenthostError, UnknownName
from agenthost.journal.parts import Part, Parts
from agenthost.journal.store import Reader as Store
from agenthost.journal.watched import Cut, Follow, Reader, Watched, cut, entry_of
from agenthost.protocol import sessions as say

PAGE_ENTRIES, PAGE_BYTES = 200, 128 * 1024
PAGES_AT_ONCE = 4
"""Read from the store in one turn of the loop, for all readers."""
CHARACTERS = 64 * 1024
"""Of a text in one Delta."""


class Following:
    """``store()`` reads what is committed; it raises while there is no database."""

    def __init__(self, parts: Parts, store: Callable[[], Store]) -> None:
        self._parts, self._store = parts, store
        self._watched: dict[str, Watched] = {}
        self._grown: dict[str, None] = {}
        """Sessions whose log may have grown."""
        self._hungry: dict[Follow, None] = {}
        """Who may lack something, and has room."""
        self._stalled: dict[Reader, dict[Follow, None]] = {}
        """Who lacks something, and has no room."""
        self._cuts: dict[tuple[str, int, int, int, int], tuple[Cut, int]] = {}

    # ---- who follows what

    def follow(self, reader: Reader, asked: say.Follow) -> Follow:
        """Raises what the store raises."""
        watched = self._watched.get(asked.path)
        if watched is None or asked.after > watched.last_seq:
            last_seq = self._store().log(asked.path, 1 << 62, 1).last_seq
            if watched is None and self._store().tombstone(asked.path) is not None:
                raise UnknownName(
                    f"cannot follow {asked.path}: its session was removed", hint="see: agenthost sessions revive"
                )
            watched = watched or self._watched.setdefault(asked.path, Watched(asked.path, last_seq))
            if last_seq > watched.last_seq:
                self._grown[asked.path] = None
        else:
            last_seq = watched.last_seq
        follow = Follow(reader, watched, asked)
        follow.seq = min(max(0, asked.after), last_seq)
        watched.follows[follow] = None
        watched.presence.came(follow)
        self._all_hungry(watched)
        return follow

    def unfollow(self, follow: Follow) -> None:
        watched = follow.watched
        if watched.follows.pop(follow, follow) is follow:
            return
        watched.presence.went(follow)
        self._hungry.pop(follow, None)
        self._stalled.get(follow.reader, {}).pop(follow, None)
        if watched.follows:
            self._all_hungry(watched)
        elif self._watched.get(watched.path) is watched:
            del self._watched[watched.path]

    def gone(self, reader: Reader) -> None:
        """Its connection is closed, and it follows nothing any more."""
        self._stalled.pop(reader, None)

    def has_room(self, reader: Reader) -> None:
        self._hungry.update(self._stalled.pop(reader, {}))

    def check(self, follow: Follow) -> None:
        follow.is_caught_up = False
        self._hungry[follow] = None

    # ---- the writing seat

    def seat(self, follow: Follow, *, take: bool) -> None:
        """``Busy``."""
        presence = follow.watched.presence
        before = presence.take(follow, by_force=take)
        if isinstance(before, Follow):
            before.say(say.Seated(before.id, ""))
        follow.say(say.Seated(follow.id, presence.seat))
        self._all_hungry(follow.watched)

    def give_seat(self, follow: Follow) -> None:
        if follow.watched.presence.give_back(follow):
            self._all_hungry(follow.watched)
        follow.say(say.Seated(follow.id, ""))

    def check_seat(self, path: str, seat: str) -> None:
        """``Busy`` if somebody else may speak there."""
        watched = self._watched.get(path)
        if watched is not None:
            watched.presence.check(seat)

    # ---- what becomes of sessions

    @property
    def is_watching(self) -> bool:
        return bool(self._watched)

    def grew(self, path: str) -> None:
        """Something was committed there."""
        if path in self._watched:
            self._grown[path] = None

    def settled(self, path: str, parts: Iterable[Part], first_seq: int) -> None:
        """They have become the entries from ``first_seq`` on, in their order; 0: no entries."""
        watched = self._watched.get(path)
        if watched is None:
            return
        for number, part in enumerate(parts):
            if first_seq:
                watched.settle(first_seq + number, part.name)
                continue
            for follow in watched.follows:
                if follow.told.pop(part.name, None) is not None:
                    follow.say(say.Settled(follow.id, part.name, 0))
        self._grown[path] = None

    def told(self, path: str) -> None:
        """A part has grown."""
        watched = self._watched.get(path)
        if watched is not None:
            self._hungry.update((follow, None) for follow in watched.follows if follow.is_live)

    def removed(self, path: str, why: str) -> None:
        watched = self._watched.pop(path, None)
        if watched is None:
            return
        self._grown.pop(path, None)
        for follow in list(watched.follows):
            self.unfollow(follow)
            follow.say(say.Removed(follow.id, why))

    # ---- saying

    @property
    def is_busy(self) -> bool:
        """There is more to say at once."""
        return bool(self._hungry or self._grown)

    def turn(self) -> None:
        """Once in each turn of the loop, when what there was to commit is committed."""
        grown, self._grown = self._grown, {}
        for path in grown:
            self._look(path)
        pages = PAGES_AT_ONCE
        hungry, self._hungry = self._hungry, {}
        late: dict[Follow, None] = {}
        for follow in hungry:
            if not follow.is_followed:
                continue
            try:
                used = self._feed(follow, pages)
                pages -= used
                if used and follow in self._hungry:  # behind those who have had nothing
                    late[follow] = self._hungry.pop(follow)
            except Exception as error:  # the store's, or a mistake of ours: it is this one's trouble alone
                self._refuse(
                    follow, error if isinstance(error, AgenthostError) else AgenthostError(f"cannot go on: {error!r}")
                )
        self._hungry.update(late)
        self._cuts.clear()

    def _look(self, path: str) -> None:
        """For what was committed since."""
        watched = self._watched.get(path)
        if watched is None:
            return
        try:
            page = self._store().log(path, watched.last_seq, PAGE_ENTRIES, PAGE_BYTES)
        except AgenthostError as error:
            for follow in list(watched.follows):
                self._refuse(follow, error)
            return
        if page.last_seq < watched.last_seq:
            self.removed(path, f"the session of {path} was removed, and has begun anew")
            return
        for one in page.entries:
            watched.grew(one)
        if page.last_seq > watched.last_seq:
            self._grown[path] = None  # the rest in the next turn
        self._all_hungry(watched)

    def _refuse(self, follow: Follow, error: AgenthostError) -> None:
        """It is followed no more; whoever wants to may try again."""
        self.unfollow(follow)
        follow.say(say.Refused(follow.id, error.code, error.message, error.hint or ""))

    def _feed(self, follow: Follow, pages: int) -> int:
        """Say what ``follow`` lacks, as far as he has room. How many pages it took of so many."""
        watched, reader = follow.watched, follow.reader
        used = 0
        while reader.has_room:
            if follow.presence_version != watched.presence.version:
                follow.presence_version = watched.presence.version
                follow.say(say.Present(follow.id, watched.presence.names, watched.presence.writer))
            elif follow.seq < watched.last_seq:
                if watched.tail and watched.tail[0][0] <= follow.seq + 1:
                    self._say_tail(follow)
                elif used == pages:
                    self._hungry[follow] = None
                    return used
                else:
                    used += 1
                    self._say_page(follow)
            elif not follow.is_caught_up:
                follow.is_caught_up = True
                follow.share(cut(say.CaughtUp(0, follow.seq)))
            elif not follow.is_live or not self._say_parts(follow):
                return used
        self._stalled.setdefault(reader, {})[follow] = None
        return used

    def _say_tail(self, follow: Follow) -> None:
        tail = follow.watched.tail
        for number in range(follow.seq + 1 - tail[0][0], len(tail)):
            if not follow.reader.has_room:
                return
            self._say_entry(follow, *tail[number])

    def _say_page(self, follow: Follow) -> None:
        page = self._store().log(follow.watched.path, follow.seq, PAGE_ENTRIES, PAGE_BYTES)
        for one in page.entries:
            if one.seq <= follow.watched.last_seq:
                self._say_entry(follow, one.seq, entry_of(one))
        if not page.entries:  # retention has taken them
            follow.seq = follow.watched.last_seq

    def _say_entry(self, follow: Follow, seq: int, entry: Cut) -> None:
        watched = follow.watched
        if follow.told and seq <= watched.forgotten_seq:
            follow.told.clear()
            follow.is_caught_up = False
            follow.say(say.Behind(follow.id, follow.seq))
        part = watched.settled.get(seq)
        if part is not None and follow.told.pop(part, None) is not None:
            follow.say(say.Settled(follow.id, part, seq))
        follow.share(entry)
        follow.seq = seq

    def _say_parts(self, follow: Follow) -> bool:
        """One Delta, if something is lacking."""
        for part in self._parts.of(follow.watched.path):
            length, version, life = follow.told.get(part.name, (-1, -1, 0))
            if part.life != life:
                length, life = 0, part.life
            elif (length, version) == (part.length, part.version) and part.name in follow.told:
                continue
            found = self._delta(part, max(length, 0), version)
            follow.share(found[0])
            follow.told[part.name] = found[1], part.version, life
            return True
        return False

    def _delta(self, part: Part, start: int, version: int) -> tuple[Cut, int]:
        """From ``start`` on, and where it ends. The same for all who lack the same."""
        key = part.name, start, version, part.length, part.version
        found = self._cuts.get(key)
        if found is None:
            fields = part.fields if version != part.version else b""
            at, text = (start, part.text(start, CHARACTERS)) if part.length >= 0 else (-1, "")
            delta = say.Delta(0, part.name, part.message, part.attempt, part.type, fields, at, text)
            found = self._cuts[key] = cut(delta), at + len(text) if at >= 0 else -1
        return found

    def _all_hungry(self, watched: Watched) -> None:
        self._hungry.update((follow, None) for follow in watched.follows)
