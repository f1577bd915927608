import gzip
import io
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from shared.errors import RecordingError, UsageError
from simulator.exchange import KlineRow, Span
from simulator.outgoing import Outgoing
from simulator.protocols.binance.envelopes import encoded
from simulator.recordings.files import open_recordings
from simulator.recordings.player import Player, shift_to

FEEDS = Path(__file__).resolve().parents[2] / "feeds"

ALL = 10**6


def everything(player: Player) -> list[Outgoing]:
    return player.next_frames(ALL, frozenset(player._recording.streams))


def rebuilt(player: Player, symbol: str, stream: str) -> tuple[str, str, int]:
    """Best bid, best ask and the number of diffs applied by Binance's procedure; fails on a hole."""
    depth = player.depth(symbol, 5000, player.first_ms)
    assert depth is not None
    book: dict[str, dict[str, str]] = {"b": dict(depth.bids), "a": dict(depth.asks)}
    last, applied = depth.last_update_id, 0
    for outgoing in everything(player):
        diff = outgoing.event
        if outgoing.stream != stream or diff["u"] <= last:
            continue
        assert diff["U"] <= last + 1
        for side in "ba":
            book[side].update(map(tuple, diff[side]))
            book[side] = {price: quantity for price, quantity in book[side].items() if float(quantity)}
        last, applied = diff["u"], applied + 1
    return max(book["b"], key=float), min(book["a"], key=float), applied


class TestRealRecordings:
    """What must come out of each file stands in the recordings' README §1, §2."""

    @pytest.mark.thorough
    def test_hftbacktest_joined_over_midnight(self, recordings: Path) -> None:
        files = [recordings / "binance_spot_ws" / f"hft_btcusdt_2024080{day}.gz" for day in (8, 9)]
        recording = open_recordings(list(reversed(files)))
        assert len(recording.frames) == 99_574 - 1
        assert recording.snapshot_symbols == {"BTCUSDT"}
        player = Player(recording)
        before = player.trades("BTCUSDT", None, 1000, 0)
        trades = [event.event["t"] for event in player.next_frames(ALL, frozenset({"btcusdt@trade"}))]
        assert before == []
        assert trades == list(range(3735683259, 3735703162 + 1))
        (row,) = player.trades("BTCUSDT", 3735690000, 1, 0)
        assert row.trade_id == 3735690000
        assert player.finished and player.position_ms == list(recording.frames)[-1].received_us // 1000

    def test_one_session_of_cryptofeed_in_three_files(self, recordings: Path) -> None:
        folder = recordings / "binance_spot_ws"
        parts = ("ws", "http", "0_exchangeInfo")
        recording = open_recordings([folder / f"cf_20211012_BINANCE.{part}.txt.gz" for part in parts])
        player = Player(recording)
        assert len(player.symbols) == 1_695
        assert sum(entry["status"] == "BREAK" for entry in player.symbol_entries(0)) == 433
        expected = {"NKNUSDT": 149, "BLZETH": 9, "LRCBTC": 13, "RUNEEUR": 1}
        for symbol, applied in expected.items():
            assert rebuilt(Player(recording), symbol, f"{symbol.lower()}@depth@100ms")[2] == applied

    def test_cryptofeed_with_the_old_depth_url(self, recordings: Path) -> None:
        recording = open_recordings([recordings / "binance_spot_ws" / "cf_20210404_BINANCE-ee25be.txt.gz"])
        assert len(recording.frames) == 4_716
        assert rebuilt(Player(recording), "DOTUSDT", "dotusdt@depth@100ms") == (
            "43.49510000",
            "43.49860000",
            871,
        )
        player = Player(recording)
        everything(player)
        (closed,) = player.klines("BTCUSDT", "1m", 0, Span(None, None, 500), 0)
        assert closed.close_time_ms == closed.open_time_ms + 59_999
        rows = player.aggregates("BTCUSDT", None, Span(None, None, ALL), 0)
        assert len(rows) == 1_227
        assert all(b.aggregate_id == a.aggregate_id + 1 for a, b in pairwise(rows))

    def test_json_lines_without_receive_times(self, recordings: Path) -> None:
        folder = recordings / "binance_spot_ws"
        frames = open_recordings([folder / "at_btcusdt_mixed_20251114.jsonl"]).frames
        assert [frame.received_us // 1000 - 1763130936114 for frame in frames] == [-100, 0, 100]
        frames = open_recordings([folder / "ph_20260906_single_frames.jsonl"]).frames
        assert [frame.stream for frame in frames] == ["btcusdt@kline_1m", "btcusdt@depth20@100ms"]

    def test_recorder_csv_in_milliseconds_and_without_its_false_last_diff(self, recordings: Path) -> None:
        folder = recordings / "binance_spot_csv_recorder"
        recording = open_recordings(sorted(folder.iterdir()))
        events = [orjson.loads(frame.body) for frame in recording.frames]
        trades = [event for event in events if event["e"] == "trade"]
        diffs = [event for event in events if event["e"] == "depthUpdate"]
        assert [trade["t"] for trade in trades] == list(range(348656870, 348666869 + 1))
        assert (trades[0]["T"], trades[0]["p"], trades[0]["m"]) == (1741046401271, "0.23120000", True)
        assert len(diffs) == 2_833 - 1
        assert all(after["U"] == before["u"] + 1 for before, after in pairwise(diffs))

    def test_spot_archives_in_both_units_are_one_hour_grid(self, recordings: Path) -> None:
        files = sorted((recordings / "binance_spot_archive").glob("BTCUSDT-1h-*"))
        player = Player(open_recordings(files))
        rows = player.klines("BTCUSDT", "1h", 0, Span(0, None, ALL), 0)
        assert len(rows) == 5_088
        assert all(after.open_time_ms - before.open_time_ms == 3_600_000 for before, after in pairwise(rows))
        assert all(row.close_time_ms == row.open_time_ms + 3_599_999 for row in rows)
        assert player.position_ms == rows[-1].close_time_ms + 1
        assert player.klines("BTCUSDT", "1h", 0, Span(None, rows[9].open_time_ms, 3), 0) == rows[7:10]

    @pytest.mark.thorough
    def test_futures_archives_serve_as_history(self, recordings: Path) -> None:
        recording = open_recordings([recordings / "binance_usdm_archive" / "LTCUSDT-1m-2026-02.csv.gz"])
        rows = {row.open_time_ms: row for row in recording.bars(("LTCUSDT", "1m"))}
        assert len(rows) == 40_320
        assert rows[1769904000000].open == "59.49000000"

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("binance_usdm_ws/hft_usdm_btcusdt_20240718.gz", "USD-M futures"),
            ("coinbase/cf_20260809_COINBASE_advancedtrade.jsonl.gz", "COINBASE"),
            ("kraken/cf_20210417_KRAKEN.ws.50.txt.gz", "not a frame of Binance spot"),
            ("kraken/cf_20210417_KRAKEN.0_AssetPairs.txt.gz", "api.kraken.com"),
            ("README.md", "not a recording"),
        ],
    )
    def test_what_is_not_binance_spot_is_refused_by_name(
        self, recordings: Path, name: str, what: str
    ) -> None:
        with pytest.raises(RecordingError, match=what) as refused:
            open_recordings([recordings / name])
        assert str(recordings / name) in str(refused.value)
        assert "\n" not in str(refused.value)


FRAME = (
    b'{"stream":"xusd@trade","data":'
    b'{"e":"trade","E":1000,"s":"XUSD","t":1,"p":"2.0","q":"3.0","T":999,"m":true}}'
)
KLINES = b"1699999200000,1,3,0.5,2,10,1700002799999,20,5,4,8,0\n"


@pytest.fixture
def feeds() -> Path:
    return Path(__file__).resolve().parents[2] / "feeds"


@pytest.fixture
def frame_file(tmp_path: Path) -> Path:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(FRAME + b"\n\n")
    return path


def test_zipped_archives_are_read(tmp_path: Path) -> None:
    path = tmp_path / "XUSD-1h-2023-11.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("XUSD-1h-2023-11.csv", KLINES)
    (row,) = open_recordings([path]).bars(("XUSD", "1h"))
    assert (row.open_time_ms, row.high, row.trade_count) == (1699999200000, "3.00000000", 5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        # Without a time: the bytes are part of the test's name, which must be the same in every process.
        ("empty.gz", gzip.compress(b"", mtime=0)),
        ("truncated.gz", gzip.compress(FRAME * 50, mtime=0)[:-20]),
        ("binary", b"\x00\xff\xfe" * 30),
        ("half.jsonl", FRAME[:-9]),
        ("wrong-name.csv", KLINES),
        ("XUSD-1h-2023.csv", b"1699999200000,1,3\n"),
        ("XUSD-1h-2023.csv", KLINES.replace(b"0.5", b"low")),
        ("recorder.csv", b"TimestampOfReceive,Stream\n1,2\n"),
        ("recorder.csv", b"TimestampOfReceive,Stream,EventTime,TradeId\nx,y,z,1\n"),
        ("damaged.zip", b"PK\x03\x04nonsense"),
    ],
)
def test_damaged_files_give_one_line_that_names_them(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RecordingError) as refused:
        open_recordings([path])
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def many(frames: int) -> list[bytes]:
    """Lines that compress badly, so that a cut falls within them."""
    return [
        FRAME.replace(b'"t":1,', b'"t":%d,' % number).replace(b'"p":"2.0"', b'"p":"%d.5"' % (number**3 % 997))
        for number in range(1, frames + 1)
    ]


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.jsonl", content)
    return packed.getvalue()


@pytest.mark.parametrize("pack", [lambda content: gzip.compress(content, mtime=0), zipped])
def test_a_packed_recording_that_was_cut_is_read_up_to_the_cut(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"\n".join(many(2_000)))
    path = tmp_path / "frames.gz"
    path.write_bytes(packed[: len(packed) // 2])
    recording = open_recordings([path])
    ids = [orjson.loads(frame.body)["t"] for frame in recording.frames]
    assert 500 < len(ids) < 1_500 and ids == list(range(1, len(ids) + 1))
    (note,) = recording.notes
    assert str(path) in note and f"{len(ids)} lines" in note


def test_a_gzip_recording_damaged_in_the_middle_gives_no_nonsense(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"\n".join(many(100_000)), mtime=0))
    packed[len(packed) // 2 : len(packed) // 2 + 400] = bytes(400)
    path = tmp_path / "frames.gz"
    path.write_bytes(packed)
    with pytest.raises(RecordingError) as refused:
        open_recordings([path])
    # Deflate does not always notice at once: then a line is nonsense, and it is named.
    assert "line" in str(refused.value) or "incorrect" in str(refused.value)


def test_a_torn_last_line_is_left_out_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"\n".join(many(5))[:-9])
    recording = open_recordings([path])
    assert [orjson.loads(frame.body)["t"] for frame in recording.frames] == [1, 2, 3, 4]
    assert "line (5) is torn" in recording.notes[0]


def test_a_last_line_without_its_end_is_no_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"\n".join(many(5)))
    recording = open_recordings([path])
    assert len(recording.frames) == 5 and not recording.notes


def test_an_unreadable_line_in_the_middle_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"\n".join([FRAME, b"", FRAME[:-9], FRAME, b""]))
    with pytest.raises(RecordingError, match="line 3: damaged JSON"):
        open_recordings([path])


def test_odd_frames_are_played_as_they_were_recorded(feeds: Path) -> None:
    lines = (feeds / "odd-trades.jsonl").read_bytes().splitlines()
    player = Player(open_recordings([feeds / "odd-trades.jsonl"]))
    events = everything(player)
    assert len(events) == len(lines)
    for event, line in zip(events, lines, strict=True):
        frame = encoded(event, combined=True, microseconds=False)
        # Every byte of the event, though the envelope is the simulator's.
        recorded = line[line.index(b'"data": ') + 8 : -1]
        assert b'"data":' + recorded + b"," in frame


def test_rest_knows_the_readable_trades_of_an_odd_recording_alone(feeds: Path) -> None:
    player = Player(open_recordings([feeds / "odd-trades.jsonl"]))
    events = everything(player)
    rows = player.trades("BTCUSDT", None, 1000, 0)
    assert [row.trade_id for row in rows] == [event.event["t"] for event in events if event.genuine]
    assert {1, 2, 17, 18} <= {row.trade_id for row in rows}
    assert not {3, 4, 6, 7, 8, 9, 10, 11} & {row.trade_id for row in rows}


def test_trades_that_begin_anew_are_asked_for_by_their_own_ids(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    event = '{"e":"trade","E":%d,"s":"XUSD","t":%d,"p":"2","q":"3","T":%d,"m":true}'
    frame = '{"stream":"xusd@trade","data":' + event + "}"
    path.write_text(
        "\n".join(frame % (time, number, time) for time, number in ((10, 900), (20, 901), (15, 899), (30, 1)))
    )
    player = Player(open_recordings([path]))
    player.next_frames(3, frozenset())
    assert [row.trade_id for row in player.trades("XUSD", None, 10, 0)] == [899, 900, 901]
    player.next_frames(1, frozenset())
    assert [row.trade_id for row in player.trades("XUSD", 0, 10, 0)] == [1]
    assert [row.trade_id for row in player.trades("XUSD", None, 2, 0)] == [901, 1]


def test_quotes_of_which_nobody_knows_when_they_were_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "quotes.jsonl"
    quote = '{"stream":"xusd@bookTicker","data":{"u":%d,"s":"XUSD","b":"1","B":"2","a":"3","A":"4"}}\n'
    path.write_text("".join(quote % number for number in range(3)))
    with pytest.raises(RecordingError, match=r"quotes\.jsonl: no frame has a time"):
        everything(Player(open_recordings([path])))
    path.write_text(path.read_text() + quote.replace('"data"', '"receivedTime":1790000000000,"data"') % 3)
    assert len(everything(Player(open_recordings([path])))) == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere\.gz: cannot be read"):
        open_recordings([tmp_path / "nowhere.gz"])


def test_a_shift_moves_every_time_and_keeps_bars_aligned(tmp_path: Path, frame_file: Path) -> None:
    archive = tmp_path / "XUSD-1h-2023-11.csv"
    archive.write_bytes(KLINES)
    recording = open_recordings([frame_file, archive])
    now_ms = 1_785_767_130_000
    shift = shift_to(recording, now_ms)
    player = Player(recording, shift)
    assert shift % 3_600_000 == 0
    assert now_ms - 3_600_000 < player.first_ms <= now_ms
    (trade,) = everything(player)
    assert (trade.event["E"], trade.event["T"], trade.received_time_ms) == (
        1000 + shift,
        999 + shift,
        1000 + shift,
    )
    (row,) = player.klines("XUSD", "1h", 0, Span(None, None, 5), now_ms)
    assert (row.open_time_ms, row.close_time_ms) == (1699999200000 + shift, 1700002799999 + shift)
    assert player.trades("XUSD", None, 5, now_ms)[0].trade_time_ms == 999 + shift


def test_history_alone_is_shifted_to_end_now(tmp_path: Path) -> None:
    archive = tmp_path / "XUSD-1h-2023-11.csv"
    archive.write_bytes(KLINES)
    recording = open_recordings([archive])
    player = Player(recording, shift_to(recording, 1_785_767_130_000))
    assert 1_785_767_130_000 - 3_600_000 < player.position_ms <= 1_785_767_130_000


def test_months_cannot_be_shifted(tmp_path: Path) -> None:
    archive = tmp_path / "XUSD-1mo-2023-11.csv"
    archive.write_bytes(KLINES)
    with pytest.raises(UsageError, match="--shift-now"):
        shift_to(open_recordings([archive]), 1_785_767_130_000)


def test_frames_come_by_time_and_only_those_wanted(frame_file: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.jsonl"
    second.write_bytes(FRAME.replace(b'"E":1000', b'"E":1500').replace(b"xusd@trade", b"xusd@aggTrade"))
    player = Player(open_recordings([second, frame_file]))
    wanted = frozenset({"xusd@trade"})
    assert player.due(999, wanted) == []
    assert [event.stream for event in player.due(1000, wanted)] == ["xusd@trade"]
    assert player.due(1499, wanted) == [] and player.position_ms == 1499
    assert player.due(9999, wanted) == []
    assert player.finished and player.position_ms == 1500


def test_where_ids_begin_anew_they_mean_the_trades_since() -> None:
    player = Player(open_recordings([FEEDS / "trade-ids-anew.jsonl"]))
    player.next_frames(8, frozenset())
    assert [row.trade_id for row in player.trades("BTCUSDC", 7_005, 10, 0)] == [7_005, 7_006, 7_007]
    player.next_frames(6, frozenset())
    assert [row.trade_id for row in player.trades("BTCUSDC", 3, 10, 0)] == [3, 4, 5, 6]
    assert player.trades("BTCUSDC", 7_000, 10, 0) == []


HOUR_MS = 3_600_000
START_MS = 1_699_999_200_000
NAMES = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    b"taker_buy_quote_volume,ignore\n"
)


def archived(open_ms: int, *, close: str = "2") -> bytes:
    return b"%d,1,3,0.5,%s,10,%d,20,5,4,8,0\n" % (open_ms, close.encode(), open_ms + HOUR_MS - 1)


HOURS = [archived(START_MS + number * HOUR_MS) for number in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        NAMES + b"".join(HOURS),
        b"\xef\xbb\xbf" + b"\n".join(HOURS).replace(b"\n", b"\r\n"),
        b"\n\n" + b"".join(HOURS).rstrip(),
        HOURS[0] + b"\xef\xbb\xbf" + NAMES + b"".join(HOURS[1:]),
        # In seconds, microseconds and nanoseconds.
        b"".join(HOURS).replace(b"000,1,", b",1,").replace(b"999,20,", b",20,"),
        b"".join(HOURS).replace(b"000,1,", b"000000,1,").replace(b"999,20,", b"999999,20,"),
        HOURS[0]
        + b"".join(HOURS[1:]).replace(b"000,1,", b"000000000,1,").replace(b"999,20,", b"999999999,20,"),
    ],
)
@pytest.mark.parametrize(
    "name", ["XUSD-1h-2023-11.csv", "币安人生USDT-1h-2023-11.csv", "X_PERP-1h-2023-11-14.csv"]
)
def test_an_archive_is_read_whatever_wrote_it(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    recording = open_recordings([path])
    (series,) = recording.series
    assert series == (name.partition("-")[0], "1h")
    assert [(row.open_time_ms, row.close_time_ms) for row in recording.bars(series)] == [
        (START_MS + number * HOUR_MS, START_MS + (number + 1) * HOUR_MS - 1) for number in range(3)
    ]


def test_members_of_a_zip_are_archives_of_their_own_and_litter_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("XUSD-1h-2023-11.csv", HOURS[0])
        packed.writestr("__MACOSX/._XUSD-1h-2023-11.csv", b"\x00\x05\x16\x07")
        packed.writestr("YUSD-1h-2023-11.csv", HOURS[1])
        packed.writestr("YUSD-1h-2023-11.zip.CHECKSUM", b"0123  YUSD-1h-2023-11.zip\n")
    found = open_recordings([path])
    assert {series: [row.open_time_ms for row in found.bars(series)] for series in found.series} == {
        ("XUSD", "1h"): [START_MS],
        ("YUSD", "1h"): [START_MS + HOUR_MS],
    }


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("spot/daily/XUSD-1h-2023-11.csv", "futures/um/XUSD-1h-2023-12.csv", "give files of one market"),
        ("spot/daily/XUSD-1h-2023-11.csv", "YUSD_PERP-1h-2023-12.csv", "give files of one market"),
        ("a/XUSD-1h-2023-11.csv", "b/XUSD-1h-2023-11.csv", "two bars of XUSD 1h at 1699999200000"),
    ],
)
def test_archives_that_do_not_go_together_are_refused_naming_both(
    tmp_path: Path, one: str, other: str, says: str
) -> None:
    paths = [tmp_path / one, tmp_path / other]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archived(START_MS, close=f"{number + 1}.5"))
    with pytest.raises(RecordingError, match=says) as refused:
        open_recordings(paths)
    assert all(str(path) in str(refused.value) for path in paths)


def test_an_archive_of_trades_is_refused_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "XUSD-trades-2023-11.csv"
    path.write_bytes(b"1,2.0,3.0,6.0,1699999200000,True,True\n")
    with pytest.raises(RecordingError, match="by its name an archive of trades, which cannot be played"):
        open_recordings([path])


def test_bars_beside_the_grid_are_told_and_holes_are_the_exchange_s(tmp_path: Path) -> None:
    path = tmp_path / "XUSD-1h-2018-02.csv"
    beside = [archived(START_MS + 5 * HOUR_MS + 1_694_789 + number * HOUR_MS) for number in range(2)]
    path.write_bytes(b"".join([*HOURS, *beside, archived(START_MS + 8 * HOUR_MS)]))
    recording = open_recordings([path])
    (note,) = recording.notes
    assert "2 bars open beside the grid of 1h, the first at 1700018894789; taken as they are" in note
    assert len(list(recording.bars(("XUSD", "1h")))) == 6
    (entry,) = Player(recording, 7 * HOUR_MS).symbol_entries(0)
    assert entry["recordedHalts"] == [(START_MS + 10 * HOUR_MS, START_MS + 15 * HOUR_MS - 1)]


def test_an_archive_without_holes_has_no_halts(tmp_path: Path) -> None:
    path = tmp_path / "XUSD-1h-2018-02.csv"
    path.write_bytes(b"".join(HOURS))
    assert all("recordedHalts" not in entry for entry in Player(open_recordings([path])).symbol_entries(0))


def test_our_own_export_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(
        "open_time_ms,exchange,symbol,interval,open,high,low,close,base_volume,quote_volume,"
        "taker_buy_base_volume,taker_buy_quote_volume,trade_count\n"
        f"{START_MS},binance,XUSD,1h,1.0,3.0,0.5,2.0,10.0,20.0,4.0,8.0,5\n"
    )
    (row,) = open_recordings([path]).bars(("XUSD", "1h"))
    assert row == open_row()


def open_row() -> KlineRow:
    return KlineRow(
        START_MS,
        *("1.00000000", "3.00000000", "0.50000000", "2.00000000", "10.00000000"),
        START_MS + HOUR_MS - 1,
        "20.00000000",
        5,
        *("4.00000000", "8.00000000"),
    )
