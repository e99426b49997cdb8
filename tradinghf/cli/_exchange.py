"""`tradinghf feedback export` and `import`: answers as files, for us and for other learners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._feedback import open_store
from tradinghf.cli._options import InputPath, OutputPath, StoreName
from tradinghf.errors import FeedbackError, said_once

if TYPE_CHECKING:
    from tradinghf.episodes import Episode
    from tradinghf.feedback import Purpose, Ranking

_Format = Literal["tradinghf", "imitation", "trl"]


def feedback_export(
    file: Positional[OutputPath],
    /,
    *,
    format: _Format = "tradinghf",  # noqa: A002 (the option is called so)
    held_out: bool = False,
    store: StoreName = "store",
) -> None:
    """Write the answers in a store to a file.

    Example: `tradinghf feedback export feedback.jsonl`

    Example: `tradinghf feedback export pairs.jsonl --format trl`

    Example: `tradinghf feedback export pairs.npz --format imitation`

    Args:
        file: What to write. Our own format is chosen by the name: .jsonl holds everything, episodes
            included; .csv and .parquet one row per ranked episode.
        format: tradinghf; imitation (.npz: pairs of fragments with their preferences); trl (JSON
            lines: prompt, chosen, rejected). The last two hold pairs of ranked episodes.
        held_out: For imitation and trl: the answers to test questions, instead of those that may
            be learned from.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    from tradinghf.feedback import write_fragments, write_trl

    with open_store(store) as bank:
        if format == "tradinghf":
            output.line(f"{bank.export(file):,} rankings: {file}")
            return
        purposes: tuple[Purpose, ...] = ("test",) if held_out else ("learn", "repeat")
        rankings = bank.rankings(purposes=purposes)
        names = {name for r in rankings if r.ranks for name in r.episodes}
        episodes = {name: bank.episode(name) for name in names}
    write = write_trl if format == "trl" else write_fragments
    count = write(file, rankings, episodes)
    output.line(f"{count:,} pairs of {len(rankings):,} rankings: {file}")


def feedback_import(
    file: Positional[InputPath],
    /,
    *,
    format: str = "tradinghf",  # noqa: A002 (the option is called so)
    columns: str = "",
    across_windows: bool = False,
    store: StoreName = "store",
) -> None:
    """Read answers from a file into a store; what is there already is left as it is.

    Example: `tradinghf feedback import feedback.jsonl`

    Example: `tradinghf feedback import pairs.jsonl --format trl`

    Example: `tradinghf feedback import picks.jsonl --format best`

    Example: `tradinghf feedback import pairs.csv --format trl --columns winner=better,loser=worse`

    Args:
        file: A file of `tradinghf feedback export`, or of another program in the same format.
        format: tradinghf; imitation or trl, of which pairs of one ranking become that ranking
            again; or a type of answers (labels, best, FILE.py:function), in JSON lines with
            "episodes", "answer" and perhaps "rater" and "session". Files of ours bring their
            episodes along; other files name them by id, and the store must hold them. trl also
            reads .csv with a winner and a loser in each row.
        columns: For trl: what the columns of the ids are called, as winner=NAME,loser=NAME.
        across_windows: Accept rankings of episodes of different market windows.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    from tradinghf import feedback

    if columns and format != "trl":
        raise FeedbackError(f"--columns is for --format trl; the format is {format}.")
    pairs = (part.partition("=") for part in columns.split(",") if part)
    named = said_once(((ours, theirs) for ours, _, theirs in pairs), "--columns", FeedbackError)
    readers: dict[str, tuple[Callable[..., list[Ranking]], Callable[..., Iterable[Episode]]]] = {
        "trl": (partial(feedback.read_trl, columns=named), feedback.episodes_in_trl),
        "imitation": (feedback.read_fragments, feedback.episodes_in_fragments),
    }
    read, carried = readers.get(format, (None, None))
    rankings = read(file) if read else []  # before a store is made for what cannot be read
    with open_store(store, must_exist=read is None and format != "tradinghf") as bank:
        if format == "tradinghf":
            new = bank.import_from(file, across_windows=across_windows)
            output.line(f"{new:,} new rankings in {store}")
            return
        if read is None or carried is None:
            rankings = feedback.read_answers(file, format, bank.episode)
        else:
            bank.add_episodes(carried(file))
        known = {r.key for r in bank.rankings(include_superseded=True)}
        fresh = [r for r in rankings if r.key not in known]
        new = sum(bank.submit(r, across_windows=across_windows) for r in fresh)
    output.line(f"{new:,} new rankings of {len(rankings):,} in {store}")
