"""Looks up the digests of docker/images.lock at a registry, and writes them (`make images`)."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

from scripts.image_lock import LOCK, read_lock, with_digests
from scripts.make_compose import main as make_compose
from shared.command import run_command
from shared.errors import CryptoStreamError

_TIMEOUT_S: Final = 30.0
# Indexes of all platforms: the digest of one platform would not start on another.
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TOKEN: Final = re.compile(r'(realm|service)="([^"]*)"')


class RegistryFailed(CryptoStreamError):
    """The registry does not return an image's digest."""


def digest_of(name: str, tag: str, registry: str) -> str:
    """The registry's present digest of a tag, of the index of all platforms.

    Raises:
        RegistryFailed: no answer, an unknown image, or an answer that does not match its digest.
    """
    repository = name if "/" in name else f"library/{name}"
    url = f"{registry}/v2/{repository}/manifests/{tag}"
    try:
        kind, said, body = _manifest(url, repository)
    except (OSError, ValueError) as error:
        raise RegistryFailed(
            f"{name}:{tag}: {registry} does not give it ({error}); try again later"
        ) from None
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if said not in (None, digest):
        raise RegistryFailed(
            f"{name}:{tag}: {registry} sends {digest} and calls it {said}; look at the way to it"
        )
    if kind not in _INDEXES:
        raise RegistryFailed(
            f"{name}:{tag}: {registry} has {kind}, which is of one platform; name another tag"
        )
    return digest


def _manifest(url: str, repository: str) -> tuple[str, str | None, bytes]:
    request = urllib.request.Request(url, headers={"Accept": ", ".join(_INDEXES)})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        challenge = dict(_TOKEN.findall(error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or "realm" not in challenge:
            raise
        # Readers get a token without a login.
        scope = f"service={challenge.get('service', '')}&scope=repository:{repository}:pull"
        with urllib.request.urlopen(f"{challenge['realm']}?{scope}", timeout=_TIMEOUT_S) as given:
            token = json.load(given)["token"]
        request.add_header("Authorization", f"Bearer {token}")
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    with answer:
        kind = answer.headers.get_content_type()
        return kind, answer.headers.get("Docker-Content-Digest"), answer.read()


def run(arguments: argparse.Namespace) -> int:
    """0 once the lock is up to date; with --check 1 where it is not.

    Raises:
        RegistryFailed: nothing was written.
    """
    text = LOCK.read_text(encoding="utf-8")
    images = read_lock(text)
    found = {
        f"{image.name}:{image.tag}": digest_of(image.name, image.tag, arguments.registry) for image in images
    }
    changed = [image for image in images if image.digest != found[f"{image.name}:{image.tag}"]]
    for image in changed:
        now = found[f"{image.name}:{image.tag}"]
        sys.stdout.write(f"{image.name}:{image.tag}: {image.digest or 'no digest yet'} → {now}\n")
    sys.stdout.write(f"{len(images)} images, {len(changed)} of them otherwise than in docker/images.lock\n")
    if arguments.check:
        return 1 if changed else 0
    LOCK.write_text(with_digests(text, found), encoding="utf-8")
    make_compose()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `python -m scripts.pin_images`."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.pin_images", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if anything is otherwise")
    parser.add_argument("--registry", required=True, metavar="URL", help="that the images are pulled from")
    arguments = parser.parse_args(argv)
    return run_command(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
