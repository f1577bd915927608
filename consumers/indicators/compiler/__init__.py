"""Compiles a set of indicators into two functions (docs/decisions/indicator-speed.md)."""

from __future__ import annotations

from consumers.indicators.compiler.build import State, compile_set, generated_source

__all__ = ["State", "compile_set", "generated_source"]
