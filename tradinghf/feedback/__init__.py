"""What traders say: rankings, ratings, comments, the store, synthetic traders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use

if TYPE_CHECKING:
    from tradinghf.feedback._answer_types import (
        Comparison,
        answer_type,
        rankings_from,
        read_answers,
    )
    from tradinghf.feedback._comments import aspects_of, with_tags
    from tradinghf.feedback._fragments import (
        episodes_in_fragments,
        fragment_pairs,
        read_fragments,
        write_fragments,
    )
    from tradinghf.feedback._learned_words import learned_in_words
    from tradinghf.feedback._lexicon import LEXICON
    from tradinghf.feedback._own_trades import OwnTrades, own_trades
    from tradinghf.feedback._quality import (
        FAST_SECONDS,
        RaterQuality,
        rater_agreement,
        rater_quality,
        repeat_consistency,
    )
    from tradinghf.feedback._ratings import Leaderboard, leaderboard
    from tradinghf.feedback._sources import EDITED_SOURCE, OWN_SOURCE
    from tradinghf.feedback._traders import SyntheticTrader, utility
    from tradinghf.feedback._trl import episodes_in_trl, read_trl, trl_rows, write_trl
    from tradinghf.feedback._types import MAX_PANELS, AnswerOutcome, Purpose, Query, Ranking
    from tradinghf.feedback._values import (
        PROFIT,
        USUAL,
        matters,
        unclear_sentence,
        value_sentence,
        worth_axis,
    )


__all__ = [
    "EDITED_SOURCE",
    "FAST_SECONDS",
    "LEXICON",
    "MAX_PANELS",
    "OWN_SOURCE",
    "PROFIT",
    "USUAL",
    "AnswerOutcome",
    "Comparison",
    "Leaderboard",
    "OwnTrades",
    "Purpose",
    "Query",
    "Ranking",
    "RaterQuality",
    "SyntheticTrader",
    "answer_type",
    "aspects_of",
    "episodes_in_fragments",
    "episodes_in_trl",
    "fragment_pairs",
    "leaderboard",
    "learned_in_words",
    "matters",
    "own_trades",
    "rankings_from",
    "rater_agreement",
    "rater_quality",
    "read_answers",
    "read_fragments",
    "read_trl",
    "repeat_consistency",
    "trl_rows",
    "unclear_sentence",
    "utility",
    "value_sentence",
    "with_tags",
    "worth_axis",
    "write_fragments",
    "write_trl",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Comparison": "tradinghf.feedback._answer_types",
        "answer_type": "tradinghf.feedback._answer_types",
        "rankings_from": "tradinghf.feedback._answer_types",
        "read_answers": "tradinghf.feedback._answer_types",
        "aspects_of": "tradinghf.feedback._comments",
        "with_tags": "tradinghf.feedback._comments",
        "episodes_in_fragments": "tradinghf.feedback._fragments",
        "episodes_in_trl": "tradinghf.feedback._trl",
        "fragment_pairs": "tradinghf.feedback._fragments",
        "read_fragments": "tradinghf.feedback._fragments",
        "write_fragments": "tradinghf.feedback._fragments",
        "learned_in_words": "tradinghf.feedback._learned_words",
        "LEXICON": "tradinghf.feedback._lexicon",
        "EDITED_SOURCE": "tradinghf.feedback._sources",
        "OWN_SOURCE": "tradinghf.feedback._sources",
        "OwnTrades": "tradinghf.feedback._own_trades",
        "own_trades": "tradinghf.feedback._own_trades",
        "FAST_SECONDS": "tradinghf.feedback._quality",
        "RaterQuality": "tradinghf.feedback._quality",
        "rater_agreement": "tradinghf.feedback._quality",
        "rater_quality": "tradinghf.feedback._quality",
        "repeat_consistency": "tradinghf.feedback._quality",
        "Leaderboard": "tradinghf.feedback._ratings",
        "leaderboard": "tradinghf.feedback._ratings",
        "SyntheticTrader": "tradinghf.feedback._traders",
        "utility": "tradinghf.feedback._traders",
        "read_trl": "tradinghf.feedback._trl",
        "trl_rows": "tradinghf.feedback._trl",
        "write_trl": "tradinghf.feedback._trl",
        "AnswerOutcome": "tradinghf.feedback._types",
        "MAX_PANELS": "tradinghf.feedback._types",
        "Purpose": "tradinghf.feedback._types",
        "Query": "tradinghf.feedback._types",
        "Ranking": "tradinghf.feedback._types",
        "PROFIT": "tradinghf.feedback._values",
        "USUAL": "tradinghf.feedback._values",
        "matters": "tradinghf.feedback._values",
        "unclear_sentence": "tradinghf.feedback._values",
        "value_sentence": "tradinghf.feedback._values",
        "worth_axis": "tradinghf.feedback._values",
    },
)
