"""What is metered, by the names of the config, and how its values are shown. The command line has it without more."""

from __future__ import annotations

FIELD_OF = {"wall": "wall_s", "cpu": "cpu_s"}
METERS = ("cost", "tokens", "tokens_in", "tokens_out", "tool_calls", "wall", "cpu", "processes", "restarts", "turns")
"""By the names of the config. ``tokens`` are those in and out together."""
WHOLE = frozenset({"tokens", "tokens_in", "tokens_out", "tool_calls", "processes", "restarts", "turns"})
SECONDS = frozenset({"wall", "cpu"})
_TEN_THOUSAND = 10_000


def shown(meter: str, value: float) -> str:
    """A value of ``meter``: "5.02", "1.2M", "61.3 s"."""
    if meter in SECONDS:
        return f"{value * 1000:.0f} ms" if 0 < value < 1 else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
    if meter not in WHOLE:
        return f"{value:.2f}".removesuffix(".00") if value >= 1 or value == 0 else f"{value:.3g}"
    if value < _TEN_THOUSAND:
        return f"{value:.0f}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.0f}"
