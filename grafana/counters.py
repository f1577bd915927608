"""Counters of services: they only grow, and restart at 0 with their process."""

from __future__ import annotations

from grafana.flux import TICKS, group, keep, pipe, script, sort

# A service writes its counters every 10 s: older readings are not needed.
_LOOK_BACK = "1d"


def increase(field: str) -> str:
    """Increase of a counter of `service` in the shown range, one row for each service.

    It starts from the last reading before the range, or from 0 if there is none: the process is new. A
    reading below the one before it means that the process has restarted.
    """
    read = f'filter(fn: (r) => r._measurement == "service" and r._field == "{field}")'
    return script(
        "before = "
        + pipe(
            f"from(bucket: {TICKS})",
            f"range(start: time(v: int(v: v.timeRangeStart) - int(v: {_LOOK_BACK})), stop: v.timeRangeStart)",
            read,
            "last()",
            'set(key: "part", value: "before")',
        ),
        "shown = "
        + pipe(
            f"from(bucket: {TICKS})",
            "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
            read,
            'set(key: "part", value: "shown")',
        ),
        pipe(
            "union(tables: [before, shown])",
            group("service", "instance"),
            # Only needed columns: rows are sorted in memory.
            keep("_time", "_value", "service", "instance", "part"),
            sort("_time"),
            "reduce(identity: {newest: 0, grown: 0}, fn: (r, accumulator) => ({newest: r._value, grown:",
        ),
        '    if r.part == "before" then 0',
        "    else if r._value < accumulator.newest then accumulator.grown + r._value",
        "    else accumulator.grown + r._value - accumulator.newest}))",
        "  |> map(fn: (r) => ({_time: v.timeRangeStop, service: r.service, instance: r.instance,"
        " _value: float(v: r.grown)}))",
    )
