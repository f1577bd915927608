"""The page says what each exchange costs and what peers show, reached or not."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.exchange_benchmarks import exchanges_section, peers_books_section, peers_speed_section


def rounds(rate: float) -> list[dict[str, float]]:
    return [
        {
            "messages_per_s": rate,
            "cpu_us": 1e6 / rate,
            "resident_mb": 70.0,
            "messages_per_cpu_s": 2 * rate,
        }
    ]


def costs(kraken: float = 460.0, checksum_us: float = 9.0, coinbase_mb: float = 75.0) -> dict[str, Any]:
    names = ("binance", "kraken", "coinbase")
    return {
        "load": [0.5, 2.0],
        "path": {
            "binance": {"bare": rounds(1_000), "ours": rounds(500)},
            "kraken": {"bare": rounds(1_000), "ours": rounds(kraken)},
            "coinbase": {"bare": rounds(1_000), "ours": rounds(100)},
        },
        "checksum_us": [checksum_us],
        "footprint": {
            "cores": dict.fromkeys(names, 0.1),
            "resident_mb": {"binance": 70.0, "kraken": 70.0, "coinbase": coinbase_mb},
            "own_mb": {"binance": 50.0, "kraken": 60.0, "coinbase": coinbase_mb - 20.0},
            "messages_per_s": dict.fromkeys(names, 60.0),
            "started_s": {name: {"A": 5.0, "B": 12.0} for name in names} | {"kraken": {"A": 31.0}},
        },
    }


def target(lines: list[str], begin: str) -> str:
    return next(line for line in lines if line.startswith(f"| {begin}"))


def test_each_target_of_the_exchanges_stands_beside_its_figure() -> None:
    lines = list(exchanges_section(costs()))
    assert target(lines, "Kraken: 90 %").endswith("(50%) | 92% (46%) | yes |")
    assert target(lines, "Coinbase: 90 %").endswith("| 20% (10%) | **no** |")
    assert target(lines, "Kraken's checksum").endswith("| 9.0 µs | yes |")
    assert target(lines, "three exchanges").endswith("| 0.30 | yes |")
    assert target(lines, "… 220 MB").endswith("| 185 MB | yes |")
    assert target(lines, "each symbol starts").endswith("| the last one after 31 s | **no** |")
    assert "Load average of the machine: 0.5 to 2.0; it is shared." in lines


@pytest.mark.parametrize(
    ("result", "begin"),
    [
        (costs(kraken=440.0), "Kraken: 90 %"),
        (costs(checksum_us=12.1), "Kraken's checksum"),
        (costs(coinbase_mb=111.0), "… 220 MB"),
    ],
)
def test_what_is_missed_is_said_to_be_missed(result: dict[str, Any], begin: str) -> None:
    assert target(list(exchanges_section(result)), begin).endswith("| **no** |")


def test_parts_that_were_not_run_are_left_out() -> None:
    lines = list(exchanges_section({"load": [1.0], "checksum_us": [8.0]}))
    assert target(lines, "Kraken's checksum") and not any("220 MB" in line for line in lines)


def comparison(missing: int, wrong: int) -> dict[str, Any]:
    return {
        "trades": {
            "due": 1_000, "missing": missing, "repeated": 1, "wrong_side": 2, "wrong_value": 3, "unknown": 0,
        },
        "books": {"due": 200, "right": 150, "shown": 400, "wrong": wrong, "undated": 1},
        "told": {},
    }  # fmt: skip


PEER = "cryptofeed 2.5.0"


def shown() -> dict[str, Any]:
    return {
        "load": [3.0],
        "seconds": 60,
        "peers": {PEER: {"options": "as documented", "licence": "XFree86-1.1", "why_not": "speaks v1"}},
        "comparisons": {
            "coinbase": {"skip": {"sides": {"CryptoStream": comparison(0, 0), PEER: comparison(7, 90)}}}
        },
    }


def test_peers_stand_beside_ours_with_what_they_showed_and_why_they_were_left_out() -> None:
    lines = list(peers_books_section(shown()))
    assert "| skip | CryptoStream | 1,000 | 0 | 1 | 2 | 3 | 400 | 0 | 75% |" in lines
    assert "| skip | cryptofeed 2.5.0 | 1,000 | 7 | 1 | 2 | 3 | 400 | 90 | 75% |" in lines
    assert f"* {PEER} (XFree86-1.1): as documented. Not run on Kraken: speaks v1." in lines


def speeds(theirs: float) -> dict[str, Any]:
    sides = {"CryptoStream, to Kafka": rounds(1_000), f"{PEER}, to Kafka": rounds(theirs)}
    return {"load": [3.0], "speed": {"coinbase": sides}}


@pytest.mark.parametrize(("theirs", "reached"), [(100.0, "yes"), (101.0, "**no**")])
def test_ten_times_cryptofeed_is_measured_on_the_same_job(theirs: float, reached: str) -> None:
    assert target(list(peers_speed_section(speeds(theirs))), "10 times cryptofeed").endswith(f"| {reached} |")


def test_without_the_same_job_there_is_no_such_target() -> None:
    result = speeds(100)
    del result["speed"]["coinbase"][f"{PEER}, to Kafka"]
    assert not any(line.startswith("| 10 times") for line in peers_speed_section(result))
