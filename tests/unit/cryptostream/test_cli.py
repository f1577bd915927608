from __future__ import annotations

import sys

import pytest

from cryptostream.cli import main


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
