"""`cryptostream simulate`: a Binance-compatible exchange on localhost."""

from simulator.__main__ import add_arguments, run

__all__ = ["add_arguments", "run"]
