"""What is looked at in a running stack; each function raises Failed, or returns what it found."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.compose import grafana
from tests.compose.composer import PROJECT, Composer, Failed, containers, engine, lasting, say
from tests.conftest import ROOT

SYMBOLS: Final = 4
# Those of the profiles of other exchanges.
ELSEWHERE: Final = (("kraken", "BTC/USD"), ("coinbase", "BTC-USD"))
EXCHANGES: Final = ("binance", *(exchange for exchange, _ in ELSEWHERE))
MEMORY_BYTES: Final = 4 * 10**9
# One trade that is not sent, one that comes as garbage, one hole in an order book; each at the next occasion.
FAULTS: Final = (
    {"kind": "skip", "streams": ["trade"], "symbols": ["BTCUSDC"], "at": 0},
    {"kind": "malformed", "streams": ["trade"], "symbols": ["ETHUSDC"], "at": 0},
    {"kind": "skip", "streams": ["depth"], "symbols": ["BTCUSDC"], "at": 0},
)
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# Names of environment variables that hold secrets by their nature.
_SECRET_NAME: Final = re.compile(r"(PASSWORD|TOKEN|SECRET)$")
# A lock of packages has digests that look the same.
_INFLUX_TOKEN: Final = re.compile(r"(?<!sha512-)[A-Za-z0-9_-]{86}==")
_SECRET_FILES: Final = (
    "operator/influx-admin-password",
    "operator/influx-operator-token",
    "writer/influx-writer-token",
    "grafana/influx-reader-token",
    "grafana/grafana-admin-password",
    "prefect/prefect-db-password",
    "prefect-api/prefect-login",
)


Series = tuple[str, str, str, str]  # exchange, symbol, stream, interval


def expected_series(markets: Iterable[str], intervals: Iterable[str]) -> set[Series]:
    """What the ledger of a stack has to count.

    Args:
        markets: with their exchanges, like `kraken:BTC/USD`.
    """
    streams = [("trades", ""), *(("klines", interval) for interval in intervals)]
    return {
        (exchange, symbol, *stream)
        for exchange, _, symbol in (market.partition(":") for market in markets)
        for stream in streams
    }


def configured_series(composer: Composer) -> set[Series]:
    """The same by the settings that the services of the stack have."""
    program = (
        "import json; from shared.settings import load_settings; of = load_settings(); "
        "print(json.dumps([list(map(str, of.markets)), of.intervals]))"
    )
    said = composer.call("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "cli", "-c", program)
    return expected_series(*json.loads(said.strip().splitlines()[-1]))


def series_of(one: dict[str, Any]) -> Series:
    return one["exchange"], one["symbol"], one["stream"], one["interval"]


def ledger(composer: Composer) -> dict[str, Any]:
    """The completeness ledger, counted again from the store: nothing lost, nothing missing."""
    text = composer.cli("ledger", "--verify", "--format", "json", check=False, timeout_s=600)
    if not text.startswith("{"):
        raise Failed(f"ledger: no report: {text[-300:]}")
    found: dict[str, Any] = json.loads(text)
    lost = {" ".join(filter(None, series_of(one))): one["lost"] for one in found["series"] if one["lost"]}
    if lost or not found["complete"]:
        raise Failed(f"ledger: lost {lost}; verification {json.dumps(found['verification'])[:1_500]}")
    counted, wanted = set(map(series_of, found["series"])), configured_series(composer)
    if counted != wanted:
        missing, others = sorted(wanted - counted), sorted(counted - wanted)
        raise Failed(f"ledger: not counted {missing}, counted beside the settings {others}")
    total = sum(one["expected"] for one in found["series"])
    say(f"ledger: {total:,} expected in {len(wanted)} series, all stored, 0 lost; the store agrees")
    return found


def expected(found: dict[str, Any]) -> dict[Series, int]:
    return {series_of(one): one["expected"] for one in found["series"]}


def flowing(composer: Composer) -> None:
    """The newest point of every kind is young."""
    for words, most_s in (
        (("klines", "BTCUSDC", "1s"), 30),
        (("klines", "BTCUSDC", "1m"), 180),
        (("indicators", "SOLUSDC", "1s"), 30),
        (("trades", "ETHUSDC"), 60),
        (("book", "XRPUSDC"), 30),
        (("quotes", "BTCUSDC"), 30),
        (("ledger", "BTCUSDC"), 240),
    ):
        rows = json.loads(composer.cli("query", *words, "--last", "1", "--format", "json"))
        if not rows:
            raise Failed(f"query {' '.join(words)}: no points")
        now_s = float(composer.call("exec", "-T", "influxdb", "date", "+%s"))
        age_s = now_s - max(_time_ms(row) for row in rows) / 1e3
        if age_s > most_s:
            raise Failed(f"query {' '.join(words)}: the newest point is {age_s:.0f} s old")
    say("points flow: klines, indicators, trades, books, quotes and ledger are fresh")


def _time_ms(row: dict[str, Any]) -> int:
    """Its time, which is named by what it is: open_time_ms, trade_time_ms, time_ms."""
    (name,) = (name for name in row if name.endswith("time_ms"))
    return int(row[name])


def simulator(composer: Composer, path: str, body: Any = None) -> Any:
    """What it answers; with a body, which is posted."""
    posted = None if body is None else json.dumps(body).encode()
    program = (
        "import sys, urllib.request as u; "
        f"sys.stdout.write(u.urlopen('http://127.0.0.1:9000{path}', {posted!r}, 10).read().decode())"
    )
    return json.loads(composer.call("exec", "-T", "simulator", "python", "-c", program))


def out_of_step(composer: Composer) -> bool:
    """The store has been told that BTCUSDC's book could not be believed."""
    rows = json.loads(
        composer.cli("query", "book", "BTCUSDC", "--last", "300", "--format", "json", check=False) or "[]"
    )
    return any(row["synced"] is False for row in rows)


def scripted_events(composer: Composer, found: dict[str, Any]) -> None:
    """The gap, the bad record and the unsynced book are told as often as the simulator made them."""
    fired = {
        (fault["kind"], stream): fault["records"].get(stream, 0)
        for fault in simulator(composer, "/simulator/faults")
        for stream in ("trade", "depth")
        if fault["fired"] and fault["records"].get(stream, 0)
    }
    wanted = {("skip", "trade"): 1, ("malformed", "trade"): 1, ("skip", "depth"): 1}
    if fired != wanted:
        raise Failed(f"the simulator has made {fired}, not {wanted}")
    told: dict[tuple[str, str, str], int] = {}
    for note in found["found"]:
        key = (note["symbol"], note["stream"], note["kind"])
        told[key] = told.get(key, 0) + note["last"] - note["first"] + 1
    # The trade that was not sent, and the one that came as garbage; both are stored by now (`ledger`).
    for symbol in ("BTCUSDC", "ETHUSDC"):
        if told.get((symbol, "trades", "gap")) != 1:
            raise Failed(f"ledger: gaps of {symbol} trades are not the 1 that the simulator withheld: {told}")
    out_of_step = [
        note
        for note in found["found"]
        if (note["symbol"], note["kind"]) == ("BTCUSDC", "unsynced") and "is missing" in note["detail"]
    ]
    if len(out_of_step) != 1:
        raise Failed(
            f"ledger: {len(out_of_step)} books out of step for a missing update id, the simulator made 1"
        )
    letters = json.loads(composer.cli("dead-letters", "list", "--format", "json"))
    if len(letters) != 1:
        raise Failed(f"dead letters: {len(letters)}, one bad record was sent")
    say("told as made: 1 gap and 1 bad record, both filled; 1 dead letter; 1 order book out of step")


def shown_events() -> None:
    """The Pipeline dashboard has the same numbers, asked of Grafana as a viewer's browser asks."""

    def column(title: str, name: str) -> list[Any]:
        (frame,) = grafana.frames("pipeline", title, "now-1h", exchanges=grafana.every(EXCHANGES))
        return grafana.column(frame, name)

    for title, name, wanted in (
        ("Lost", "_value", [0]),
        ("Dead letters", "_value", [1]),
        ("Spans without a synced book", "symbol", ["BTCUSDC"]),
    ):
        if (found := column(title, name)) != wanted:
            raise Failed(f"dashboard Pipeline, {title}: shows {found}, not {wanted}")
    say("shown as made: lost 0, dead letters 1, one span without a synced book")


def snapshot_slots(composer: Composer) -> list[str]:
    """Slots of which the scheduler's own runs have landed a complete row for every symbol."""
    sql = (
        "SELECT slot FROM snapshots WHERE status = 'complete' AND origin = 'scheduled' "
        f"GROUP BY slot HAVING count(*) = {SYMBOLS} ORDER BY slot"
    )
    words = ("exec", "-T", "prefect-worker", "cryptostream", "snapshots", "query")
    said = composer.call(*words, sql, "--format", "json", check=False)
    return [json.loads(line)["slot"] for line in said.splitlines() if line.startswith("{")]


def dashboards(composer: Composer) -> None:
    """Every query of every panel finds data (where the stand-in for Grafana is at work)."""
    try:
        composer.call("exec", "-T", "grafana", "which", "check-dashboards")
    except Failed:
        say("dashboards: not looked at, this is the real Grafana")
        return
    said = composer.call(
        "exec", "-T", "grafana", "check-dashboards", "--require-data", check=False, timeout_s=600
    )
    summary = said.strip().splitlines()[-1] if said.strip() else "nothing said"
    wrong = [line for line in said.splitlines() if re.match(r"\s+(ERROR|empty)\b", line)]
    if wrong or not re.match(r"\d+ queries, 0 empty, 0 errors", summary):
        raise Failed("check-dashboards: " + summary + "\n" + "\n".join(wrong[:40]))
    say(f"dashboards: {summary}")


def memory() -> None:
    """Resident memory of all lasting containers together."""
    names = [one["Name"].lstrip("/") for one in lasting(containers()).values()]
    lines = engine("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names).splitlines()
    used = {line.split()[0]: _bytes(line.split()[1]) for line in lines}
    total = sum(used.values())
    if total > MEMORY_BYTES:
        raise Failed(f"memory: {total / 1e9:.2f} GB in use, more than {MEMORY_BYTES / 1e9:.0f} GB")
    most = sorted(used.items(), key=lambda item: -item[1])[:5]
    shown = ", ".join(f"{name.removeprefix(PROJECT)[1:]} {size / 1e6:.0f}" for name, size in most)
    say(f"memory: {total / 1e9:.2f} GB in {len(used)} containers (MB of the largest: {shown})")


def _bytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text)
    return float(match[1]) * _UNITS[match[2]] if match else math.nan


def undisturbed() -> None:
    """No container was started again, or ended for want of memory."""
    for name, one in lasting(containers()).items():
        if one["RestartCount"] or one["State"]["OOMKilled"]:
            raise Failed(
                f"{name}: started again {one['RestartCount']} times, OOM {one['State']['OOMKilled']}"
            )


def secrets(composer: Composer) -> None:
    """No secret is in what `docker inspect`, the images' history or the logs show, nor in the repository."""
    values = _secret_values(composer)
    found = containers()
    images = {one["Image"] for one in found.values()}
    places = {
        **{f"inspect of {name}": json.dumps(one) for name, one in found.items()},
        **{f"history of {image}": engine("history", "--no-trunc", image) for image in images},
        "logs": composer.call("logs", "--no-color", timeout_s=300),
        "the repository": _repository(),
    }
    for place, text in places.items():
        for name, value in values.items():
            if value in text:
                raise Failed(f"{name} stands in {place}")
        if _INFLUX_TOKEN.search(text):
            raise Failed(f"what looks like a token of InfluxDB stands in {place}")
    for name, one in found.items():
        for variable in one["Config"]["Env"]:
            key, _, value = variable.partition("=")
            if _SECRET_NAME.search(key) and value not in ("", "none"):
                raise Failed(f"{name}: {key} is set in its environment")
    say(f"secrets: none of {len(values)} in {len(places)} places")


def _repository() -> str:
    """All that belongs to the project; a checkout need not have its history."""
    texts = []
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [
            name
            for name in subfolders
            if name == ".ci" or not (name.startswith(".") or name in ("data", "__pycache__", "node_modules"))
        ]
        # The user's own settings and secrets are meant to be there.
        ours = [name for name in names if name == ".env.example" or not name.startswith(".env")]
        texts += [(Path(folder) / name).read_text(encoding="utf-8", errors="replace") for name in ours]
    return "\n".join(texts)


def _secret_values(composer: Composer) -> dict[str, str]:
    program = (
        "import json, pathlib; root = pathlib.Path('/run/cryptostream-secrets'); "
        f"print(json.dumps({{n: (root / n).read_text() for n in {_SECRET_FILES!r}}}))"
    )
    text = composer.call("run", "--rm", "--no-deps", "-T", "secrets-init", "python", "-c", program)
    values: dict[str, str] = json.loads(text.strip().splitlines()[-1])
    if not all(len(value) >= 8 for value in values.values()):
        raise Failed("secrets: some are missing")
    return values


def members(composer: Composer, group: str) -> int:
    """How many members share a consumer group's partitions."""
    said = composer.call(
        *("exec", "-T", "-e", "KAFKA_HEAP_OPTS=-Xmx128m"),
        *_tool(composer, "kafka-consumer-groups"),
        *("--bootstrap-server", "localhost:29092", "--describe", "--group", group),
        timeout_s=90,
    )
    return len({line.split()[6] for line in said.splitlines() if line.startswith(group)} - {"-"})


def _tool(composer: Composer, name: str) -> tuple[str, str]:
    if composer.files[0] == "docker-compose.yml":
        return "broker", name
    broker = "broker-1" if "three" in composer.files[0] else "broker"
    return broker, f"/opt/kafka/bin/{name}.sh"
