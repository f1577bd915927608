"""Words of a command line."""

from __future__ import annotations

import argparse

import pytest

from shared.arguments import Parser, finite


def test_a_word_that_is_not_taken_is_shown_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="p")
    parser.add_subparsers(dest="command").add_parser("read").add_argument("--last", type=int)
    for words in (["read", "--last", "9" * 5_000], ["no" * 5_000], ["read", "--no" + "t" * 50_000]):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        said = capsys.readouterr().err
        assert "error: " in said and len(said) < 1_200


@pytest.mark.parametrize("text", ["1e400", "-1e999", "inf", "Infinity", "nan", "x", "", "1" * 400])
def test_what_no_duration_can_be_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number that can be used"):
        finite(text)


@pytest.mark.parametrize(("text", "number"), [("1.5", 1.5), ("0", 0.0), ("-2e3", -2_000.0)])
def test_other_numbers_are_taken(text: str, number: float) -> None:
    assert finite(text) == number
