"""Rankings as pairs of trajectory fragments, the format of the library `imitation`, and back."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tradinghf._npz import opened_npz
from tradinghf.durable import atomic_path
from tradinghf.episodes import Episode, Floats
from tradinghf.errors import EpisodeError, FeedbackError, TradingHFError
from tradinghf.feedback._pairs import Pair, pairs_of, rankings_of
from tradinghf.feedback._types import Ranking

if TYPE_CHECKING:
    from tradinghf.market import MarketData

_OBSERVED = ("price", "position", "equity", "drawdown")
"""Columns of an exported fragment's observations; the price starts at 1."""


@dataclass(frozen=True, eq=False)
class Fragment:
    """An episode with the fields of `imitation.data.types.TrajectoryWithRew`, in its order.

    `TrajectoryWithRew(**vars(fragment))` is imitation's own.

    Attributes:
        obs: [L+1, 4] the columns `_OBSERVED`.
        acts: [L] signed fraction of equity held at the end of each bar.
        infos: [L] one dict per bar: episode (id), equity, position, turnover, costs.
        terminal: always true: an episode is whole.
        rews: [L] change of equity, as a fraction of the starting equity.

    """

    obs: Floats
    acts: Floats
    infos: NDArray[np.object_]
    terminal: bool
    rews: Floats

    @classmethod
    def of(cls, episode: Episode) -> Fragment:
        """The fragment of an episode."""
        names = ("equity", "position", "turnover", "costs")
        rows = zip(
            episode.equity[1:], episode.position, episode.turnover, episode.costs, strict=True
        )
        infos = np.array(
            [{"episode": episode.id, **dict(zip(names, map(float, r), strict=True))} for r in rows]
        )
        return cls(_observed(episode), episode.position, infos, True, np.diff(episode.equity))


class FragmentLike(Protocol):
    """imitation's `TrajectoryWithRew`, or ours."""

    @property
    def infos(self) -> Any:
        """[L] dicts."""


def fragment_pairs(
    rankings: Iterable[Ranking], episodes: Mapping[str, Episode]
) -> tuple[list[tuple[Fragment, Fragment]], NDArray[np.float32]]:
    """Pairs as `imitation` takes them: `PreferenceDataset.push(*fragment_pairs(...))`.

    Returns:
        P pairs of fragments, and [P] the probability that the first is preferred (1, 0.5 or 0).

    """
    pairs = list(pairs_of(rankings))
    made = {n: Fragment.of(episodes[n]) for n in {n for p in pairs for n in (p.first, p.second)}}
    likes = np.array([p.preference for p in pairs], dtype=np.float32)
    return [(made[p.first], made[p.second]) for p in pairs], likes


def rankings_from_fragments(
    fragments: Sequence[tuple[FragmentLike, FragmentLike]],
    preferences: Sequence[float] | NDArray[Any],
    market: MarketData,
    *,
    rater: str,
    source: str = "imitation",
) -> tuple[list[Ranking], dict[str, Episode]]:
    """Comparisons that imitation collected on our Gymnasium environments.

    Episodes are rebuilt from the infos that `tradinghf/Market-v0` returned at each step.

    Args:
        fragments: P pairs of whole episodes with infos.
        preferences: [P] probability that the first is preferred.
        market: the bars that the environment traded.
        rater: who compared.
        source: stored with the episodes.

    Returns:
        one ranking per pair, and the episodes by id.

    Raises:
        FeedbackError: numbers of pairs and preferences differ.
        EpisodeError: a fragment lacks the infos, or is not one episode of this market.

    """
    if len(fragments) != len(preferences):
        raise FeedbackError(f"{len(fragments)} pairs have {len(preferences)} preferences.")
    episodes: dict[str, Episode] = {}
    rankings = []
    for i, (pair, likes) in enumerate(zip(fragments, preferences, strict=True)):
        if not 0 <= float(likes) <= 1:
            raise FeedbackError(f"Preference {i} is {likes}; expected a probability.")
        both = [_rebuilt(fragment, market, source) for fragment in pair]
        episodes.update({e.id: e for e in both})
        content = f"{rater}|{i}|{both[0].id}|{both[1].id}"
        key = "imitation|" + hashlib.sha256(content.encode()).hexdigest()[:32]
        ranks = (1 + (likes < 0.5), 1 + (likes > 0.5))
        rankings.append(Ranking(key, (both[0].id, both[1].id), ranks, rater=rater))
    return rankings, episodes


def write_fragments(
    path: Path | str, rankings: Iterable[Ranking], episodes: Mapping[str, Episode]
) -> int:
    """Write pairs of fragments as .npz; returns how many.

    E episodes of L bars and P pairs: `obs` [E, L+1, 4], `acts` and `rews` [E, L], `episode` [E]
    ids, `pairs` [P, 2] rows of these, `preferences` [P], and per pair `ranking`, `rater`,
    `session`; `document` holds the episodes whole, one after another, `document_end` [E] where
    each ends. imitation keeps its own files by serialising objects, which is not safe to read.

    Raises:
        FeedbackError: there is no ranking, or episodes differ in length.

    """
    pairs = list(pairs_of(rankings))
    names = list(dict.fromkeys(n for p in pairs for n in (p.first, p.second)))
    known = [episodes[n] for n in names]
    lengths = {e.bars for e in known}
    if len(lengths) != 1:
        raise FeedbackError(
            f"Episodes have {sorted(lengths)} bars; an .npz of fragments needs ranked episodes of "
            "one length. Export rankings of one horizon at a time."
        )
    row = {name: i for i, name in enumerate(names)}
    arrays: dict[str, Any] = {
        "obs": np.stack([_observed(e) for e in known]),
        "acts": np.stack([e.position for e in known]),
        "rews": np.stack([np.diff(e.equity) for e in known]),
        "episode": np.array(names),
        "pairs": np.array([(row[p.first], row[p.second]) for p in pairs]),
        "preferences": np.array([p.preference for p in pairs], dtype=np.float32),
    }
    documents = [episode.to_bytes() for episode in known]
    arrays["document"] = np.frombuffer(b"".join(documents), dtype=np.uint8)
    arrays["document_end"] = np.cumsum([len(document) for document in documents])
    arrays |= {n: np.array([getattr(p, n) for p in pairs]) for n in ("ranking", "rater", "session")}
    with atomic_path(Path(path)) as draft, draft.open("xb") as file:
        np.savez_compressed(file, **arrays)
    return len(pairs)


def read_fragments(path: Path | str) -> list[Ranking]:
    """The rankings of a file by `write_fragments`; their episodes are named by id.

    Raises:
        FeedbackError: another file, or content that contradicts itself.

    """
    with _opened(path) as arrays:
        ids = arrays["episode"].tolist()
        labels = [arrays[name].tolist() for name in ("ranking", "rater", "session")]
        pairs, likes = arrays["pairs"], arrays["preferences"]
        _check_pairs(pairs, likes, len(ids))
        rows = zip(pairs.tolist(), likes.tolist(), *labels, strict=True)
        found = [
            Pair(ids[a], ids[b], float(liked), key, rater=rater, session=session)
            for (a, b), liked, key, rater, session in rows
        ]
    return rankings_of(found)


def _check_pairs(pairs: NDArray[Any], likes: NDArray[Any], episodes: int) -> None:
    """Refuse places outside the list, which Python would count from its end, and no preferences."""
    whole = pairs.dtype.kind in "iu" and pairs.ndim == 2 and pairs.shape[1] == 2
    if not whole or not ((pairs >= 0) & (pairs < episodes)).all():
        raise ValueError(f"pairs are no places among {episodes} episodes")
    if likes.dtype.kind not in "fiu" or not np.isin(likes, (0, 0.5, 1)).all():
        raise ValueError("preferences hold something else than 1, 0.5 and 0")


def episodes_in_fragments(path: Path | str) -> list[Episode]:
    """The episodes that a file of `write_fragments` carries; none in files of earlier versions.

    Raises:
        FeedbackError: another file.
        EpisodeError: an episode that was altered.

    """
    with _opened(path) as arrays:
        if "document" not in arrays:
            return []
        ids, ends = arrays["episode"].tolist(), arrays["document_end"].tolist()
        content = arrays["document"].astype(np.uint8).tobytes()
        parts = zip(ids, pairwise([0, *ends]), strict=True)
        return [Episode.from_bytes(content[a:b], expect_id=str(name)) for name, (a, b) in parts]


@contextmanager
def _opened(path: Path | str) -> Iterator[Any]:
    """The arrays of an .npz, with a clear error for whatever is no such file."""
    try:
        with opened_npz(path) as arrays:
            yield arrays
    except TradingHFError:
        raise
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise FeedbackError(
            f"{Path(path).name} is no .npz of fragment pairs ({type(error).__name__}: {error}). "
            "Expected a file of `tradinghf feedback export --format imitation`."
        ) from error


def _observed(episode: Episode) -> Floats:
    """[L+1, 4] the columns `_OBSERVED`."""
    position = np.concatenate([[0.0], episode.position])
    price = episode.close / episode.close[0]
    return np.stack([price, position, episode.equity, episode.drawdown], axis=1)


def _rebuilt(fragment: FragmentLike, market: MarketData, source: str) -> Episode:
    """The episode that a fragment of our Gymnasium environment recorded."""
    infos = fragment.infos
    try:
        start, asset = int(infos[0]["start"]), int(infos[0]["asset"])
        bars = [int(info["bar"]) for info in infos]
        names = ("equity", "position", "turnover", "costs")
        path: dict[str, Any] = {
            n: np.array([float(np.squeeze(i[n])) for i in infos]) for n in names
        }
        price = np.array([float(np.squeeze(i.get("price", np.nan))) for i in infos])
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise EpisodeError(
            f"A fragment lacks what tradinghf/Market-v0 tells ({type(error).__name__}: {error}). "
            "Collect with infos: RolloutInfoWrapper and rollouts that keep them."
        ) from error
    rows = slice(start, start + len(bars) + 1)
    if bars != list(range(start + 1, start + len(bars) + 1)) or rows.stop > market.bars:
        raise EpisodeError(
            f"A fragment holds bars {bars[0]} to {bars[-1]} of an episode that starts at {start}, "
            f"in a market of {market.bars} bars; expected one whole episode, fragment_length = "
            "horizon."
        )
    fields: dict[str, Any] = {
        n: np.ascontiguousarray(getattr(market, n)[rows, asset])
        for n in ("open", "high", "low", "close", "volume")
    }
    equity = np.concatenate([[1.0], path.pop("equity")])
    episode = Episode(
        **fields,
        **path,
        equity=equity,
        price=price,
        timestamps=market.timestamps[rows],
        symbol=market.symbols[asset],
        market=market.sha256,
        start=start,
        source=source,
    )
    episode.check()
    return episode
