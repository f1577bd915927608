"""Faults of events on a real seeded market, without sockets."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.faults.events import Effect, EventFaults, Fire, Hit, Send
from simulator.faults.script import parse_script
from simulator.outgoing import Outgoing
from simulator.protocols.binance.dialect import BINANCE
from simulator.protocols.binance.envelopes import encoded
from simulator.protocols.binance.exchange import WorldExchange
from simulator.protocols.registry import EXCHANGES as SPOKEN

START_MS = 1_785_767_130_000
SECONDS = 40
STREAMS = ("trade", "depth@100ms", "bookTicker", "kline_1s", "kline_1m")


def market() -> list[Outgoing]:
    exchange = WorldExchange(("BTCUSDC",), 11, START_MS, 3.0)
    wanted = frozenset(f"btcusdc@{stream}" for stream in STREAMS)
    events, until_ms = [], START_MS + SECONDS * 1000
    while exchange.feed.emitted_until_ms < until_ms:
        events += exchange.feed.due(until_ms, wanted)
    return events


EVENTS = market()
FINALS = [event for event in EVENTS if event.event.get("e") == "kline" and event.event["k"]["x"]]


def play(*flags: str, seed: int = 1, batches: tuple[int, ...] = ()) -> list[Effect]:
    """All effects; `batches` are the places where the events are divided."""
    faults = EventFaults(parse_script(None, flags, BINANCE.scope).faults, seed, START_MS, BINANCE)
    effects: list[Effect] = []
    for begin, end in pairwise((0, *sorted(batches), len(EVENTS))):
        part = EVENTS[begin:end]
        effects += faults.step(part, part[-1].time_ms if part else START_MS)
    effects += faults.step([], START_MS + SECONDS * 1000)
    effects += faults.release()
    return effects


def frames(effects: Sequence[Effect]) -> list[bytes]:
    return [encoded(e.event, combined=True, microseconds=False) for e in effects if isinstance(e, Send)]


def hits(effects: Sequence[Effect]) -> list[Hit]:
    return [effect for effect in effects if isinstance(effect, Hit)]


def event_of(effect: Effect) -> Outgoing:
    assert not isinstance(effect, Fire)
    return effect.event


def summary(effects: Sequence[Effect]) -> list[tuple[Any, ...]]:
    return [
        (type(e).__name__, e.event.stream, dict(e.event.event))
        if not isinstance(e, Fire)
        else (e.at_ms, 0, 0)
        for e in effects
    ]


TRUE_FRAMES = frames([Send(event) for event in EVENTS])
ALL = (
    "duplicate:probability=0.02",
    "reorder:every=3,distance=2",
    "skip:probability=0.02",
    "malformed:every=4",
    "wrong_type:probability=0.02",
    "late_kline:probability=0.3",
    "revised_kline:probability=0.3",
    "drop:every=9",
    "clock_skew:from=10,to=20,offset_ms=-800",
)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(EVENTS)), max_size=6))
def test_the_same_seed_gives_the_same_faults_however_the_events_are_divided(batches: list[int]) -> None:
    assert summary(play(*ALL, batches=tuple(batches))) == summary(play(*ALL))


def test_another_seed_gives_other_faults() -> None:
    def struck(seed: int) -> set[tuple[str, int]]:
        return {(hit.fault.kind, hit.event.time_ms) for hit in hits(play("skip:probability=0.05", seed=seed))}

    assert len(struck(1)) > 20 and struck(1) != struck(2)


def test_without_a_fault_everything_is_sent_as_it_is() -> None:
    assert frames(play("drop:at=100")) == TRUE_FRAMES


def test_a_probability_hits_about_so_many_and_count_bounds_it() -> None:
    share = len(hits(play("skip:probability=0.1"))) / len(EVENTS)
    assert 0.05 < share < 0.15
    assert len(hits(play("skip:probability=0.1,count=7"))) == 7


def test_at_hits_the_first_event_from_then_on_and_a_duration_all_within_it() -> None:
    (hit,) = hits(play("skip:at=10,streams=trade"))
    trades = [event for event in EVENTS if event.event.get("e") == "trade"]
    assert hit.event is next(trade for trade in trades if trade.time_ms >= START_MS + 10_000)
    struck = hits(play("skip:at=10,duration=2,streams=trade"))
    begin_ms = struck[0].event.time_ms
    assert [hit.first for hit in struck] == [True] + [False] * (len(struck) - 1)
    assert [hit.event for hit in struck] == [
        trade for trade in trades if begin_ms <= trade.time_ms < begin_ms + 2_000
    ]


def test_every_hits_once_in_each_span_between_from_and_to() -> None:
    times = [hit.event.time_ms - START_MS for hit in hits(play("skip:every=5,from=10,to=31,streams=depth"))]
    assert [time // 5_000 for time in times] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("stream", ["trade", "depth", "kline", "quote"])
def test_streams_choose_what_is_struck(stream: str) -> None:
    struck = Counter(hit.event.stream for hit in hits(play(f"skip:probability=0.2,streams={stream}")))
    wanted = {"trade": "@trade", "depth": "@depth", "kline": "@kline", "quote": "@bookTicker"}[stream]
    assert struck and all(wanted in name for name in struck)


def test_intervals_choose_among_klines_only() -> None:
    struck = {hit.event.stream for hit in hits(play("skip:streams=kline,intervals=1m"))}
    assert struck == {"btcusdc@kline_1m"}


def test_skip_withholds() -> None:
    effects = play("skip:probability=0.1")
    withheld = {id(hit.event) for hit in hits(effects)}
    assert all(hit.withheld for hit in hits(effects))
    assert [e.event for e in effects if isinstance(e, Send)] == [
        event for event in EVENTS if id(event) not in withheld
    ]


def test_duplicate_sends_the_same_bytes_twice_and_only_one_is_genuine() -> None:
    effects = play("duplicate:probability=0.1,streams=trade")
    sent = Counter(frames(effects))
    assert len(hits(effects)) == sum(1 for count in sent.values() if count == 2) > 5
    assert set(sent) == set(TRUE_FRAMES)
    assert sum(1 for e in effects if isinstance(e, Send) and not e.event.genuine) == len(hits(effects))


@pytest.mark.parametrize("distance", [1, 3])
def test_reorder_swaps_with_a_later_one_and_loses_nothing(distance: int) -> None:
    effects = play(f"reorder:every=10,streams=trade,distance={distance}")
    ids = [e.event.event["t"] for e in effects if isinstance(e, Send) and e.event.stream.endswith("@trade")]
    moved = [hit.event.event["t"] for hit in hits(effects)]
    assert len(moved) == 4 and sorted(ids) == list(range(min(ids), max(ids) + 1))
    for trade_id in moved:
        place = ids.index(trade_id)
        assert ids[place - distance : place] == list(range(trade_id + 1, trade_id + 1 + distance))


def test_an_event_that_waits_for_a_later_one_is_sent_at_the_end() -> None:
    effects = play("reorder:at=39,streams=trade,distance=1000")
    assert len(hits(effects)) == 1 and Counter(frames(effects)) == Counter(TRUE_FRAMES)


@pytest.mark.parametrize("kind", ["malformed", "truncated"])
def test_broken_frames_are_not_json_and_stand_in_place_of_the_event(kind: str) -> None:
    effects = play(f"{kind}:probability=0.1")
    sent, broken = frames(effects), []
    for frame in sent:
        frame.decode()
        try:
            orjson.loads(frame)
        except orjson.JSONDecodeError:
            broken.append(frame)
    assert len(broken) == len(hits(effects)) > 20
    assert len(sent) == len(TRUE_FRAMES) and len(set(TRUE_FRAMES) - set(sent)) == len(broken)


def differences(true: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Paths of the fields that differ, with both values (None where a field is missing)."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in true.keys() | sent.keys():
        if isinstance(true.get(name), dict) and isinstance(sent.get(name), dict):
            found |= {f"{name}.{inner}": pair for inner, pair in differences(true[name], sent[name]).items()}
        elif true.get(name) != sent.get(name):
            found[name] = (true.get(name), sent.get(name))
    return found


def altered(kind: str) -> Iterator[tuple[str, dict[str, tuple[Any, Any]]]]:
    """For each event that was struck: its stream and what differs in what was sent instead."""
    effects = play(f"{kind}:probability=0.2")
    after = iter(effects)
    for effect in after:
        if isinstance(effect, Hit):
            sent = next(after)
            assert isinstance(sent, Send)
            yield effect.event.stream, differences(effect.event.event, sent.event.event)


def test_a_wrong_type_is_one_needed_field_of_another_json_type() -> None:
    fields = defaultdict(set)
    for stream, changed in altered("wrong_type"):
        ((field, (true, sent)),) = changed.items()
        assert sent is not None and type(true) is not type(sent)
        fields[stream.partition("@")[2]].add(field)
    assert fields["trade"] == {"t", "p", "q", "T", "m"} and fields["depth@100ms"] == {"U", "u", "b", "a"}


def test_a_missing_field_is_one_needed_field() -> None:
    fields = set()
    for _, changed in altered("missing_field"):
        ((field, (_, sent)),) = changed.items()
        assert sent is None
        fields.add(field)
    assert {"t", "p", "u", "b", "k.t"} <= fields


def test_an_unknown_field_changes_nothing_else_and_withholds_nothing() -> None:
    count = 0
    for _, changed in altered("unknown_field"):
        assert list(changed) == ["zz"] and changed["zz"][0] is None
        count += 1
    assert count > 20
    assert not any(hit.withheld for hit in hits(play("unknown_field:probability=0.2")))


def sent_bars(effects: Sequence[Effect], open_ms: int) -> list[Any]:
    return [
        e.event.event["k"]
        for e in effects
        if isinstance(e, Send) and e.event.event.get("e") == "kline"
        and e.event.event["k"]["x"] and e.event.event["k"]["t"] == open_ms
        and e.event.stream.endswith("_1s")
    ]  # fmt: skip


def test_a_missing_final_is_never_sent_and_open_bars_are() -> None:
    effects = play("missing_kline:every=5,intervals=1s")
    assert len(hits(effects)) == 8
    for hit in hits(effects):
        assert sent_bars(effects, hit.event.event["k"]["t"]) == []
    assert len(frames(effects)) == len(TRUE_FRAMES) - 8


def test_a_late_final_comes_after_so_many_seconds() -> None:
    effects = play("late_kline:at=10,intervals=1s,delay=2.5")
    (hit,) = hits(effects)
    place = next(index for index, e in enumerate(effects) if isinstance(e, Send) and e.event is hit.event)
    due_ms = hit.event.time_ms + 2_500
    assert event_of(effects[place - 1]).time_ms <= due_ms <= event_of(effects[place + 1]).time_ms
    assert Counter(frames(effects)) == Counter(TRUE_FRAMES)


def test_a_revised_bar_follows_the_right_one_and_a_wrong_one_replaces_it() -> None:
    (hit,) = revised = hits(effects := play("revised_kline:at=10,intervals=1s"))
    assert not revised[0].withheld
    right, other = sent_bars(effects, hit.event.event["k"]["t"])
    assert right == hit.event.event["k"] and other != right
    (hit,) = hits(effects := play("wrong_kline:at=10,intervals=1s"))
    assert hit.withheld
    (wrong,) = sent_bars(effects, hit.event.event["k"]["t"])
    assert wrong != hit.event.event["k"]


def test_each_field_of_a_wrong_bar_is_wrong_at_times_and_plausible_always() -> None:
    wrong_fields = set()
    for seed in range(20):
        for hit in hits(effects := play("wrong_kline:from=0,to=40,probability=1,intervals=1s", seed=seed)):
            right = hit.event.event["k"]
            (wrong,) = sent_bars(effects, right["t"])
            wrong_fields.add(frozenset(name for name in wrong if wrong[name] != right[name]))
            assert Decimal(wrong["l"]) <= min(Decimal(wrong["o"]), Decimal(wrong["c"]))
            assert Decimal(wrong["h"]) >= max(Decimal(wrong["o"]), Decimal(wrong["c"]))
    assert frozenset() not in wrong_fields
    assert wrong_fields == {frozenset(names) for names in ("hcvqn", *"hlocvqVQn")}


def test_a_skewed_clock_changes_event_times_and_nothing_else() -> None:
    effects = play("clock_skew:from=10,to=20,offset_ms=700")
    sent = [e.event for e in effects if isinstance(e, Send)]
    for true, event in zip(EVENTS, sent, strict=True):
        inside = START_MS + 10_000 <= true.time_ms < START_MS + 20_000
        expected = {"E": (true.event["E"], true.event["E"] + 700)} if inside and "E" in true.event else {}
        assert differences(true.event, event.event) == expected
    assert len(hits(effects)) == sum(
        1 for e in EVENTS if "E" in e.event and 10_000 <= e.time_ms - START_MS < 20_000
    )


def test_faults_of_connections_fire_at_their_moments_between_the_events() -> None:
    effects = play("drop:every=9", "early_close:at=5.5")
    fires = [effect for effect in effects if isinstance(effect, Fire)]
    assert [(fire.fault.kind, fire.at_ms - START_MS) for fire in fires] == [
        ("early_close", 5_500), ("drop", 9_000), ("drop", 18_000), ("drop", 27_000), ("drop", 36_000),
    ]  # fmt: skip
    for fire in fires:
        place = effects.index(fire)
        before, after = event_of(effects[place - 1]), event_of(effects[place + 1])
        assert before.time_ms < fire.at_ms <= after.time_ms
    assert frames(effects) == TRUE_FRAMES


def test_one_event_suffers_one_fault_the_first_of_the_script() -> None:
    effects = play("skip:streams=trade", "duplicate:streams=trade")
    assert {hit.fault.kind for hit in hits(effects)} == {"skip"}


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
@pytest.mark.parametrize("kind", ["missing_field", "wrong_type", "malformed", "skip", "duplicate", "reorder"])
def test_what_only_the_log_follows_is_never_struck(exchange: str, kind: str) -> None:
    spoken = SPOKEN[exchange]
    symbol = {"kraken": "BTC/USD", "coinbase": "BTC-USD"}[exchange]
    world = spoken.world((symbol,), 11, START_MS, 3.0)
    wanted = frozenset(spoken.dialect.followed(symbol, ("1s",)))
    events: list[Outgoing] = []
    while world.feed.emitted_until_ms < START_MS + 5_000:
        events += world.feed.due(START_MS + 5_000, wanted)
    followed = [event for event in events if not spoken.dialect.carried(event.stream)]
    assert followed
    script = parse_script(None, (f"{kind}:every=0.5",), spoken.dialect.scope).faults
    faults = EventFaults(script, 1, START_MS, spoken.dialect)
    effects = [*faults.step(events, START_MS + 5_000), *faults.release()]
    assert any(isinstance(effect, Hit) for effect in effects)
    names = {event.stream for event in followed}
    assert [e.event for e in effects if isinstance(e, Send) and e.event.stream in names] == followed
    assert not [hit for hit in hits(effects) if hit.event.stream in names]
