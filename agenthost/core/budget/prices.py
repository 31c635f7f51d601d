"""What tokens of a model cost. The exact name of a model comes first, then the first pattern that matches it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

_MILLION = 1_000_000


class Price(msgspec.Struct, frozen=True, array_like=True):
    """Of a million tokens. ``model`` is a name or a glob."""

    model: str
    in_: float
    out: float


class Prices(msgspec.Struct, frozen=True, array_like=True):
    models: tuple[Price, ...] = ()
    currency: str = ""

    def of(self, model: str) -> Price | None:
        exact = next((one for one in self.models if one.model == model), None)
        return exact or next((one for one in self.models if fnmatchcase(model, one.model)), None)

    def cost(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        """None: nothing says what that model costs."""
        price = self.of(model)
        return None if price is None else (tokens_in * price.in_ + tokens_out * price.out) / _MILLION
