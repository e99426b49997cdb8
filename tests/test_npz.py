"""Arrays from outside: what is too large or no array is refused before it is read."""

from __future__ import annotations

import io
import zipfile
from contextlib import nullcontext
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
    with pytest.raises((ValueError, zipfile.BadZipFile)), opened_npz(path) as arrays:
        arrays["a"]


def test_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npy in it holds objects"):
        opened_npz(tmp_path / "x.npz").__enter__()


def header(kind: str, shape: str) -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.npy", header("<f8", "(10000000000000,)"), "says 80,000,000,000,000 bytes and holds 0"),
        ("a.npy", header("|S2000000000", "(200,)"), "says 400,000,000,000 bytes"),
        ("a.npy", header("<f8", "(-1,)") + bytes(8), "holds 8"),
        ("a.npy", header("<f8", "(4611686018427387904,4)"), "and holds 0"),
        ("a.npy", header("<zz", "(1,)"), "descr is not a valid dtype"),
        ("a.npy", b"\x93NUMPY\x01\x00\x88\x13" + b"(" * 5000, "no readable header"),
        ("a.npy", b"\x93NUMPY\x07\x00", "no readable header"),
        ("a.npy", b"hello", "."),
        ("a", b"hello", "no array as numpy.savez"),
    ],
)
def test_arrays_that_lie_are_refused_before_memory_is_asked_for(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)
    with pytest.raises(ValueError, match=said):
        opened_npz(path).__enter__()
    with pytest.raises(FeedbackError):
        Preferences.load(path)
    with pytest.raises(FeedbackError):
        read_fragments(path)


def test_other_packings_and_names_said_twice_are_refused(tmp_path: Path) -> None:
    held = io.BytesIO()
    np.save(held, np.arange(3))
    for packing, names in ((zipfile.ZIP_LZMA, ["a"]), (zipfile.ZIP_STORED, ["a", "a"])):
        with (
            pytest.warns(UserWarning, match="Duplicate") if len(names) > 1 else nullcontext(),
            zipfile.ZipFile(tmp_path / "x.npz", "w", packing) as archive,
        ):
            for name in names:
                archive.writestr(f"{name}.npy", held.getvalue())
        with pytest.raises(ValueError, match=r"no array as|two arrays of one name"):
            opened_npz(tmp_path / "x.npz").__enter__()


FRAGMENTS = {
    "episode": ["aa", "bb"],
    "pairs": [[0, 1]],
    "preferences": [1.0],
    "ranking": ["r"],
    "rater": ["x"],
    "session": [""],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("preferences", [likes]) for likes in (np.nan, np.inf, 7.0, 0.3, -1.0)],
        ("preferences", ["1"]),
        *[("pairs", [pair]) for pair in ([0, -1], [0, 2], [True, False], [0.0, 1.0], [0])],
        ("pairs", 3),
    ],
)
def test_pairs_and_preferences_that_are_none_are_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    np.savez(tmp_path / "good.npz", **FRAGMENTS)
    assert read_fragments(tmp_path / "good.npz")[0].ranks == (1, 2)
    np.savez(tmp_path / "x.npz", **FRAGMENTS | {name: np.array(value)})
    with pytest.raises(FeedbackError, match=r"pairs are no places|preferences hold|must be|unpack"):
        read_fragments(tmp_path / "x.npz")
