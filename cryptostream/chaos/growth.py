"""Whether a figure grows: least squares over samples of time. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def slope_per_hour(samples: Sequence[tuple[float, float]]) -> float | None:
    """Growth of a value per hour by least squares; None with fewer than two times.

    Args:
        samples: (seconds, value).
    """
    if len({at_s for at_s, _ in samples}) < 2:
        return None
    mean_s = sum(at_s for at_s, _ in samples) / len(samples)
    mean = sum(value for _, value in samples) / len(samples)
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in samples)
    return sum((at_s - mean_s) * (value - mean) for at_s, value in samples) / spread * 3_600
