"""`cryptostream run`: everything on one machine."""

from __future__ import annotations

import argparse
from dataclasses import replace

from cryptostream.embedded.options import add_arguments, read_options
from shared.pipes import readable

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 only if the promises of DESIGN §5 held."""
    options = read_options(arguments)
    # Imported when the command line is known to be right: its errors come without delay.
    from cryptostream.embedded.session import Session  # noqa: PLC0415
    from simulator.recordings.files import check_recordings  # noqa: PLC0415

    # A pipe is ours alone: the simulator that plays it is another process, and may be started twice.
    with readable(options.recordings) as files:
        recordings = tuple(file.path for file in files)
        # The simulator reads them whole, while broker and store are coming up.
        check_recordings(recordings)
        return Session(replace(options, recordings=recordings)).run()
