"""Recordings of any length: read as they are played, and never held."""

from __future__ import annotations

import gzip
import itertools
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import CryptoStreamError, RecordingError
from simulator.recordings import files as recording_files
from simulator.recordings import text
from simulator.recordings.files import open_recordings
from simulator.recordings.frames import WINDOW, InOrder
from simulator.recordings.items import Frame
from simulator.recordings.player import MOST_AT_ONCE, Player
from simulator.recordings.text import Lines
from tests.conftest import ROOT

ALL = 10**6


def line(number: int, time_ms: int, symbol: str = "XUSD") -> bytes:
    event = {
        "e": "trade", "E": time_ms, "s": symbol, "t": number, "p": f"{100 + number % 7}.50", "q": "0.25",
        "T": time_ms, "m": True,
    }  # fmt: skip
    return orjson.dumps({"stream": f"{symbol.lower()}@trade", "data": event})


def hft(number: int, time_ms: int, symbol: str = "XUSD") -> bytes:
    """A line whose receive time is its own."""
    return b"%d %s\n" % (1_700_000_000_000_000_000 + time_ms * 1_000_000, line(number, time_ms, symbol))


def ids(player: Player) -> list[int]:
    return [event.event["t"] for event in player.next_frames(ALL, frozenset(player._recording.streams))]


@given(st.lists(st.binary(max_size=12).map(lambda piece: piece.replace(b"\r", b"")), max_size=12), st.data())
@settings(max_examples=200)
def test_lines_are_the_same_in_whatever_pieces_they_come(pieces: list[bytes], data: st.DataObject) -> None:
    content = b"\n".join(piece.hex().encode() for piece in pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))

    class Pieces(Lines):
        def _pieces(self, path: Path) -> Iterator[bytes]:
            for begin, end in itertools.pairwise([0, *cuts, len(content)]):
                yield content[begin:end]

    assert list(Pieces(Path("x"))) == [found for found in content.decode().split("\n") if found]


@pytest.mark.parametrize("size", [0, 1, text._PIECE - 1, text._PIECE, text._PIECE + 1, 3 * text._PIECE + 17])
@pytest.mark.parametrize("members", [1, 3])
def test_a_gzip_file_is_unpacked_in_pieces_that_are_its_content(
    tmp_path: Path, size: int, members: int
) -> None:
    content = b"\n".join(b"%0200d" % number for number in range(size // 201 + 1))[:size]
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(content) * members)
    pieces = list(Lines(path)._pieces(path))
    assert b"".join(pieces) == content * members
    assert all(len(piece) <= text._PIECE for piece in pieces)


@pytest.mark.parametrize("pack", ["plain", "gzip", "zip"])
@pytest.mark.parametrize("whole_lines", [0, 2])
def test_an_endless_line_is_refused_by_file_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str, whole_lines: int
) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", 10_000_000)
    monkeypatch.setattr(text, "_PIECE", 2**20)
    content = b"".join(hft(number, number) for number in range(whole_lines)) + b"1" * 12_000_000
    path = tmp_path / f"frames.{pack}"
    match pack:
        case "plain":
            path.write_bytes(content)
        case "gzip":
            path.write_bytes(gzip.compress(content))
        case _:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr("frames.jsonl", content)
    with pytest.raises(RecordingError, match=rf"line {whole_lines + 1}: longer than 9 MiB") as refused:
        open_recordings([path])
    assert str(path) in str(refused.value)


def test_a_recorded_answer_may_be_longer_than_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LONGEST_LINE", 1_000)
    entries = [{"symbol": f"S{number}USD", "status": "TRADING"} for number in range(100)]
    answer = orjson.dumps({"symbols": entries}).decode()
    path = tmp_path / "session.txt"
    path.write_text(
        f"https://api.binance.com/api/v3/exchangeInfo -> 1700000000.1: {answer}\n"
        f"1700000000.5: {line(1, 1).decode()}\n"
    )
    assert len(Player(open_recordings([path])).symbols) == 101


# --- order -------------------------------------------------------------------------------------------------


@given(st.randoms(use_true_random=False), st.integers(0, 3 * WINDOW))
@settings(max_examples=20, deadline=None)
def test_frames_that_stand_near_their_place_come_in_their_order(source: random.Random, count: int) -> None:
    frames = [Frame(number // 3, "s", b"%d" % number) for number in range(count)]
    # A stable order: frames of one time stay as they stood.
    near = sorted(frames, key=lambda frame: frame.received_us * 3 + source.randrange(WINDOW // 2))
    ordered = InOrder(iter(near))
    found = list(ordered)
    assert ordered.late == 0
    assert found == sorted(near, key=lambda frame: frame.received_us)


def test_a_frame_far_from_its_place_is_played_where_it_stands_and_told(tmp_path: Path) -> None:
    path = tmp_path / "frames.gz"
    lines = [hft(number, 1_000 + number) for number in range(1, 3 * WINDOW)]
    lines.append(hft(0, 0))
    path.write_bytes(gzip.compress(b"".join(lines)))
    recording = open_recordings([path])
    (note,) = recording.notes
    assert f"1 frames stand more than {WINDOW:,} frames behind their time" in note
    player = Player(recording)
    found = ids(player)
    assert sorted(found) == list(range(3 * WINDOW)) and len(found) == len(lines)
    times = [frame.received_us for frame in recording.frames]
    assert times == sorted(times)


def test_files_that_overlap_are_one_recording_and_only_they_are_open_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for hour in range(20):
        for symbol in ("AUSD", "BUSD"):
            path = tmp_path / f"hft_{symbol.lower()}_20240808_{hour}.gz"
            path.write_bytes(
                gzip.compress(b"".join(hft(hour * 10 + n, hour * 1_000 + n, symbol) for n in range(10)))
            )
            paths.append(path)
    recording = open_recordings(list(reversed(paths)))
    open_now, most = 0, 0

    class Counted(Lines):
        def _pieces(self, path: Path) -> Iterator[bytes]:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            try:
                yield from super()._pieces(path)
            finally:
                open_now -= 1

    monkeypatch.setattr(recording_files, "Lines", Counted)
    player = Player(recording)
    assert ids(player) == [n for n in range(200) for _ in range(2)]
    assert most <= 2 + 1  # the next hour's is opened while the last frames of this one are read


# --- files that change -------------------------------------------------------------------------------------


def test_a_file_that_has_grown_is_played_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"".join(hft(number, number) for number in range(1, 4)))
    recording = open_recordings([path])
    with path.open("ab") as file:
        file.write(hft(4, 4) + b"torn")
    assert ids(Player(recording)) == [1, 2, 3]


def test_a_file_that_has_become_shorter_ends_the_replay_in_words(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"".join(hft(number, number) for number in range(1, 4)))
    recording = open_recordings([path])
    path.write_bytes(hft(1, 1))
    with pytest.raises(RecordingError, match="has 1 frames, and had 3 when it was opened"):
        ids(Player(recording))


# --- what is said of it ------------------------------------------------------------------------------------


def test_how_far_the_reading_has_come_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_files, "_PROGRESS_EVERY", 2)
    path = tmp_path / "frames"
    path.write_bytes(b"".join(hft(number, number) for number in range(1, 6)))
    told: list[int] = []
    open_recordings([path, path], told.append)
    assert told == [2, 4, 6, 8, 10]


def test_where_there_is_no_room_for_it_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(CryptoStreamError, match=r"nowhere: the recording's database .* by TMPDIR"):
        open_recordings([tmp_path / "frames"])


# --- what REST knows ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(1, 99)), max_size=60), st.integers(0, 420_000))
@settings(max_examples=60, deadline=None)
def test_a_window_sums_the_trades_in_it(
    tmp_path_factory: pytest.TempPathFactory, trades: list[tuple[int, int]], from_ms: int
) -> None:
    trades.sort()
    path = tmp_path_factory.mktemp("windows") / "frames"
    path.write_bytes(b"".join(hft(number, at) for number, (at, _) in enumerate(trades)) or hft(0, 0))
    player = Player(open_recordings([path]))
    ids(player)
    window = player.window("XUSD", from_ms, 500_000)
    rows = [row for row in player.trades("XUSD", None, ALL, 0) if row.trade_time_ms >= from_ms]
    assert window.trade_count == len(rows)
    if rows:
        assert (window.first_trade_id, window.last_trade_id) == (rows[0].trade_id, rows[-1].trade_id)
        assert (window.open, window.last) == (rows[0].price, rows[-1].price)
        assert Decimal(window.high) == max(Decimal(row.price) for row in rows)
        assert Decimal(window.low) == min(Decimal(row.price) for row in rows)
        assert Decimal(window.base_volume) == sum(Decimal(row.quantity) for row in rows)
        assert Decimal(window.quote_volume) == sum(Decimal(row.quote_quantity) for row in rows)


def test_however_much_is_due_it_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"".join(hft(number, number) for number in range(2 * MOST_AT_ONCE + 5)))
    player = Player(open_recordings([path]))
    wanted = frozenset({"xusd@trade"})
    counts = []
    while not player.finished:
        counts.append(len(player.due(player.first_ms + ALL, wanted)))
    assert counts == [MOST_AT_ONCE, MOST_AT_ONCE, 5]


@pytest.mark.thorough
def test_four_times_the_frames_take_the_same_memory(tmp_path: Path) -> None:
    def peak_kib(count: int) -> int:
        path = tmp_path / f"{count}.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number in range(count):
                file.write(hft(number, number * 6))
        script = (
            "import resource, sys\nfrom pathlib import Path\n"
            "from simulator.recordings.files import open_recordings\n"
            "from simulator.recordings.player import Player\n"
            "player = Player(open_recordings([Path(sys.argv[1])]))\n"
            "while not player.finished:\n    player.next_frames(500, frozenset({'xusd@trade'}))\n"
            "assert player.played == int(sys.argv[2])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), str(count)],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    few = peak_kib(12_000)
    assert peak_kib(60_000) < few + 8 * 1024
