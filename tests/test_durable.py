"""Files are whole or absent, also when the writer fails midway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradinghf.durable import atomic_path, write_atomic
from tradinghf.errors import WriteError


def failing():
    yield b"half"
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    with pytest.raises(WriteError, match="No space"):
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
    with pytest.raises(WriteError, match="No such file"), atomic_path(tmp_path / "a.pdf"):
        pass
    assert not list(tmp_path.iterdir())


def test_folders_above_are_made_and_links_followed(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "c.txt", b"1")
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "a" / "b" / "c.txt")
    write_atomic(link, b"2")
    assert link.is_symlink()
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/dev/null", "a device"),  # as root a rename would replace it for everybody
        (".", "a folder"),
        ("file/inside", "File exists|Not a directory"),
        ("n" * 300, "name too long"),
        ("a\0b", "null"),
    ],
)
def test_a_place_that_takes_no_file_is_named_with_the_next_step(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("old")
    with pytest.raises(WriteError, match=reason) as found:
        write_atomic(Path(name), b"x")
    assert str(found.value).startswith(f"Cannot write {name}: ")
    assert isinstance(found.value, OSError)
    assert [p.read_text() for p in tmp_path.rglob("*")] == ["old"]
