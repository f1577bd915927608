"""Private words that the project gave up do not come back: each concept has one name, the field's own.

A word counts as a whole identifier, and only where it has the old meaning. Not in the table: `engines`,
`snapshot`, `slots` and `compose`, whose meanings no search can tell apart.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.conftest import ROOT, tracked_files

INDICATORS: Final = ("consumers/indicators/", "tests/unit/consumers/indicators/")
PRODUCERS: Final = ("producers/", "tests/unit/producers/")
RUNS: Final = ("cryptostream/", "chaos/", "tests/unit/cryptostream/", "tests/unit/chaos/")
CHAOS: Final = ("chaos/", "oracle/", "tests/unit/chaos/", "tests/unit/oracle/", "tests/integration/chaos/")
DEAD_LETTERS: Final = (
    "cryptostream/dead_letters/",
    "cryptostream/commands/dead_letters.py",
    "tests/unit/cryptostream/dead_letters/",
)
PIPELINES: Final = (
    "pipelines/",
    "cryptostream/snapshots/",
    "tests/unit/pipelines/",
    "tests/integration/snapshots/",
)


@dataclass(frozen=True)
class Renamed:
    """A name that was given up.

    Attributes:
        old: the words, each a whole identifier or a piece of text between such.
        now: what the concept is called.
        where: beginnings of the paths where the words have the old meaning; everywhere by default.
        allowed: text in which a word may stay, with the reason.
    """

    old: tuple[str, ...]
    now: str
    where: tuple[str, ...] = ("",)
    allowed: Mapping[str, str] = field(default_factory=dict)

    def faults(self, path: str, text: str) -> Iterator[str]:
        """One line for each word that is back."""
        if not path.startswith(self.where):
            return
        if not any(word in text or word in path for word in self.old):
            return
        words = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in self.old))
        if not words.search(f"{path}\n{text}"):
            return
        for number, line in enumerate((path, *text.splitlines())):
            for allowed in self.allowed:
                line = line.replace(allowed, "")  # noqa: PLW2901
            for found in words.findall(line):
                yield f"{path}:{number}: {found}: say {self.now}"


NAMES: Final = (
    Renamed(("Plant",), "LocalDeployment"),
    Renamed(
        ("bearings", "Bearings", "read_bearings", "write_bearings"),
        "start positions",
        allowed={
            "--bearings": "a public option of `produce`",
            "arguments.bearings": "argparse names it after the option",
            "bearings.json": "a file of a run's data directory",
            r"bearings\.json": "the same in a pattern",
            "cryptostream.producer-bearings": "a name that brokers know",
            "cryptostream-bearings": "a name that brokers know",
        },
    ),
    Renamed(("Outlet", "outlet"), "EffectRunner"),
    Renamed(("perform", "_perform"), "run", (*PRODUCERS, *RUNS)),
    Renamed(("Outbox", "outbox"), "KafkaWriter, or what it sends"),
    Renamed(("Disturber", "disturber"), "FaultInjector"),
    Renamed(("Truth", "read_truth"), "ExchangeLog", CHAOS),
    Renamed(("law", "laws", "TradeLaw", "KlineLaw", "DepthLaw"), "invariants", CHAOS),
    Renamed(
        ("verdict", "verdicts", "Verdicts"),
        "checks, outcome",
        CHAOS,
        {'"verdict"': "a column of docs/faults.md and a key of `chaos --format json`"},
    ),
    Renamed(("Held",), "ProcessUsage", RUNS),
    Renamed(("growth",), "trend", RUNS, {"later growth is a leak": "of memory"}),
    Renamed(("unasked",), "unexpected_exits", ("cryptostream/", "chaos/")),
    Renamed(("Quiet", "IdleWatch"), "QuiescenceDetector", RUNS),
    Renamed(("Follower", "Watch"), "TopicTail", RUNS),
    Renamed(("Places", "open_places", "places.py"), "Destinations", PIPELINES),
    Renamed(("workspace", "Workspace"), "data directory", (*RUNS, "docs/", "README.md")),
    Renamed(
        ("tidy", "lean", "settled", "slots"),
        "optimise, simplify, drop_warm_up_branches, allocate_locals",
        INDICATORS,
    ),
    Renamed(("compose", "written out", "written_out"), "compile, inlined", INDICATORS),
    Renamed(
        ("faded", "moved", "Now"),
        "ewm_step, shifted, Inputs",
        ("consumers/indicators/",),
        {"price has never moved": "of prices"},
    ),
    Renamed(("quantities",), "bar_inputs", INDICATORS),
    Renamed(
        ("indicators/ranges.py", "indicators.ranges", "indicators/turning.py", "indicators.turning"),
        "high_low, adx_psar",
    ),
    Renamed(("Place.SEEN", "JOINS", "BEYOND"), "Continuity.DUPLICATE, CONTIGUOUS, GAP"),
    Renamed(("Link", "_leave", "_give_books_up"), "Connection, replace, mark_books_unsynced", PRODUCERS),
    Renamed(("_Join", "_floor"), "StreamMerge, dedupe_until", PRODUCERS),
    Renamed(
        ("repair_mode", "repair_modes"),
        "backpressure",
        allowed={
            '"repair_mode"': "a public gauge",
            '"repair_modes"': "a public gauge",
            "`repair_mode`": "a public gauge",
            "`repair_modes`": "a public gauge",
        },
    ),
    Renamed(("spare_the_collector",), "freeze_gc"),
    Renamed(("hand_over_sooner",), "shorten_switch_interval"),
    Renamed(("guarded",), "run_command"),
    Renamed(
        ("LetterBox", "box", "Letter", "notes"), "dead_letter_topic, DeadLetter, replay_marks", DEAD_LETTERS
    ),
    Renamed(
        ("mend", "mends", "mended", "mending", "_mend"),
        "fix",
        allowed={
            "--mend": "a public option of `topics`",
            "arguments.mend": "argparse names it after the option",
            '"mend"': "a public field of `doctor --format json`",
        },
    ),
    Renamed(
        ("judge", "judges", "judged", "judging", "_judge", "Judge", "Verdict"), "check, classify; Outcome"
    ),
)
# Not ours to name, or not text.
_LEFT_OUT: Final = ("requirements/", "LICENSE", "docs/images/", "tests/unit/test_names.py")


@functools.cache
def texts() -> dict[str, str]:
    found = {}
    for path in sorted(tracked_files()):
        # What is in JSON was written from sources that are looked at.
        if not path.startswith(_LEFT_OUT) and not path.endswith(".json"):
            try:
                found[path] = (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # no text
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("renamed", NAMES, ids=lambda renamed: renamed.old[0])
def test_a_name_that_was_given_up_is_gone(renamed: Renamed) -> None:
    assert not [fault for path, text in texts().items() for fault in renamed.faults(path, text)]


@pytest.mark.parametrize("renamed", NAMES, ids=lambda renamed: renamed.old[0])
def test_a_name_that_is_put_back_is_found(renamed: Renamed) -> None:
    for where in renamed.where:
        for word in renamed.old:
            path = where if where.endswith((".py", ".md")) else f"{where}module.py"
            assert len(list(renamed.faults(path, f"import os\n\nvalue = {word}(1)\n"))) == 1
            assert not list(renamed.faults(path, f"value = x{word}x\n"))
    for allowed in renamed.allowed:
        assert not list(renamed.faults(f"{renamed.where[0]}module.py", f"value = {allowed}\n"))
