"""The parts that `make bench` runs as a whole: how long each may take, and how many messages each side gets.

The budgets are those of two quiet cores, and together at most `WHOLE_S`. A side's messages are those of
all its rounds: with fewer than `FEWEST`, ratios of the same code were seen from 48 to 76 %. cryptofeed alone
gets a fifth of ours, which take it longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.arguments import Parser, whole

WHOLE_S: Final = 25 * 60
FEWEST: Final = 400_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        about: in words.
        budget_s: how long it may take.
        messages: of each side, in all rounds.
        arguments: in a whole run.
    """

    name: str
    about: str
    budget_s: int
    messages: int
    rounds: int = 3
    arguments: tuple[str, ...] = ()


# Beside the parts: whether the machine is fit for them.
FITNESS_S: Final = 40
PARTS: Final = (
    Part("producer", "producer path beside the bare loop", 240, 1_200_000),
    Part("cryptofeed", "producer path beside cryptofeed", 180, 420_000),
    Part("symbols", "producer path with 1, 10 and 100 symbols", 240, 420_000),
    Part("trades", "trades to InfluxDB, beside the bare loop and Telegraf", 240, 1_200_000),
    Part("quix", "bars with six indicators to InfluxDB, beside Quix Streams", 160, 420_000),
    Part("before", "bars with all indicators to InfluxDB, beside the code before", 220, 420_000),
    # At 10,000 a second for forty seconds.
    Part("end-to-end", "exchange to InfluxDB at two rates", 170, 400_000, 1, ("--backlog", "0")),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a part was asked for.

    Attributes:
        messages: of each side, in all rounds.
    """

    messages: int
    rounds: int

    @property
    def a_round(self) -> int:
        return max(1, self.messages // self.rounds)


def part_named(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


def parser_of(part: Part) -> Parser:
    """Its options."""
    parser = Parser(prog=f"bench {part.name}", description=f"{part.about[0].upper()}{part.about[1:]}.")
    parser.add_argument(
        "--messages",
        type=whole,
        default=part.messages,
        help=f"of each side in all rounds (default {part.messages:,})",
    )
    parser.add_argument(
        "--rounds",
        type=whole,
        default=part.rounds,
        help=f"of each side, in turn (default {part.rounds})",
    )
    return parser


def options(name: str, arguments: list[str]) -> Options:
    """The options of the part of this name."""
    asked = parser_of(part_named(name)).parse_args(arguments)
    return Options(asked.messages, asked.rounds)
