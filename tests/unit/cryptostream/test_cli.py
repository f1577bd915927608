from __future__ import annotations

import sys

import pytest

from cryptostream.cli import main


def test_a_misspelt_command_is_answered_with_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for word, meant in (("quary", "query"), ("dead-leters", "dead-letters"), ("doktor", "doctor")):
        with pytest.raises(SystemExit) as end:
            main([word, "x"])
        assert end.value.code == 2
        assert f"'{word}', did you mean {meant}? (choose from" in capsys.readouterr().err


def test_options_of_no_command_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("query trades BTCUSDC --la 3", "doctor --form json", "ledger --ver"):
        with pytest.raises(SystemExit) as end:
            main(words.split())
        assert end.value.code == 2
        assert "unrecognized arguments: --" in capsys.readouterr().err


def test_chaos_where_only_the_image_is_says_where_it_can_be_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "chaos"]:
        monkeypatch.delitem(sys.modules, name)

    class WithoutChaos:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "chaos":
                raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(sys, "meta_path", [WithoutChaos(), *sys.meta_path])
    assert main(["chaos", "--list"]) == 2
    assert capsys.readouterr().err == (
        "error: chaos: is not part of this image; run it in a checkout (make setup)\n"
    )
