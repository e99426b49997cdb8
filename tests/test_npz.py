"""Arrays from outside: what is too large or no array is refused before it is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tradinghf._npz import opened_npz
from tradinghf.errors import FeedbackError
from tradinghf.feedback import read_fragments
from tradinghf.learning.tasks import Preferences


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(3), b=np.array(["x"]))
    with opened_npz(tmp_path / "x.npz") as arrays:
        assert (arrays["a"].tolist(), arrays["b"].tolist()) == ([0, 1, 2], ["x"])


def test_an_archive_that_grows_too_large_is_refused_by_every_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradinghf._npz._MOST_BYTES", 10_000)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(10_000, np.uint8))
    assert path.stat().st_size < 1000
    said = "unpacks to 10,128 bytes; at most 10,000"
    with pytest.raises(ValueError, match=said), opened_npz(path):
        pass
    with pytest.raises(FeedbackError, match=said):
        Preferences.load(path)
    with pytest.raises(FeedbackError, match=said):
        read_fragments(path)


def test_an_archive_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.save(whole, np.arange(5000))
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", whole.getvalue())
    size = len(whole.getvalue())
    told = path.read_bytes().replace(size.to_bytes(4, "little"), (200).to_bytes(4, "little"))
    path.write_bytes(told)
    with opened_npz(path) as arrays, pytest.raises((ValueError, zipfile.BadZipFile)):
        arrays["a"]


def test_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with opened_npz(tmp_path / "x.npz") as arrays, pytest.raises(ValueError, match="pickle"):
        arrays["a"]
