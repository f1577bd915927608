"""`cryptostream run`: everything on one machine."""

from __future__ import annotations

import argparse

from cryptostream.embedded.options import add_arguments, read_options

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 only if the promises of DESIGN §5 held."""
    options = read_options(arguments)
    # Imported when the command line is known to be right: its errors come without delay.
    from cryptostream.embedded.session import Session  # noqa: PLC0415

    return Session(options).run()
