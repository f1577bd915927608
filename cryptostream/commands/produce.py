"""`cryptostream produce`: one producer process."""

from __future__ import annotations

from producers.__main__ import add_arguments, run

__all__ = ["add_arguments", "run"]
