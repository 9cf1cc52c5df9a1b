from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from rankloom.nn.media import MediaReader, Unreadable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.png").write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return root


@pytest.fixture
def reader(root: Path) -> MediaReader:
    return MediaReader(root, max_bytes=10)


def refused(reader: MediaReader, value: Any) -> str:
    with pytest.raises(Unreadable) as caught:
        reader.read(value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "deep/a.png",
        "deep/../deep/a.png",
        Path("deep/a.png"),
        {"path": "deep/a.png", "bytes": None},
        {"bytes": b"picture", "path": "elsewhere"},
        b"picture",
        bytearray(b"picture"),
        memoryview(b"picture"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_paths_and_bytes_are_read(reader: MediaReader, value: Any) -> None:
    assert reader.given(value)
    assert reader.read(value) == b"picture"
    assert reader.digest(value) == hashlib.sha256(b"picture").digest()


def test_an_absolute_path_below_the_root_is_read(reader: MediaReader, root: Path) -> None:
    assert reader.read(str(root / "deep" / "a.png")) == b"picture"


@pytest.mark.parametrize("value", ["../secret.png", "deep/../../secret.png", "/etc/passwd"])
def test_no_path_leads_out(reader: MediaReader, value: str) -> None:
    assert "leads out of the media root" in refused(reader, value)
    assert "leads out of the media root" in refused(reader, {"path": value})


def test_no_link_leads_out(reader: MediaReader, root: Path, tmp_path: Path) -> None:
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "inside.png").symlink_to(root / "deep" / "a.png")
    for value in ("link.png", "up/secret.png"):
        assert "leads out" in refused(reader, value)
        assert reader.digest(value) != hashlib.sha256(b"secret").digest()
    assert reader.read("inside.png") == b"picture"


@pytest.mark.parametrize("value", ["https://example.org/a.png", "file:///etc/passwd", "s3://b/a"])
def test_no_url_is_fetched(reader: MediaReader, value: str) -> None:
    assert "it is a URL" in refused(reader, value)


def test_what_is_no_file(reader: MediaReader) -> None:
    assert "no such file" in refused(reader, "deep/b.png")
    assert "no such file" in refused(reader, "deep")
    assert "no usable path" in refused(reader, "a\0b.png")
    assert "no usable path" in refused(reader, "x" * 5000)
    assert "it is int, neither a path nor bytes" in refused(reader, 7)
    assert "NoneType" in refused(reader, {"path": None})


def test_too_many_bytes(reader: MediaReader, root: Path) -> None:
    (root / "large.png").write_bytes(b"x" * 11)
    for value in ("large.png", b"x" * 11, {"bytes": b"x" * 11}):
        assert refused(reader, value) == "it has more than 10 bytes (max_bytes)"
    (root / "just.png").write_bytes(b"x" * 10)
    assert len(reader.read("just.png")) == 10


@pytest.mark.parametrize(
    "value", [None, float("nan"), "", "  ", b"", {"bytes": None, "path": None}, {"path": " "}, {}]
)
def test_nothing_is_nothing(reader: MediaReader, value: Any) -> None:
    assert not reader.given(value)


def test_contents_are_told_apart_by_their_bytes(reader: MediaReader, root: Path) -> None:
    before = reader.digest("deep/a.png")
    (root / "deep" / "copy.png").write_bytes(b"picture")
    assert reader.digest("deep/copy.png") == before
    (root / "deep" / "a.png").write_bytes(b"another")
    assert reader.digest("deep/a.png") != before
    assert reader.digest("gone.png") != reader.digest("lost.png")
