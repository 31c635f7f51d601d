"""What agents use, counted and held against their budgets: what they say of tokens, what the host has seen of the rest.

The sums are ``usage``'s; what is decided about a bound is ``core.budget``'s. Where one is reached the host is told, who
interrupts; no mail is leased there until more is granted. The rule it keeps: what was said at a door is held against
the budgets before the next request of that door is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.budget import MOST
from agenthost.core.budget.crossing import Crossing, crossing
from agenthost.core.budget.prices import Prices
from agenthost.core.budget.scope import ANY, Scopes, above
from agenthost.errors import UsageError
from agenthost.journal import ops, words
from agenthost.journal.spender import Spender, is_sane
from agenthost.journal.store import Reader
from agenthost.journal.usage import REMEMBERED, Usage
from agenthost.journal.values import Incarnation
from agenthost.journal.words import Terms
from agenthost.protocol import mail as say

RECEIVERS = 1000
UNPRICED = 1000
"""Models without a price that are told of; names are whatever agents say."""


class Meters:
    """``submit``, ``reader`` and ``notify`` are the clerk's, ``terms_of`` is ``Attendance``'s; ``tell`` reaches the
    host."""

    def __init__(
        self,
        submit: Callable[..., None],
        reader: Callable[[], Reader],
        tell: Callable[[words.FromJournal], None],
        notify: Callable[[str], None],
        terms_of: Callable[[str], Terms | None],
    ) -> None:
        self._reader, self._tell = reader, tell
        self._notify, self._terms_of = notify, terms_of
        self.usage = Usage(submit, reader)
        self.scopes = Scopes()
        self.prices = Prices()
        self._is_open = False
        self._late: list[tuple[words.Meter, Callable[[], None]]] = []
        """The host's words that came before the database was open."""
        self._standing: dict[str, Crossing] = {}
        self._looked_at: set[str] = set()
        self._in_turn: dict[str, tuple[Incarnation, int, Crossing]] = {}
        self._grants: dict[tuple[str, int], dict[str, float]] = {}
        """Why the host was told that a turn is over, by path; of the last of them."""
        self._granting: set[tuple[str, str]] = set()
        """(path, meter) that somebody has just granted more of; not committed yet."""
        self._counted: dict[int, int] = {}
        self._unpriced: set[str] = set()

    # ---- what holds

    def budgets(self, word: words.Budgets, now_ms: int) -> None:
        self.scopes, self.prices = Scopes(word.scopes), word.prices
        self._unpriced.clear()
        if self._is_open:
            self._look_at_all(now_ms)

    def brings(self, word: words.Brings, now_ms: int) -> None:
        self.scopes.put(word.path, word.scopes)
        if self._is_open:
            self._look_at(word.path, now_ms)

    def opened(self, now_ms: int) -> None:
        self._is_open = True
        self._look_at_all(now_ms)
        late, self._late = self._late, []
        for word, done in late:
            self.metered(word, done, now_ms)

    def _look_at_all(self, now_ms: int) -> None:
        self._looked_at.clear()
        concrete = {one.path for one in self.scopes.all if ANY not in one.path}
        for path in sorted(concrete | self._standing.keys()):
            self._look_at(path, now_ms)

    # ---- what is used

    def spent(self, path: str, inc: Incarnation, message: say.Spent, now_ms: int) -> None:
        """Said by the agent itself."""
        self.usage.trim()
        spender = self.usage.spender(path)
        if not is_sane(message) or not spender.hears(inc):
            return
        if message.turn != spender.turn:
            spender.message = 0
        number = self.usage.believed(spender, message.message)
        amounts = self._grown(path, spender.said, message)
        spender.said = message
        spender.tells(amounts, message.turn)
        if amounts:
            self.usage.add(path, amounts, number, now_ms)
        self._look(spender, number, now_ms, message.turn)

    def metered(self, word: words.Meter, done: Callable[[], None], now_ms: int) -> None:
        """Seen by the host. ``done`` when it will not be lost."""
        if not self._is_open:
            self._late.append((word, done))
            return
        counted = self._counted.get(word.boot)
        if counted is None:
            counted = self._counted[word.boot] = self._reader().counted(word.boot)
        if word.number <= counted:
            done()
            return
        self._counted[word.boot] = word.number
        self.usage.trim()
        for one in word.used:
            spender = self.usage.spender(one.path)
            if one.n and spender.hears((word.boot, one.n)):
                spender.is_seen(one.amounts, one.turn)
        charges = [ops.Charge(one.path, one.amounts, alone=one.alone) for one in word.used if one.amounts]
        self.usage.add_all(ops.Counted(word.boot, word.number), charges, done, now_ms)
        for one in word.used:
            self._look(self.usage.spender(one.path), 0, now_ms, max(0, one.turn))

    def _grown(self, path: str, before: say.Spent, now: say.Spent) -> Amounts:
        """What has come since. What an agent says is not believed to shrink."""
        tokens_in = _more(before.others[0], now.others[0])
        tokens_out = _more(before.others[1], now.others[1])
        cost = _more(before.cost, now.cost)
        for model, (told_in, told_out) in now.models.items():
            was_in, was_out = before.models.get(model, (0, 0))
            more_in, more_out = _more(was_in, told_in), _more(was_out, told_out)
            if not (more_in or more_out):
                continue
            tokens_in, tokens_out = tokens_in + more_in, tokens_out + more_out
            price = self.prices.cost(model, more_in, more_out)
            if price is not None:
                cost += price
            elif self.prices.models and model not in self._unpriced and len(self._unpriced) < UNPRICED:
                self._unpriced.add(model)
                self._tell(words.Unpriced(path, model))
        return Amounts(
            tokens_in,
            tokens_out,
            cost,
            tool_calls=_more(before.tool_calls, now.tool_calls),
            wall_s=_more(before.wall_s, now.wall_s),
            turns=_more(before.turns, now.turns),
        )

    # ---- what was used

    def granted(self, path: str, message: int = 0) -> dict[str, float]:
        """By meter: beyond the bounds of the path; with ``message`` beyond those of its turns."""
        found = self._grants.get((path, message))
        if found is None:
            if len(self._grants) >= REMEMBERED:
                self._grants.clear()
            found = self._grants[path, message] = {}
            for one in self._reader().grants(path, message):
                if one.message == message:
                    found[one.meter] = found.get(one.meter, 0.0) + one.amount
        return found

    # ---- how it stands

    def holds(self, path: str) -> bool:
        """No turn of it may begin: its mail waits."""
        if not self.scopes:
            return False
        for place in above(path):
            if place not in self._looked_at:
                self._look_at(place, 0)
        return bool(self._standing) and self.standing(path) is not None

    def standing(self, path: str) -> Crossing | None:
        """The nearest budget that is used up, so that no turn may begin."""
        for place in above(path):
            found = self._standing.get(place)
            if found is not None and found.stops:
                return found
        return None

    def at(self, path: str) -> Crossing | None:
        """How it stands with the budgets of that very path; None while all is well."""
        return self._standing.get(path)

    def crossed(self, path: str, inc: Incarnation | None, message: int, terms: Terms) -> Crossing | None:
        """Why the turn in hand, which was for that message, was interrupted, if that was for a budget. What is kept of
        the turn says so where this journal has not been told of it."""
        in_turn = self._in_turn.get(path)
        if in_turn is not None and in_turn[0] == inc and in_turn[2].stops:
            return in_turn[2]
        for place in above(path):
            if place not in self._looked_at:
                self._look_at(place, 0)
        if (standing := self.standing(path)) is not None:
            return standing
        spender = self.usage.look_up(path)
        found = self._of_turns(spender, message) if spender.inc == inc else []
        stops = next((one for _, one in reversed(found) if one.stops), None)
        return stops or self._of_message(path, message, terms)

    def _of_turns(self, spender: Spender, message: int) -> list[tuple[int, Crossing]]:
        """Bounds that its turns have reached, as far as they are known apart."""
        scopes = [scope for scope in self.scopes.at(spender.path) if scope.kind == "turn"]
        granted = self.granted(spender.path, message) if scopes else {}
        found = []
        for scope in scopes:
            for turn, amounts in spender.turns():
                if (one := crossing(spender.path, scope, amounts, granted)) is not None:
                    found.append((turn, one))
        return found

    def _of_message(self, path: str, message: int, terms: Terms | None) -> Crossing | None:
        """What all attempts at it may cost."""
        most = terms.ladder.spend if message and terms is not None and terms.ladder is not None else 0.0
        if most and (cost := self.usage.spent_for(message).cost) >= most:
            return Crossing(path, "message", "cost", cost, most, most, "stopped")
        return None

    def _look(self, spender: Spender, message: int, now_ms: int, turn: int) -> None:
        """Something was used there, in that turn."""
        path, inc = spender.path, spender.inc
        of_message = self._of_message(path, message, self._terms_of(path)) if message else None
        if of_message is not None:
            self._cross(spender, spender.turn, of_message)
        if not self.scopes:
            return
        for number, found in self._of_turns(spender, message or spender.message):
            self._cross(spender, number, found)
        for place in above(path):
            if self.scopes.at(place) or place not in self._looked_at:
                self._look_at(place, now_ms, (path, inc, turn))

    def _cross(self, spender: Spender, turn: int, found: Crossing) -> None:
        inc = spender.inc
        before = self._in_turn.pop(spender.path, None)
        if before is not None and before[:2] == (inc, turn) and (before[2].stops or not found.stops):
            self._in_turn[spender.path] = before
            return  # it was told already
        self._in_turn[spender.path] = inc, turn, found
        if len(self._in_turn) > REMEMBERED:
            del self._in_turn[next(iter(self._in_turn))]
        args = {} if found.stops else found.args
        self._tell(words.Overspent(spender.path, *inc, turn, found.words(self.prices.currency), args))

    def _look_at(self, path: str, now_ms: int, by: tuple[str, Incarnation, int] = ("", (0, 0), 0)) -> None:
        if len(self._looked_at) >= REMEMBERED:
            self._looked_at.clear()
        self._looked_at.add(path)
        before, found = self._standing.get(path), None
        for scope in self.scopes.at(path):
            if scope.kind != "turn":
                one = crossing(path, scope, self.usage.used(path), self.granted(path))
                found = one if found is None or (one is not None and one.stops and not found.stops) else found
        if found is not None:
            self._standing[path] = found
            if before is None or (before.state, before.meter, before.of) != (found.state, found.meter, found.of):
                why, (who, inc, turn) = found.words(self.prices.currency), by
                args = {} if found.stops else found.args
                self._tell(words.Budgeted(path, found.state, why, args, who, *inc, turn))
        elif before is not None:
            del self._standing[path]
            self._tell(words.Budgeted(path, ""))
        if (
            before is not None
            and before.stops
            and (found is None or not found.stops or (before.state != "asks" and found.state == "asks"))
        ):
            self._go_on(path)

    def _go_on(self, path: str) -> None:
        """What waits there and below may be handled, or a person is asked."""
        if self._reader().open_count(path):
            self._notify(path)
        folder = path.rstrip("/") + "/"
        after = folder
        while page := self._reader().receivers(after, RECEIVERS):
            for receiver in page:
                if not receiver.startswith(folder):
                    return
                self._notify(receiver)
            after = page[-1]

    # ---- granting

    def grant(self, path: str, meter: str, amount: float, by: str) -> ops.Grant:
        """``UsageError`` where there is no such bound."""
        has = sorted({name for scope in self.scopes.at(path) if scope.kind != "turn" for name in scope.bounds})
        if meter not in has:
            holding = {place for place, scope in self.scopes.holding(path) if scope.kind != "turn" and place != path}
            there = f"its budgets are of {', '.join(has)}" if has else "it has no budget of its own"
            above_it = f"those that hold for it are at {', '.join(sorted(holding))}"
            hint = above_it if holding else "see agenthost budget show"
            raise UsageError(f"cannot grant {meter} to {path}: {there}", hint=hint)
        return ops.Grant(path, meter, amount, by)

    def wanted(self, grant: ops.Grant) -> ops.Grant | None:
        """What a person grants who answers a question: None where that has been answered already, for another message
        that waits because of the same bound."""
        if grant.message:
            return grant
        if (grant.path, grant.meter) in self._granting:
            return None
        for scope in self.scopes.at(grant.path):
            if scope.kind != "turn" and (bound := scope.bounds.get(grant.meter)):
                one = replace(scope, bounds={grant.meter: bound})
                found = crossing(grant.path, one, self.usage.used(grant.path), self.granted(grant.path))
                if found is not None and found.stops:
                    self._granting.add((grant.path, grant.meter))
                    return grant
        return None

    def not_granted(self, grant: ops.Grant) -> None:
        """The disk has refused it."""
        self._granting.discard((grant.path, grant.meter))

    def was_granted(self, grant: ops.Grant, now_ms: int) -> None:
        """After the commit."""
        self._granting.discard((grant.path, grant.meter))
        self._grants.pop((grant.path, grant.message), None)
        self._tell(words.Granted(grant.path, grant.meter, grant.amount, grant.by, grant.message))
        if not grant.message:
            self._look_at(grant.path, now_ms)

    def forget(self, path: str, now_ms: int) -> None:
        """Its session was removed: whoever gets this name next is somebody else."""
        self.usage.forget(path, now_ms)
        self._in_turn.pop(path, None)
        for key in [key for key in self._grants if key[0] == path]:
            del self._grants[key]
        self._looked_at.discard(path)
        if self._standing.pop(path, None) is not None:
            self._tell(words.Budgeted(path, ""))


def _more(before: Any, now: Any) -> Any:
    """What was said in one word."""
    more = now - before
    return more if 0 < more < MOST else 0
