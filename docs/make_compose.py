"""Makes the other whole compose files of docker-compose.yml and kafka/*.yml (`make compose`).

Sections from `# >>> NAME` to `# <<< NAME` are taken from the second file; those that it lacks are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MADE: Final = {"compose.light.yml": "kafka/light.yml", "compose.three-brokers.yml": "kafka/three-brokers.yml"}
_SECTION: Final = re.compile(r"^# >>> (?P<name>.+)\n(?P<text>(?:.*\n)*?)# <<< (?P=name)\n", re.MULTILINE)
_HEAD: Final = "# Made of docker-compose.yml and {parts} by `make compose`: change those, then run it.\n\n"


def made(parts: str) -> str:
    """The text of a whole compose file."""
    base = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    sections = {
        found["name"]: found["text"]
        for found in _SECTION.finditer((ROOT / parts).read_text(encoding="utf-8"))
    }
    body = _SECTION.sub(lambda found: sections.get(found["name"], ""), base)
    _, _, body = body.partition("\n\n")
    return _HEAD.format(parts=parts) + body


def main() -> None:
    """Write both files."""
    for name, parts in MADE.items():
        (ROOT / name).write_text(made(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
