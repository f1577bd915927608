"""Fixtures that several test folders use: recordings, a real Kafka, a real InfluxDB."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from cryptostream.engines.fetch import find_influxd, find_kafka
from cryptostream.engines.influxdb import InfluxServer
from cryptostream.engines.kafka import KafkaServer
from cryptostream.processes.server import EngineUnavailable
from shared.topics import declared_topics

ROOT = Path(__file__).resolve().parents[1]


def tracked_files() -> frozenset[str]:
    """Paths below `ROOT` of what is under version control."""
    listed = subprocess.run(
        ("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return frozenset(path for path in listed.split("\0") if path and (ROOT / path).is_file())


# Machines are shared and noisy: no test depends on how long an example takes.
hypothesis_settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("shared")

# Brokers of tests live for seconds or minutes: half of what a JVM costs is work that pays off after hours.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
# Tests talk to servers of this machine, by clients that would take the environment's proxies.
for variable in ("no_proxy", "NO_PROXY"):
    os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), "localhost,127.0.0.1,::1")))
# In the background of a script a shell has SIGINT ignored, and everything started here would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files of more than a minute on real engines, the longest first: they end about when the others do.
LONGEST: Final = (
    "tests/integration/test_kafka_contract.py",
    "tests/integration/test_run_exchanges.py",
    "tests/integration/test_store_outages.py",
    "tests/integration/test_run.py",
    "tests/integration/chaos/test_outages.py",
    "tests/integration/api/test_taps.py",
    "tests/integration/api/test_resume.py",
    "tests/integration/test_producers.py",
    "tests/integration/chaos/test_faults.py",
    "tests/integration/chaos/test_kills.py",
    "tests/integration/test_run_several.py",
    "tests/integration/test_scaling.py",
    "tests/integration/test_consumers.py",
    "tests/integration/test_broker_outage_producer.py",
    "tests/integration/chaos/test_power_cut.py",
)
# Folders that test no unit, and need no engine.
_WHOLE: Final = ("exchange_contract", "frames", "security")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What lies in tests/integration needs an engine; unit tests come first, long ones only if asked for."""
    for marker in ("long", "simulation"):
        if marker not in config.option.markexpr:
            seldom = [item for item in items if item.get_closest_marker(marker) is not None]
            config.hook.pytest_deselected(items=seldom)
            items[:] = [item for item in items if item.get_closest_marker(marker) is None]
    for item in items:
        parts = Path(str(item.path)).relative_to(ROOT).parts
        if "integration" in parts:
            item.add_marker(pytest.mark.integration)
        elif parts[1] in _WHOLE:
            item.add_marker(pytest.mark.thorough)
    order = {name: at for at, name in enumerate(LONGEST)}
    items.sort(
        key=lambda item: (
            item.get_closest_marker("integration") is not None,
            order.get(item.nodeid.partition("::")[0], len(order)),
        )
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Where skips are forbidden, a skipped test is a failed one, with the same reason."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not _may_skip():
        report.outcome = "failed"
        report.longrepr = f"skipped, where CRYPTOSTREAM_FORBID_SKIPS forbids it: {report.longrepr}"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Directory of the recorded market data; the test is skipped where there is none."""
    directory = Path(os.environ.get("CRYPTOSTREAM_DATA") or ROOT.parent / "shared" / "data")
    if not directory.is_dir():
        pytest.skip(f"no recordings at {directory}; name their directory by CRYPTOSTREAM_DATA")
    return directory


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka: the one named by KAFKA_BOOTSTRAP_SERVERS, else one of our own."""
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    with real_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_topics(kafka_bootstrap_servers: str) -> str:
    """A real Kafka on which all topics of the default intervals are declared."""
    client = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    wanted = [
        NewTopic(topic.name, num_partitions=6, replication_factor=1, config=topic.config())
        for topic in declared_topics(("1s", "1m", "15m", "1h", "1d"))
        if topic.name not in client.list_topics(timeout=10).topics
    ]
    for future in client.create_topics(wanted).values() if wanted else ():
        future.result(30)
    return kafka_bootstrap_servers


@dataclass(frozen=True)
class Influx:
    """How to reach an InfluxDB in tests."""

    url: str
    org: str
    token: str


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """A real InfluxDB: the one named by INFLUX_URL and INFLUX_TOKEN, else one of our own."""
    if os.environ.get("INFLUX_URL"):
        yield Influx(
            os.environ["INFLUX_URL"], os.environ.get("INFLUX_ORG", "crypto"), os.environ["INFLUX_TOKEN"]
        )
        return
    with real_influx(tmp_path_factory.mktemp("influx")) as server:
        yield Influx(server.url, server.org, server.token)


def real_kafka(directory: Path) -> KafkaServer:
    """A broker of the test's own, to be stopped or killed; skips where Kafka cannot be had."""
    if find_kafka() is None and _may_skip():
        pytest.skip("Apache Kafka is not in the cache of engines; get it by: make engines")
    return _start(lambda: KafkaServer(directory))


def real_influx(directory: Path) -> InfluxServer:
    """An InfluxDB of the test's own, to be stopped or killed; skips where it cannot be had."""
    if find_influxd() is None and _may_skip():
        pytest.skip("influxd is not in the cache of engines; get it by: make engines")
    return _start(lambda: InfluxServer(directory))


Server = TypeVar("Server")


def _start(start: Callable[[], Server]) -> Server:
    try:
        return start()
    except EngineUnavailable as error:
        if not _may_skip():
            raise
        pytest.skip(str(error))


def _may_skip() -> bool:
    """CI sets CRYPTOSTREAM_FORBID_SKIPS: there a missing engine is a failure."""
    return not os.environ.get("CRYPTOSTREAM_FORBID_SKIPS")


@pytest.fixture
def unique() -> str:
    """A name that no other test uses, for topics, groups and buckets on shared engines."""
    return uuid.uuid4().hex[:12]
