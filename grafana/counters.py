"""Counters of services: they only grow, and begin again at 0 when their process does."""

from __future__ import annotations

from grafana.flux import TICKS, group, keep, pipe, script

# Older readings of a counter are not looked for: a service writes one every 10 s.
_LOOK_BACK = "1d"


def growth(field: str) -> str:
    """How much a counter of `service` grew in the range shown, one row for each service.

    The last reading before the range is where it begins; where there is none the process is new, and began at
    0. A reading below the one before it means that the process was started again.
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
            # Sorted in memory: nothing that is not needed.
            keep("_time", "_value", "service", "instance", "part"),
            'sort(columns: ["_time"])',
            "reduce(identity: {newest: 0, grown: 0}, fn: (r, accumulator) => ({newest: r._value, grown:",
        ),
        '    if r.part == "before" then 0',
        "    else if r._value < accumulator.newest then accumulator.grown + r._value",
        "    else accumulator.grown + r._value - accumulator.newest}))",
        "  |> map(fn: (r) => ({_time: v.timeRangeStop, service: r.service, instance: r.instance,"
        " _value: float(v: r.grown)}))",
    )
