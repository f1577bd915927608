"""Python's garbage collector in a process that handles messages."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Keep the garbage collector away from what lives as long as the process; call it once that is there.

    Messages die by reference count; the collector only walks the libraries' objects again and again, which
    cost a tenth of the processor time per message in the producer benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
