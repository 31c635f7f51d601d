"""What pure code costs, in CPU time, whatever else runs on the machine."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """The collector's work depends on all that other tests have left in memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
