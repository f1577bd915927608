"""Words of a command line."""

from __future__ import annotations

import argparse

import pytest

from shared.arguments import Parser, finite, whole


def test_a_word_that_is_not_taken_is_shown_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="p")
    parser.add_subparsers(dest="command").add_parser("read").add_argument("--last", type=int)
    for words in (["read", "--last", "9" * 5_000], ["no" * 5_000], ["read", "--no" + "t" * 50_000]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        said = capsys.readouterr().err
        assert "error: " in said and len(said) < 1_200


def test_a_password_in_a_word_that_is_not_taken_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Parser(prog="p").parse_args(["http://me:secret@host/"])
    said = capsys.readouterr().err
    assert "http://***@host/" in said and "secret" not in said


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["raed"], "invalid choice: 'raed', did you mean read? (choose from 'read', 'write')"),
        (["READ"], "invalid choice: 'READ', did you mean read? (choose"),
        (["xyz"], "invalid choice: 'xyz' (choose from 'read', 'write')"),
        (["read", "--as", "cvs"], "argument --as: invalid choice: 'cvs', did you mean csv? (choose"),
    ],
)
def test_a_choice_that_is_near_is_named(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="p")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("read").add_argument("--as", choices=("table", "csv"))
    commands.add_parser("write")
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert meant in capsys.readouterr().err


def test_options_are_not_shortened_also_those_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="p")
    parser.add_argument("--debug", action="store_true")
    parser.add_subparsers(dest="command").add_parser("read").add_argument("--last", type=int)
    assert parser.parse_args(["--debug", "read", "--last", "1"]).last == 1
    for words in (["--deb", "read"], ["read", "--la", "1"]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["9" * 4_000, "9" * 5_000, str(2**63), "-" + "9" * 30, "1.5", "x", "", "½"])
def test_what_no_count_can_be_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number that can be used") as caught:
        whole(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("-7", -7), (str(2**63 - 1), 2**63 - 1), ("1785767100000", 1785767100000)]
)
def test_other_whole_numbers_are_taken(text: str, number: int) -> None:
    assert whole(text) == number


@pytest.mark.parametrize("text", ["1e400", "-1e999", "inf", "Infinity", "nan", "x", "", "1" * 400])
def test_what_no_duration_can_be_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number that can be used"):
        finite(text)


@pytest.mark.parametrize(("text", "number"), [("1.5", 1.5), ("0", 0.0), ("-2e3", -2_000.0)])
def test_other_numbers_are_taken(text: str, number: float) -> None:
    assert finite(text) == number
