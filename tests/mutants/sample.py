"""Which mutants a seed means."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.sites import Site, mutated, sites_of

PACKAGES = ("producers", "consumers", "shared")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one operator exchanged.

    Attributes:
        path: of the file, below the root.
        text: its line as it was, without indentation.
    """

    path: str
    site: Site
    text: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.site.line}: {self.site.before.strip()} → {self.site.after or 'nothing'}"

    def source(self, root: Path) -> bytes:
        """The file's content with the mutation."""
        return mutated((root / self.path).read_bytes(), self.site)


def sampled(root: Path, files: Sequence[str], count: int, seed: int) -> tuple[Mutant, ...]:
    """So many mutants, drawn from all operators of the files with equal chance, in the order of their places.

    Args:
        files: paths below the root; those of other packages than `PACKAGES` are left out.
    """
    candidates = [
        (path, site)
        for path in sorted(files)
        if path.endswith(".py") and path.partition("/")[0] in PACKAGES
        for site in sites_of((root / path).read_bytes())
    ]
    drawn = sorted(random.Random(seed).sample(range(len(candidates)), min(count, len(candidates))))
    lines: dict[str, list[str]] = {}
    found = []
    for path, site in (candidates[index] for index in drawn):
        if path not in lines:
            lines[path] = (root / path).read_text(encoding="utf-8").splitlines()
        found.append(Mutant(path, site, lines[path][site.line - 1].strip()))
    return tuple(found)
