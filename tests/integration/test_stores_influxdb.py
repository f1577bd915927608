from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from hypothesis import given

from consumers.measurements import TRADE, Point, Series
from consumers.stores.influxdb import InfluxStore
from consumers.stores.influxdb_reader import InfluxReader
from consumers.stores.sqlite import SqliteStore
from consumers.stores.sqlite_reader import SqliteReader
from shared.errors import PointsRejected, StoreMisconfigured
from shared.settings import Settings
from tests.conftest import Influx
from tests.store_contract import BASE_NS, DAY_NS, ON_ONE_STORE, StoreContract, bar, points, trade, trade_ids


class InfluxPlace:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def open(self, *, ticks_expiry_ns: int | None = 7 * DAY_NS) -> InfluxStore:
        return InfluxStore(self.settings, ticks_expiry_ns=ticks_expiry_ns)

    def reader(self) -> InfluxReader:
        return InfluxReader(self.settings)


def call(influx: Influx, method: str, path: str, body: object = None) -> Any:
    response = urllib3.request(
        method,
        f"{influx.url}{path}",
        headers={"Authorization": f"Token {influx.token}"},
        body=None if body is None else orjson.dumps(body),
    )
    assert response.status < 300, response.data
    return orjson.loads(response.data)


@pytest.fixture(scope="module")
def org_id(influx: Influx) -> str:
    return str(call(influx, "GET", f"/api/v2/orgs?org={influx.org}")["orgs"][0]["id"])


def make_bucket(influx: Influx, org_id: str, name: str, expiry_s: int) -> str:
    rules = [{"type": "expire", "everySeconds": expiry_s}] if expiry_s else []
    bucket = call(influx, "POST", "/api/v2/buckets", {"orgID": org_id, "name": name, "retentionRules": rules})
    return str(bucket["id"])


def settings_of(influx: Influx, **fields: Any) -> Settings:
    return Settings(
        _env_file=None,
        store="influxdb",
        influx_url=influx.url,
        influx_org=influx.org,
        **{"influx_token": influx.token, **fields},
    )


@pytest.fixture
def settings(influx: Influx, org_id: str, unique: str) -> Settings:
    """Two fresh buckets, as the stack declares them."""
    market, ticks = f"market-{unique}", f"ticks-{unique}"
    make_bucket(influx, org_id, market, 0)
    make_bucket(influx, org_id, ticks, 7 * 86_400)
    return settings_of(influx, influx_bucket_market=market, influx_bucket_ticks=ticks)


class TestInfluxStore(StoreContract):
    @pytest.fixture
    def place(self, settings: Settings) -> InfluxPlace:
        return InfluxPlace(settings)

    @ON_ONE_STORE
    @given(batch=points())
    def test_every_measurement_comes_back_with_equal_values_and_types(
        self, place: InfluxPlace, store: InfluxStore, batch: list[Point]
    ) -> None:
        self.assert_comes_back(place, store, batch)


def test_both_stores_give_equal_rows(settings: Settings, tmp_path: Path) -> None:
    sqlite = SqliteStore(tmp_path / "store.db")
    influx = InfluxStore(settings)
    batch = [trade("A", number, price=0.1 * number) for number in range(100)]
    batch += [
        bar(symbol, interval, number) for symbol in "AB" for interval in ("1s", "1m") for number in range(9)
    ]
    for store in (sqlite, influx):
        store.write(batch)
    readers = SqliteReader(tmp_path / "store.db"), InfluxReader(settings)
    for measurement, tags, last in (("trade", {}, None), ("kline", {}, None), ("kline", {"symbol": "B"}, 3)):
        first, second = (list(reader.read(measurement, tags, last=last)) for reader in readers)
        assert first == second
        assert first


def test_a_conflict_of_types_rejects_its_points_only(settings: Settings, influx: Influx) -> None:
    """A field of another type, written by another program, is the server's to refuse."""
    urllib3.request(
        "POST",
        f"{influx.url}/api/v2/write?org={influx.org}&bucket={settings.influx_bucket_ticks}&precision=ns",
        headers={"Authorization": f"Token {influx.token}"},
        body=f"trade,exchange=binance,symbol=A price=5i {BASE_NS}".encode(),
    )
    odd = [n for n in range(300) if n % 100 == 7]
    batch = [trade("A", n, price=1.5 if n in odd else None) for n in range(300)]
    store = InfluxStore(settings)
    with pytest.raises(PointsRejected, match="field type conflict") as caught:
        store.write(batch)
    assert [point.values[0] for point, _ in caught.value.rejected] == odd
    stored = trade_ids(InfluxReader(settings).read("trade", {"symbol": "A"}, from_ns=BASE_NS))
    # Of a point in conflict InfluxDB keeps nothing.
    assert stored == [n for n in range(300) if n not in odd]


def test_what_only_the_server_finds_too_old_is_expired_too(settings: Settings) -> None:
    store = InfluxStore(settings, ticks_expiry_ns=None)
    old = [trade("A", number, at_ns=BASE_NS - 8 * DAY_NS + number) for number in range(1000)]
    store.write([*old, *(trade("A", number) for number in range(1000, 1010))])
    assert store.expired == 1000
    assert trade_ids(InfluxReader(settings).read("trade", {})) == list(range(1000, 1010))


def test_one_bucket_for_both_keeps_everything(influx: Influx, org_id: str, unique: str) -> None:
    make_bucket(influx, org_id, unique, 0)
    settings = settings_of(influx, influx_bucket_market=unique, influx_bucket_ticks=unique)
    store = InfluxStore(settings)
    store.write([trade("A", 1, at_ns=BASE_NS - 400 * DAY_NS), bar("A", "1s", 0), bar("A", "1m", 0)])
    assert store.expired == 0
    assert trade_ids(InfluxReader(settings).read("trade", {})) == [1]
    assert len(list(InfluxReader(settings).read("kline", {"symbol": "A"}))) == 2


def test_sparse_and_dense_times_are_read_in_windows_without_loss(settings: Settings) -> None:
    store = InfluxStore(settings)
    dense = [trade("A", n, at_ns=BASE_NS + n * 1000) for n in range(30_000)]
    sparse = [trade("A", 30_000 + n, at_ns=BASE_NS - (n + 1) * 3600 * 10**9) for n in range(50)]
    store.write([*dense, *sparse])
    reader = InfluxReader(settings)
    ids = trade_ids(reader.read("trade", {"symbol": "A"}))
    assert ids == [*range(30_049, 29_999, -1), *range(30_000)]
    assert trade_ids(reader.read("trade", {"symbol": "A"}, last=30_010)) == ids[-30_010:]


def test_a_wrong_set_up_is_one_line_that_names_the_setting(
    settings: Settings, influx: Influx, org_id: str, unique: str
) -> None:
    InfluxStore(settings).check()
    market = call(influx, "GET", f"/api/v2/buckets?name={settings.influx_bucket_market}")["buckets"][0]["id"]
    resource = {"type": "buckets", "id": market, "orgID": org_id}
    reads_only = call(
        influx,
        "POST",
        "/api/v2/authorizations",
        {"orgID": org_id, "permissions": [{"action": "read", "resource": resource}]},
    )["token"]
    wrong: dict[str, list[dict[str, Any]]] = {
        "INFLUX_TOKEN": [{"influx_token": "nonsense"}, {"influx_token": reads_only}, {"influx_token": ""}],
        "INFLUX_ORG": [{"influx_org": "nowhere"}],
        "INFLUX_BUCKET_MARKET": [{"influx_bucket_market": unique}],
        "INFLUX_BUCKET_TICKS": [{"influx_bucket_ticks": unique}],
    }
    for setting, cases in wrong.items():
        for change in cases:
            given = settings.model_dump() | change
            token = change.get("influx_token", influx.token)
            other = Settings(_env_file=None, **(given | {"influx_token": token}))
            with pytest.raises(StoreMisconfigured, match=rf"^{setting}: [^\n]*$"):
                InfluxStore(other).check()


def test_a_reader_without_permission_or_bucket_names_the_setting(settings: Settings, unique: str) -> None:
    reader = InfluxReader(settings.model_copy(update={"influx_bucket_ticks": unique}))
    with pytest.raises(StoreMisconfigured, match=r"^INFLUX_BUCKET_TICKS: "):
        list(reader.read("trade", {}))


def test_check_stores_nothing(settings: Settings) -> None:
    InfluxStore(settings).check()
    reader = InfluxReader(settings)
    assert [row for name in ("service", "trade", "kline") for row in reader.read(name, {})] == []


def test_names_that_flux_would_read_otherwise_are_only_names(settings: Settings) -> None:
    odd = '"}) |> drop() ${r} \\x'
    store = InfluxStore(settings)
    store.write([Point(Series(TRADE, ("binance", odd)), BASE_NS, (1, 1.0, 1.0, True)), trade("B", 2)])
    assert trade_ids(InfluxReader(settings).read("trade", {"symbol": odd})) == [1]
