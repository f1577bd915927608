"""`cryptostream run`: everything on one machine."""

from __future__ import annotations

import argparse
from dataclasses import replace

from cryptostream.run.options import add_arguments, read_options
from shared.pipes import readable

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 only if the promises of DESIGN §5 were kept."""
    options = read_options(arguments)
    # Imported late, so that errors of the command line come without delay.
    from cryptostream.run.session import Session  # noqa: PLC0415
    from simulator.recordings.files import check_recordings  # noqa: PLC0415

    # A pipe is readable in this process only: the simulator is another one, and may be restarted.
    with readable(options.recordings) as files:
        recordings = tuple(file.path for file in files)
        # The simulator reads them while broker and store are coming up.
        check_recordings(recordings)
        return Session(replace(options, recordings=recordings)).run()
