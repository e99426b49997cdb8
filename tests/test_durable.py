"""Files are whole or absent, also when the writer fails midway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradinghf.durable import atomic_path, write_atomic


def failing():
    yield b"half"
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, failing())
    with pytest.raises(TypeError), atomic_path(path) as draft:
        draft.write_text(7)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomic(path, iter([b"n", b"ew"]))
    assert path.read_bytes() == b"new"


def test_a_draft_lies_beside_its_file_with_the_same_suffix(tmp_path: Path) -> None:
    """A rename is one step only within a file system; libraries go by the suffix."""
    path = tmp_path / "table.csv"
    with atomic_path(path) as draft:
        assert (draft.parent, draft.suffix) == (tmp_path, ".csv")
        assert draft.name.startswith(".tmp-")
        draft.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_a_writer_that_writes_nothing_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.pdf"):
        pass
    assert not list(tmp_path.iterdir())
