"""Digests: asked of a registry, kept in the lock, put into the files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import pin_images
from scripts.image_lock import LOCK, Image, pinned, read_lock, with_digests
from scripts.make_compose import EXAMPLE, PINNED, example
from tests.conftest import ROOT

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
INDEX = "application/vnd.oci.image.index.v1+json"


@contextmanager
def registry(
    body: bytes, *, kind: str = INDEX, says: str | None = None, token: str = "for reading"
) -> Iterator[str]:
    """A registry that gives one manifest, to those alone who have asked it for a token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/token?service=ours&scope=repository:library/influxdb:pull"):
                self._send(200, json.dumps({"token": token}).encode(), {})
            elif self.headers.get("Authorization") != "Bearer for reading":
                realm = f'Bearer realm="{url}/token",service="ours",scope="ignored"'
                self._send(401, b"{}", {"WWW-Authenticate": realm})
            elif self.path == "/v2/library/influxdb/manifests/2.9.1" and INDEX in self.headers["Accept"]:
                digest = says or f"sha256:{hashlib.sha256(body).hexdigest()}"
                self._send(200, body, {"Content-Type": kind, "Docker-Content-Digest": digest})
            else:
                self._send(404, b"{}", {})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing goes to the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


def test_a_digest_is_that_of_what_the_registry_sends() -> None:
    with registry(b'{"manifests": []}') as url:
        digest = pin_images.digest_of("influxdb", "2.9.1", url)
    assert digest == "sha256:" + hashlib.sha256(b'{"manifests": []}').hexdigest()


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("influxdb", {"says": OLD}, "calls it sha256:111"),
        ("influxdb", {"kind": "application/vnd.oci.image.manifest.v1+json"}, "which is of one platform"),
        ("influxdb", {"token": "another"}, "does not give it .HTTP Error 401"),
        ("another", {}, "does not give it"),
    ],
)
def test_an_answer_that_is_not_to_be_trusted_is_one_line(name: str, answer: Any, said: str) -> None:
    with registry(b"{}", **answer) as url, pytest.raises(pin_images.RegistryFailed, match=said) as failed:
        pin_images.digest_of(name, "2.9.1", url)
    assert "\n" not in str(failed.value)


def test_a_registry_that_does_not_answer_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "images.lock"
    lock.write_text(f"INFLUX_TAG influxdb:2.9.1 {OLD}\n")
    monkeypatch.setattr(pin_images, "LOCK", lock)
    assert pin_images.main(["--registry", "http://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.startswith("error: influxdb:2.9.1: http://127.0.0.1:9 does not give it")
    assert lock.read_text() == f"INFLUX_TAG influxdb:2.9.1 {OLD}\n"


def test_renewed_digests_are_written_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "images.lock"
    lock.write_text(f"# of others\nINFLUX_TAG influxdb:2.9.1 {OLD}\n")
    monkeypatch.setattr(pin_images, "LOCK", lock)
    written: list[bool] = []
    monkeypatch.setattr(pin_images, "make_compose", lambda: written.append(True))
    now = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    with registry(b"{}") as url:
        assert pin_images.main(["--check", "--registry", url]) == 1
        assert OLD in lock.read_text() and not written
        assert pin_images.main(["--registry", url]) == 0
        assert lock.read_text() == f"# of others\nINFLUX_TAG influxdb:2.9.1 {now}\n"
        assert written
        assert pin_images.main(["--check", "--registry", url]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"influxdb:2.9.1: {OLD} → {now}"


def test_a_lock_is_read_and_a_line_that_is_none_is_named() -> None:
    assert read_lock(f"# said\nA_TAG a/b:1.2 -\n\nB_IMAGE b:3 {OLD}\n") == [
        Image("A_TAG", "a/b", "1.2", None),
        Image("B_IMAGE", "b", "3", OLD),
    ]
    with pytest.raises(ValueError, match="is not a variable, an image and a digest"):
        read_lock("A_TAG a/b:1.2 sha256:12\n")
    assert (
        with_digests("A_TAG a/b:1.2 -\nB_TAG b:3 -\n", {"b:3": NEW}) == f"A_TAG a/b:1.2 -\nB_TAG b:3 {NEW}\n"
    )


def test_a_digest_replaces_the_one_before_in_every_form() -> None:
    images = [Image("A_TAG", "a/b", "1.2", NEW), Image("B_IMAGE", "b", "3", NEW)]
    before = (
        f'image: "a/b:${{A_TAG:-1.2}}"\nimage: "a/b:${{A_TAG:-1.2@{OLD}}}"\n'
        f'"${{B_IMAGE:-b:3@{OLD}}}"\nARG B_IMAGE=b:3\n'
    )
    assert pinned(before, images) == (
        f'image: "a/b:${{A_TAG:-1.2@{NEW}}}"\nimage: "a/b:${{A_TAG:-1.2@{NEW}}}"\n'
        f'"${{B_IMAGE:-b:3@{NEW}}}"\nARG B_IMAGE=b:3@{NEW}\n'
    )
    assert pinned(pinned(before, images), [Image("A_TAG", "a/b", "1.2", None)]).count("1.2}") == 2


def test_the_files_are_as_the_lock_says() -> None:
    images = read_lock(LOCK.read_text(encoding="utf-8"))
    for name in PINNED:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert pinned(text, images) == text, f"{name}: run: make compose"
    text = (ROOT / EXAMPLE).read_text(encoding="utf-8")
    assert example(text) == text, "run: make compose"


def test_images_that_were_built_here_are_found_by_their_tags(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        f"printf '%s\\n' 'influxdb:2.9.1 <none>' 'grafana/grafana:12.4.11 {OLD}' 'influxdb:2.8.0 <none>'\n"
    )
    docker.chmod(0o755)

    def said(path: str) -> str:
        return subprocess.run(
            [ROOT / "docker/local-images"],
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert said(f"{tmp_path}:{os.environ['PATH']}") == "INFLUX_TAG=2.9.1\n"
    # Without an engine there is nothing to say.
    docker.write_text("#!/bin/sh\nexit 1\n")
    assert said(f"{tmp_path}:{os.environ['PATH']}") == ""
