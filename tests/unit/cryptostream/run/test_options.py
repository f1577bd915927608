"""The command line of `run`."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from cryptostream.run.options import RunOptions, add_arguments, read_options
from shared.errors import RecordingError, UsageError


def options(*words: str) -> RunOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(words))


def test_without_arguments_everything_is_chosen_automatically() -> None:
    read = options()
    assert (read.source, read.broker, read.screen, read.duration_s) == ("auto", "auto", True, None)


def test_several_files_are_one_replay(tmp_path: Path) -> None:
    files = [tmp_path / "a.gz", tmp_path / "b.gz"]
    for file in files:
        file.touch()
    read = options("--source", *map(str, files), "--speed", "20", "--no-ui", "--shift-now")
    assert (read.source, read.recordings, read.speed, read.shift_now) == ("replay", tuple(files), 20.0, True)
    assert not read.screen
    assert read.web
    assert not options("--no-web").web


@pytest.mark.parametrize("word", ["host:9092", "10.0.0.1:9092,10.0.0.2:9092", "[::1]:9092"])
def test_a_broker_can_be_named_by_host_and_port(word: str) -> None:
    read = options("--broker", word)
    assert (read.broker, read.address) == ("external", word)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--broker", "kafak"], "kafak"),
        (["--broker", "host:0"], "host:0"),
        (["--broker", "host:70000"], "host:70000"),
        (["--duration", "0"], "--duration 0"),
        (["--speed", "2"], "--speed"),
        (["--shift-now", "--source", "live"], "--shift-now"),
        (["--seed", "3", "--source", "live"], "--seed 3"),
        (["--source", "live", "simulator"], "live"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(words: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        options(*words)


def test_a_file_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing\.gz: no such file; name recordings, or one of auto"):
        options("--source", str(tmp_path / "nothing.gz"))


def test_a_negative_speed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").touch()
    with pytest.raises(UsageError, match="--speed -1"):
        options("--source", str(tmp_path / "a.gz"), "--speed", "-1")
