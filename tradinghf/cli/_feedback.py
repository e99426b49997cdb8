"""`tradinghf episodes` and `tradinghf rank`: episodes, and a synthetic trader who ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import End, InputFile, Start, StoreName, StrategyNames
from tradinghf.cli._progress import fit_bar, progress
from tradinghf.cli._runs import CONFIG, POLICY
from tradinghf.cli._terms import CostOptions, TaskOptions
from tradinghf.errors import EpisodeError, StoreError, unknown_name

if TYPE_CHECKING:
    from pathlib import Path

    from tradinghf.config import EnvConfig
    from tradinghf.episodes import Episode
    from tradinghf.feedback import Query
    from tradinghf.feedback.store import Store
    from tradinghf.learning.policy import Policy
    from tradinghf.learning.reward import RewardModel
    from tradinghf.loop import Actor
    from tradinghf.market import MarketData


@contextmanager
def open_store(store: str, *, must_exist: bool = True) -> Iterator[Store]:
    """The feedback store that --store names.

    Raises:
        StoreError: it should exist and does not; reading a misspelt path creates no empty store.

    """
    from tradinghf.feedback.store import Store, locate

    place = locate(store)
    if must_exist and place.sqlite and not place.database.is_file():
        raise StoreError(
            f"There is no feedback store at {place}. Make one with `tradinghf episodes collect`, "
            "or name another with --store."
        )
    with Store(store) as bank:
        yield bank


def episodes_collect(
    *,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    store: StoreName = "store",
    strategies: StrategyNames = (),
    policy: InputFile = None,
    windows: int = 40,
    horizon: int = 64,
    size: int = 4,
    held_out: float = 0.2,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TaskOptions] = TaskOptions(),  # noqa: B008 (frozen)
    informed: bool = False,
    seed: int = 0,
) -> None:
    """Record episodes of strategies and policies, and queue questions to rank them.

    Everyone trades the same stretches of the market, so that luck cancels out within a question.
    Bars that the store keeps sealed are left out: raters would see them.
    Chance and constant positions trade too: a pool that is too similar teaches little.

    Example: `tradinghf episodes collect --data sp500 --end 2012 --windows 40`

    Args:
        data: A data set (`tradinghf data list`), or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        strategies: Rules that trade, with chance; or else all of them, and constant positions.
        policy: Also a trained policy, with and without exploration: a run or its
            policy.safetensors. Every question that is not held out then shows it.
        windows: How many stretches of the market; one question each.
        horizon: Length of an episode [bars].
        size: Episodes per question.
        held_out: Share of the questions that the reward model never learns from.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        informed: Choose what the answers so far leave most open, instead of by chance.
        seed: Of windows, chance and the choice of questions.

    """
    from tradinghf.config import EnvConfig
    from tradinghf.errors import check_setting
    from tradinghf.evaluation import open_bars
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import collect
    from tradinghf.simulation import MarketEnv, random_windows

    check_setting(2 <= size <= 6, "--size", size, "2 to 6 episodes per question")
    check_setting(0 <= held_out <= 1, "--held-out", held_out, "a share in [0, 1]")
    check_setting(windows >= 1, "--windows", windows, "at least 1")
    market = open_bars(data, start, end, store=store, notify=output.line)
    own = Policy.load(policy_file(policy)) if policy is not None else None
    config = replace(terms.given_to(own.config if own else EnvConfig()), horizon=horizon)
    places = random_windows(market, config, windows, seed)
    trained = [] if own is None or policy is None else policy_actors(policy, own)
    actors = _actors(market, config, strategies, trained, seed)
    env = MarketEnv(
        market,
        num_envs=len(places),
        config=config,
        costs=costs.model,
        scaler=own.scaler if own else None,
    )
    with progress() as report:
        recorded = collect(market, actors, places, env=env, seed=seed, progress=report)
    with open_store(store, must_exist=False) as bank:
        model = _fitted(bank) if informed else None
        asked = questions(recorded, size, held_out, seed, model, shown=len(trained))
        for group in recorded:
            bank.add_episodes(group)
        new = bank.add_queries(asked)
    count = sum(len(group) for group in recorded)
    output.line(f"{count:,} episodes of {len(actors)} traders in {len(places)} windows: {store}")
    output.line(f"{new} new questions of {size} episodes each. Next: `tradinghf dashboard`,")
    output.line("or let a synthetic trader answer: `tradinghf rank --trader drawdown`")


def policy_file(given: Path) -> Path:
    """The policy of a run, or the file itself."""
    return given / POLICY if given.is_dir() else given


def policy_actors(given: Path, policy: Policy) -> list[Actor]:
    """A trained policy with and without exploration, named by its run or else by its content."""
    from tradinghf.loop import own_actors

    run = given if given.is_dir() else given.parent
    name = run.name if (run / CONFIG).is_file() else policy.fingerprint
    return own_actors(name, policy)


def _fitted(bank: Store) -> RewardModel | None:
    """What the answers so far say is valued; None where there is no answer to learn from."""
    from tradinghf.learning.reward import RewardModel

    answers = [r for r in bank.rankings(purposes=("learn", "repeat")) if r.outcome == "ranked"]
    if not answers:
        return None
    names = sorted({name for ranking in answers for name in ranking.episodes})
    episodes = dict(zip(names, bank.episodes(names), strict=True))
    with fit_bar():
        return RewardModel().fit(answers, episodes)


def _actors(
    market: MarketData,
    config: EnvConfig,
    strategies: Sequence[str],
    trained: Sequence[Actor],
    seed: int,
) -> list[Actor]:
    """Actors to record: the loop's diverse pool, or chosen rules and chance; then policies."""
    from tradinghf.loop import pool_actors, random_actor, strategy_actor

    if not strategies:
        return pool_actors(market, config, seed, trained)
    chance = [random_actor(market, config, seed + i, hold) for i, hold in enumerate((2, 6, 20))]
    return [*(strategy_actor(name, market) for name in strategies), *chance, *trained]


def questions(
    recorded: Sequence[Sequence[Episode]],
    size: int,
    held_out: float,
    seed: int,
    model: RewardModel | None = None,
    shown: int = 0,
) -> list[Query]:
    """One question per window, among episodes that differ.

    Args:
        recorded: [W][G] episodes; a row shares its window.
        size: episodes per question.
        held_out: share of the questions with purpose "test".
        seed: of the draws.
        model: chooses by expected information; None: by chance.
        shown: of the last so many columns, one must be in every question that is chosen.

    """
    import numpy as np

    from tradinghf.feedback import Query
    from tradinghf.learning.reward import choose_groups
    from tradinghf.loop import distinct_columns

    distinct = [distinct_columns(row) for row in recorded]
    rng, keep = np.random.default_rng(seed), range(len(recorded[0]) - shown, len(recorded[0]))
    scores = None
    if model is not None:
        each = model.member_scores([episode for row in recorded for episode in row])
        scores = each.unflatten(1, (len(recorded), len(recorded[0])))
    groups = choose_groups(
        scores,
        distinct,
        len(recorded),
        size=size,
        uniform=1.0 if scores is None else held_out,
        rng=rng,
        keep=keep if shown else (),
    )
    tests = round(held_out * len(groups))
    found = []
    for group in groups:
        held, tests = group.uniform and tests > 0, tests - group.uniform
        ids = [recorded[group.window][member].id for member in group.members]
        found.append(Query.of(ids, purpose="test" if held else "learn"))
    return found


def episodes_list(*, store: StoreName = "store", source: str = "", limit: int = 30) -> None:
    """List recorded episodes: who traded, when, and what came of it.

    Example: `tradinghf episodes list --source sma_cross`

    Args:
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        source: Only this strategy's or policy's.
        limit: Show at most this many, the oldest first.

    """
    with open_store(store) as bank:
        infos = bank.episode_infos(source=source or None, limit=limit)
        total = Counter(bank.sources().values())
    if source and source not in total:
        raise EpisodeError(unknown_name("source of episodes", source, total))
    output.table(
        ["episode", "source", "symbol", "start bar", "bars", "return_pct", "max_drawdown_pct"],
        [
            (
                i.id[:12],
                i.source,
                i.symbol,
                i.start,
                i.bars,
                *_percent(i.net_return, i.max_drawdown),
            )
            for i in infos
        ],
    )
    shown = total[source] if source else total.total()
    output.line(f"{len(infos)} of {shown} episodes.")


def episodes_show(episode: Positional[str], /, *, store: StoreName = "store") -> None:
    """Show one recorded episode.

    Example: `tradinghf episodes show 3f2a91c07b44`

    Args:
        episode: Its id, or the first characters of it.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    import numpy as np

    with open_store(store) as bank:
        known = bank.sources()
        found = [name for name in known if name.startswith(episode)]
        if len(found) != 1:
            problem = f"{len(found)} episodes begin with it" if found else "no episode does"
            raise EpisodeError(
                f"{episode!r} must be the beginning of one episode's id; {problem}. "
                "See `tradinghf episodes list`."
            )
        it = bank.episode(found[0])
    net, worst = _percent(float(it.net_return), float(it.drawdown.max()))
    output.pairs(
        {
            "id": it.id,
            "source": it.source,
            "asset": it.symbol,
            "from": str(np.datetime_as_string(it.timestamps[0], unit="m")),
            "to": str(np.datetime_as_string(it.timestamps[-1], unit="m")),
            "bars": it.bars,
            "return_pct": net,
            "max_drawdown_pct": worst,
            "turnover (times the account)": float(it.turnover.sum()),
            "costs_pct": 100 * float(it.costs.sum()),
            "average position": float(it.position.mean()),
            "bars with a fill": int(np.isfinite(it.price).sum()),
        }
    )


def _percent(*fractions: float) -> tuple[float, ...]:
    """Fractions as percentages."""
    return tuple(100.0 * value for value in fractions)


def rank(
    *,
    trader: str,
    store: StoreName = "store",
    teacher: str = "oracle",
    limit: int | None = None,
    seed: int = 0,
) -> None:
    """Answer the queued questions as a synthetic trader with a known taste.

    Real traders answer in `tradinghf dashboard`; a synthetic one shows how the machinery learns
    when the truth is known.

    Example: `tradinghf rank --trader drawdown --limit 50`

    Example: `tradinghf rank --trader my_taste.py:utility`

    Args:
        trader: A built-in taste, or FILE.py:function, a function from Episode to a number.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        teacher: How faithfully the taste is reported: oracle, stochastic, mistakes, skips, ties,
            confused, in_order, tiring, anchored, impatient ...
        limit: Answer at most this many questions.
        seed: Of the trader's slips.

    """
    from tradinghf.feedback import SyntheticTrader

    judge = SyntheticTrader(trader, teacher=teacher, seed=seed)
    # One rater per way of answering: another teacher or seed is another person.
    rater = f"synthetic:{judge.label}" + (f"/{teacher}" if teacher != "oracle" else "")
    rater += f"/{seed}" if seed else ""
    counts: Counter[str] = Counter()
    with open_store(store) as bank:
        while limit is None or counts.total() < limit:
            query = bank.next_query(rater)
            if query is None:
                break
            answer = judge.rank(bank.episodes(query.episodes), query.id, session=f"seed {seed}")
            bank.submit(replace(answer, rater=rater, key=f"{rater}|{query.id}"))
            counts[answer.outcome] += 1
        left = bank.pending(rater)
    output.line(f"{rater}: {counts['ranked']} ranked, {counts['skipped']} skipped, {left} left.")
