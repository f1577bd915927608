"""Makes the other compose files from docker-compose.yml and kafka/*.yml (`make compose`).

First the digests of docker/images.lock are written into all files that name images.

Sections from `# >>> NAME` to `# <<< NAME` come from the second file; those that it lacks are left out.
"""

from __future__ import annotations

import re
from typing import Final

from scripts.image_lock import LOCK, ROOT, pinned, read_lock

MADE: Final = {"compose.light.yml": "kafka/light.yml", "compose.three-brokers.yml": "kafka/three-brokers.yml"}
PINNED: Final = ("docker-compose.yml", "kafka/light.yml", "kafka/three-brokers.yml", "Dockerfile")
EXAMPLE: Final = ".env.example"
_SECTION: Final = re.compile(r"^# >>> (?P<name>.+)\n(?P<text>(?:.*\n)*?)# <<< (?P=name)\n", re.MULTILINE)
_HEAD: Final = "# Made of docker-compose.yml and {parts} by `make compose`: change those, then run it.\n\n"


def made(parts: str) -> str:
    """The text of a compose file."""
    base = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    sections = {
        found["name"]: found["text"]
        for found in _SECTION.finditer((ROOT / parts).read_text(encoding="utf-8"))
    }
    body = _SECTION.sub(lambda found: sections.get(found["name"], ""), base)
    _, _, body = body.partition("\n\n")
    return _HEAD.format(parts=parts) + body


def example(text: str) -> str:
    """The example of settings with every image as in the lock."""
    for image in read_lock(LOCK.read_text(encoding="utf-8")):
        value = image.pinned if image.variable.endswith("_TAG") else f"{image.name}:{image.pinned}"
        text = re.sub(rf"^#{image.variable}=.*$", f"#{image.variable}={value}", text, flags=re.MULTILINE)
    return text


def main() -> None:
    """Write all of them."""
    images = read_lock(LOCK.read_text(encoding="utf-8"))
    for name in PINNED:
        path = ROOT / name
        path.write_text(pinned(path.read_text(encoding="utf-8"), images), encoding="utf-8")
    path = ROOT / EXAMPLE
    path.write_text(example(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, parts in MADE.items():
        (ROOT / name).write_text(made(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
