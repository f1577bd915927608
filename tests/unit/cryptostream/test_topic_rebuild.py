"""Snapshots of the ledger on other partitions."""

from __future__ import annotations

from consumers.ledger_account import Account
from consumers.ledger_incidents import SeriesIncidents
from consumers.ledger_snapshot import (
    PARTITION_KEY,
    PartitionSnapshot,
    SeriesSnapshot,
    decode_series,
    restart,
)
from cryptostream.topic_rebuild import repartitioned
from shared.id_ranges import IdRanges
from shared.ledger import LedgerSeries
from shared.partitioner import partition_of
from tests.builders import NOW_MS, ledger


def snapshot(symbol: str, offset: int) -> SeriesSnapshot:
    series = LedgerSeries("binance", symbol, "trades")
    return SeriesSnapshot(series, offset, 3, Account(series, 100), SeriesIncidents(), IdRanges())


def test_each_series_lies_where_its_events_are_and_all_of_them_are_read_again() -> None:
    symbols = [f"COIN{number}USDC" for number in range(20)]
    states: list[dict[bytes, bytes]] = [{} for _ in range(6)]
    for number, symbol in enumerate(symbols):
        home = states[partition_of(f"binance:{symbol}".encode(), 6)]
        home[snapshot(symbol, 0).key] = snapshot(symbol, 500 + number).encode()
    for number, state in enumerate(states):
        counted = PartitionSnapshot(
            700, 3, heard_ms=number, uncovered=((None, number),) if number == 2 else ()
        )
        state[PARTITION_KEY] = counted.encode()
    placed: dict[int, dict[bytes, bytes]] = {number: {} for number in range(12)}
    for partition, key, value in repartitioned(states, 12):
        placed[partition][key] = value
    for symbol in symbols:
        assert snapshot(symbol, 0).key in placed[partition_of(f"binance:{symbol}".encode(), 12)]
    for records in placed.values():
        start = restart(records, 0, 40, lambda _offset: None)
        assert (start.offset, start.known_to, start.uncovered, start.note) == (0, {}, False, None)
        assert len(start.series) == len(records) - 1
        assert (start.snapshot.heard_ms, start.snapshot.uncovered) == (5, ((None, 2),))


def test_two_snapshots_of_a_series_that_had_moved_are_joined() -> None:
    def counted(offset: int, first: int, last: int) -> SeriesSnapshot:
        known = snapshot("BTCUSDC", offset)
        assert known.account is not None
        known.account.enter("expected", first, last, NOW_MS)
        known.incidents.receive(known.series, ledger(kind="gap", first=first, last=last))
        return known

    # The one with the higher offset would hide the other, whose events were deleted.
    states = [{of.key: of.encode()} for of in (counted(900, 1, 50), counted(20, 51, 60))]
    (record,) = [record for record in repartitioned(states, 12) if record.key != PARTITION_KEY]
    joined = decode_series(record.value)
    assert joined is not None and joined.account is not None
    assert (list(joined.account.expected), joined.incidents.counts) == ([(1, 60)], {"gap": 2})
    assert list(joined.waiting) == [(NOW_MS // 60_000, NOW_MS // 60_000)]
