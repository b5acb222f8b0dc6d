"""Files are whole or absent; a torn last line is left out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from luthier.core.files import (
    append_lines,
    cache_folder,
    read_json,
    read_lines,
    sha256_file,
    sha256_text,
    staged_folder,
    write_atomically,
    write_json,
)


def test_lines_come_back_and_a_torn_last_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, [{"a": 1}, {"b": "zwei\nüber"}])
    append_lines(path, [[3]])
    whole = path.read_bytes()
    assert whole == '{"a":1}\n{"b":"zwei\\nüber"}\n[3]\n'.encode()
    for cut in range(1, 4):  # a crash in the middle of the third line
        path.write_bytes(whole[:-cut])
        assert list(read_lines(path)) == [{"a": 1}, {"b": "zwei\nüber"}]
    assert list(read_lines(tmp_path / "absent.jsonl")) == []


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"old": True})

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"new": True})
    assert read_json(path) == {"old": True}


def test_a_write_leaves_nothing_beside_its_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "ä")
    write_atomically(tmp_path / "b.bin", b"\x00\xff")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.txt": b"\xc3\xa4", "b.bin": b"\x00\xff"}


def test_a_staged_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "final"

    def killed() -> None:
        with staged_folder(final) as staged:
            (staged / "part").write_text("x")
            assert not final.exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        killed()
    assert not final.exists()
    with staged_folder(final) as staged:
        assert list(staged.iterdir()) == []  # what the killed one left is gone
        (staged / "whole").write_text("y")
    assert [p.name for p in tmp_path.iterdir()] == ["final"]
    assert (final / "whole").read_text() == "y"


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 1_000_000)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert sha256_text("ü", "b") == hashlib.sha256("2:ü1:b".encode()).hexdigest()
    assert len({sha256_text("ab", "c"), sha256_text("a", "bc"), sha256_text("abc")}) == 3


def test_the_cache_folder_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    if os.name != "nt":
        monkeypatch.delenv("LUTHIER_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
        assert cache_folder() == Path("/elsewhere/luthier")
