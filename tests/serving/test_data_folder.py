"""A folder of the server as a source of bars: what lies in it, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tradinghf.errors import MarketDataError
from tradinghf.serving._data_folder import DataFolder
from tradinghf.serving._upload_files import MAX_UPLOAD_BYTES

BARS = b"date,open,high,low,close\n2023-01-02,1,2,1,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bars, bars in a folder, and what must stay unseen."""
    root = tmp_path / "bars"
    (root / "fx").mkdir(parents=True)
    (root / ".git").mkdir()
    (tmp_path / "secret.csv").write_bytes(BARS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_bytes(BARS)
    for name in ("a.csv", "fx/EURUSD.CSV", "notes.md", ".hidden.csv", ".git/c.csv"):
        (root / name).write_bytes(BARS)
    (root / "inside.csv").symlink_to(root / "a.csv")
    (root / "outside.csv").symlink_to(tmp_path / "secret.csv")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "broken.csv").symlink_to(root / "gone.csv")
    (root / "round.csv").symlink_to(root / "round.csv")
    os.mkfifo(root / "pipe.csv")
    return root


def test_only_files_of_the_folder_are_offered_and_read(folder: Path) -> None:
    served = DataFolder(str(folder))
    assert served.names() == ["a.csv", "inside.csv", "fx/EURUSD.CSV"]
    assert [served.read(name) for name in served.names()] == [BARS] * 3
    assert DataFolder().names() == []


@pytest.mark.parametrize(
    "name",
    ["outside.csv", "linked/b.csv", "../secret.csv", "/etc/passwd", "pipe.csv", "notes.md", "x.csv",
     ".hidden.csv", "fx/../a.csv"],
)  # fmt: skip
def test_everything_else_is_refused_without_a_path(folder: Path, name: str) -> None:
    for served in (DataFolder(str(folder)), DataFolder()):
        with pytest.raises(MarketDataError, match="file of the server's folder") as caught:
            served.read(name)
        assert str(folder.parent) not in str(caught.value)


def test_a_file_that_became_a_link_or_too_large_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = DataFolder(str(folder))
    with open(folder / "a.csv", "ab") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    with pytest.raises(MarketDataError, match=r"a\.csv: it has 20 MB; at most 20"):
        served.read("a.csv")
    # Between the look and the reading, somebody puts a link in the file's place.
    (folder / "a.csv").unlink()
    (folder / "a.csv").symlink_to(folder.parent / "secret.csv")
    monkeypatch.setattr(served, "names", lambda: ["a.csv"])
    monkeypatch.setattr(served, "_real", lambda path: path)
    with pytest.raises(MarketDataError, match="cannot be read") as caught:
        served.read("a.csv")
    assert str(folder) not in str(caught.value)
