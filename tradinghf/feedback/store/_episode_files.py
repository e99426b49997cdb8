"""Episode files named by their content: `episodes/ab/abcdef....safetensors`.

A file appears complete or not at all: temporary name, fsync, rename, fsync of the folder. It is
written before the row that names it, so a row without its file means damage, never a crash.
"""

from __future__ import annotations

from pathlib import Path

from tradinghf.durable import sync_folder, write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, StoreError


def episode_path(folder: Path, episode_id: str) -> Path:
    """Where the episode's file is, or would be.

    Raises:
        EpisodeError: not the hexadecimal sha256 that every episode id is (so never a path).

    """
    if len(episode_id) != 64 or set(episode_id) - set("0123456789abcdef"):
        raise EpisodeError(
            f"{episode_id[:70]!r} is not an episode id; expected 64 hexadecimal digits."
        )
    return folder / "episodes" / episode_id[:2] / f"{episode_id}.safetensors"


def write_episode_file(folder: Path, episode_id: str, data: bytes) -> None:
    """Store the bytes durably under their hash; nothing to do when they are there.

    Raises:
        StoreError: the disk refused (full, read-only).

    """
    path = episode_path(folder, episode_id)
    try:
        if path.exists() and path.read_bytes() == data:
            return
        if not path.parent.exists():
            path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            sync_folder(path.parent.parent)
        write_atomic(path, data, mode=0o600)
    except OSError as error:
        raise StoreError(
            f"Cannot write the episode file {path}: {error.strerror}. Nothing was recorded; "
            "free some space or fix the permissions, then record the episodes again."
        ) from error


def read_episode_file(folder: Path, episode_id: str, size: int) -> Episode:
    """The episode, verified against its id.

    Args:
        folder: of the store.
        episode_id: hexadecimal sha256.
        size: length of the file [bytes], as recorded; another length is not read at all.

    Raises:
        EpisodeError: the file is missing or altered.

    """
    path = episode_path(folder, episode_id)
    try:
        found = path.stat().st_size
    except OSError as error:
        raise EpisodeError(
            f"The file of episode {episode_id[:12]} is missing: {path}. "
            "Restore the store from a backup."
        ) from error
    if found != size:
        raise EpisodeError(
            f"The file of episode {episode_id[:12]} has {found} bytes; expected {size}. "
            "Restore the store from a backup."
        )
    return Episode.from_bytes(path.read_bytes(), expect_id=episode_id)
