from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from cryptostream.processes.server import free_port
from shared.errors import SettingsError
from shared.health import HANGING_S, LATE_S, Health
from shared.metrics import ServiceMetrics


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_service_is_not_ready_before_its_loop_turns_and_may_take_its_time() -> None:
    clock = Clock()
    health = Health(clock)
    clock.now_s += 10 * HANGING_S
    assert health.troubles() == ["loop: starting"]
    assert health.hanging() is None
    health.beat()
    assert health.troubles() == []


def test_a_part_that_does_not_work_is_named_with_its_reason_until_it_does() -> None:
    health = Health(Clock())
    health.beat()
    health.unready("store", "no answer")
    health.set_ready("kafka", False, "nothing acknowledged")
    assert health.troubles() == ["kafka: nothing acknowledged", "store: no answer"]
    assert health.hanging() is None  # it lives: a new process would not fix the store
    health.ready("store")
    health.set_ready("kafka", True, "")
    assert health.troubles() == []


def test_a_loop_that_stands_still_is_not_ready_and_then_as_good_as_dead() -> None:
    clock = Clock()
    health = Health(clock)
    health.beat()
    clock.now_s += LATE_S + 1
    assert health.troubles() == ["loop: no turn for 21 s"]
    assert health.hanging() is None
    clock.now_s += HANGING_S
    assert health.hanging() == "loop: no turn for 111 s"
    health.beat()
    assert (health.hanging(), health.troubles()) == (None, [])


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_one_port_serves_health_readiness_and_figures() -> None:
    port = free_port()
    metrics = ServiceMetrics("producer", "BTCUSDC", metrics_port=port)
    assert get(port, "/readyz") == (503, "loop: starting\n")
    assert get(port, "/healthz") == (200, "ok\n")
    metrics.gauge("lag_messages", 7)
    metrics.message(0)
    assert get(port, "/readyz") == (200, "ok\n")
    metrics.health.unready("exchange", "0 of 1 connections are read")
    assert get(port, "/readyz") == (503, "exchange: 0 of 1 connections are read\n")
    status, text = get(port, "/metrics")
    assert status == 200
    assert 'cryptostream_lag_messages{instance="BTCUSDC",service="producer"} 7.0' in text


def test_figures_are_served_to_this_machine_alone_unless_another_address_is_set() -> None:
    port = free_port()
    ServiceMetrics("producer", "0", metrics_port=port)
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    # Another address of this machine, as the network's are.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    port = free_port()
    ServiceMetrics("producer", "0", metrics_port=port, metrics_address="0.0.0.0")
    with socket.create_connection(("127.0.0.2", port), timeout=5):
        pass


def test_a_port_in_use_is_an_error_at_once() -> None:
    port = free_port()
    ServiceMetrics("producer", "0", metrics_port=port)
    with pytest.raises(SettingsError, match=rf"METRICS_PORT: {port} cannot be used \(Address already"):
        ServiceMetrics("producer", "1", metrics_port=port)
    with pytest.raises(SettingsError, match="METRICS_PORT: 65536 cannot be used"):
        ServiceMetrics("consumer", "1", metrics_port=65_536)
    # Of a network for documentation, which no machine has.
    with pytest.raises(SettingsError, match=r"METRICS_ADDRESS: 192\.0\.2\.1 is no address of this machine"):
        ServiceMetrics("consumer", "1", metrics_port=port, metrics_address="192.0.2.1")


def test_a_client_that_says_nothing_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shared.health._QuietHandler.timeout", 0.05)
    port = free_port()
    ServiceMetrics("producer", "0", metrics_port=port)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
        assert silent.recv(1) == b"", "the server gives it up"
    assert capfd.readouterr().err == ""
