from __future__ import annotations

import io
from collections import Counter

import orjson
import pytest
from confluent_kafka.admin import AdminClient

from cryptostream import cli
from cryptostream.commands.dead_letters import _report
from cryptostream.dead_letters.dead_letter_topic import DeadLetter, Position
from cryptostream.dead_letters.outcomes import Obsolete, StillBroken
from cryptostream.dead_letters.output import show_letter, write_csv, write_table
from cryptostream.dead_letters.replay import Done
from cryptostream.dead_letters.replay_marks import ReplayMark
from shared.dead_letters import Origin
from tests.builders import NOW_MS


def letter(value: bytes | None, reason: str = "why") -> DeadLetter:
    origin = Origin(reason, "market.trades", 3, 17, "consumer-trades")
    return DeadLetter(Position(1, 7), NOW_MS, b"binance:BTCUSDC", value, origin)


def shown(value: bytes | None) -> str:
    out = io.StringIO()
    show_letter(letter(value), out)
    return out.getvalue()


def test_bytes_that_are_json_are_indented_and_others_are_numbers() -> None:
    text = shown(b'{"a":[1]}')
    assert "source   market.trades 3@17" in text
    assert text.endswith('{\n  "a": [\n    1\n  ]\n}\n')
    assert "000000  ff 41 0a" in shown(b"\xffA\n")
    assert shown(b"\xffA\n").rstrip().endswith(".A.")


def test_long_letters_are_cut_and_say_so() -> None:
    assert "bytes more" in shown(b"\xff" * 100_000)
    assert "characters more" in shown(orjson.dumps(list(range(50_000))))
    assert len(shown(b"\xff" * 900_000)) < 10_000


def test_a_table_marks_what_was_replayed_and_lets_no_letter_move_the_cursor() -> None:
    out = io.StringIO()
    write_table([letter(b"x", "bad \x1b[2J\n")], {1: ReplayMark().including([(7, NOW_MS)])}, out)
    assert "replayed" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 2


def test_letters_that_stay_are_named_and_said_to_be_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    """An earlier version of a point breaks no contract; neither is it replayed."""
    done = [
        Done(letter(b"x"), StillBroken("the store has another kline")),
        Done(letter(b"y"), Obsolete("the store has its window with 500 trades")),
    ]
    assert _report(done, Counter({"replayed": 3}), dry_run=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "1@7: stays: the store has another kline",
        "0 replayed, 1 not needed any more, 3 had been replayed before, 1 cannot be replayed and stay",
    ]


def test_csv_has_every_header() -> None:
    out = io.StringIO()
    write_csv([letter(None)], {}, out)
    heading, row = out.getvalue().splitlines()
    assert dict(zip(heading.split(","), row.split(","), strict=True)) == {
        "partition": "1",
        "offset": "7",
        "time_ms": str(NOW_MS),
        "source": "market.trades",
        "source_partition": "3",
        "source_offset": "17",
        "service": "consumer-trades",
        "key": "binance:BTCUSDC",
        "bytes": "0",
        "replayed": "false",
        "reason": "why",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "17"], "'17' is not a letter; write PARTITION@OFFSET"),
        (["replay"], "say which letters"),
        (["replay", "--all", "--topic", "market.trades"], "say which letters"),
        (["replay", "--all", "1@2"], "say which letters"),
        (["list"], "KAFKA_BOOTSTRAP_SERVERS: not set"),
    ],
)
def test_a_wrong_command_line_is_exit_2_and_one_line(
    words: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert cli.main(["dead-letters", *words]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_without_a_broker_and_on_one_in_memory_there_are_no_letters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with monkeypatch.context() as soon:
        # The port refuses at once, and for ever.
        soon.setattr("shared.kafka_reader._CONNECT_S", 0.2)
        assert cli.main(["dead-letters", "list"]) == 1
    assert "no Kafka answers at 127.0.0.1:1" in capsys.readouterr().err
    memory = AdminClient({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = memory.list_topics(timeout=10).brokers.values()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"{broker.host}:{broker.port}")
    assert cli.main(["dead-letters", "list"]) == 1
    assert "is an in-memory broker, which keeps nothing" in capsys.readouterr().err
