"""Report sections about people: what raters prefer, and what the reward model learned from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tradinghf.evaluation._charts import interval_chart
from tradinghf.evaluation._page import number, section, spaced, table
from tradinghf.feedback import PROFIT, learned_in_words, matters, unclear_sentence, worth_axis

_CAPTION = (
    "{}, with its 95 % interval; aspects that more likely than not do not matter are not drawn. "
    "Faint: the interval contains zero."
)
_SCORES = {
    "accuracy": "right in this share of pairs (win, tie or loss)",
    "precision": "of the pairs it calls, the share that is right (mean over classes)",
    "recall": "of the pairs of a kind, the share that it finds (mean over classes)",
    "f1": "harmonic mean of precision and recall (mean over classes)",
    "log_loss": "surprise at the answers, in nats; lower is better",
    "brier": "squared error of the probabilities; lower is better",
    "ece": "gap between confidence and accuracy; lower is better",
}


def preference_section(standing: Mapping[str, Any]) -> str:
    """How raters placed this strategy in blind comparisons.

    Args:
        standing: as in a leaderboard: wins, losses, ties, place, best_place, worst_place,
            too_close, rating, low, high, elo.

    """
    wins, losses, ties = (int(standing[name]) for name in ("wins", "losses", "ties"))
    met = wins + losses + ties
    title = "What raters think of it"
    if not met:
        return section(title, note="No rater has compared it with anything yet.")
    place = f"Place {standing['place']}"
    if standing["best_place"] != standing["worst_place"]:
        place += f" (anything from {standing['best_place']} to {standing['worst_place']} is likely)"
    if standing.get("too_close"):
        place += ", too close to call against its neighbour"
    rating, low, high, elo = (
        number(float(standing[k]), 0) for k in ("rating", "low", "high", "elo")
    )
    words = (
        f"Preferred in {wins:,} of {met:,} blind comparisons, tied in {ties:,}, not preferred in "
        f"{losses:,}: {100 * (wins + ties / 2) / met:.0f} % with ties as halves. {place}."
    )
    note = (
        f"Rating on the Elo scale: {rating} (95 % interval {low} to {high}); Elo itself: {elo}. "
        "Raters did not see its name."
    )
    return section(title, f"<p>{escape(words)}</p>", note=note)


def values_section(values: Sequence[Mapping[str, Any]], became: str = "") -> str:
    """What was learned, and what the policy became, in a paragraph; below it, for those who ask,
    sentences, and weights with intervals.
    """
    title = "What the reward model learned from the rankings"
    if not values:
        return section(title, note=learned_in_words((), became))
    clear = [v for v in values if matters(v)]
    drawn = [
        (spaced(v["name"]), float(v["weight"]), float(v["low"]), float(v["high"]))
        for v in clear
        if v["name"] != v.get("yardstick", PROFIT)
    ]
    chart = ""
    if drawn:
        chart = interval_chart(
            drawn, label="Learned weights with intervals", show=lambda x: number(x, 2)
        )
    said = [str(v["sentence"]) for v in clear]
    if rest := unclear_sentence(values):
        said.append(rest)
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
    note = f'<p class="note">{_CAPTION.format(worth_axis(values))}</p>' if chart else ""
    return section(
        title,
        f"<p>{escape(learned_in_words(values, became))}</p>",
        for_experts(f"<ul>{sentences}</ul>{chart}{note}"),
    )


def for_experts(html: str) -> str:
    """What opens on a click."""
    return f"<details><summary>For experts</summary>{html}</details>"


def held_out_section(held_out: Mapping[str, Any]) -> str:
    """Scores of the reward model on rankings that it was not fitted to."""
    rows = []
    for name, meaning in _SCORES.items():
        if held_out.get(name) is None:
            continue
        interval = held_out.get(f"{name}_interval") or ()
        spread = " to ".join(number(float(end), 3) for end in interval)
        rows.append([spaced(name), number(float(held_out[name]), 3), spread, meaning])
    title = "How well it predicts rankings it has not seen"
    if not rows:
        return section(title, note="No rankings were held out.")
    note = ""
    if "pairs" in held_out:
        rankings = held_out.get("held_out_rankings", "the held-out")
        note = f"{held_out['pairs']:,} pairs of {rankings} rankings; chance is 1/2 without ties. "
    html = table(["", "score", "95 % interval", "meaning"], rows, text_columns=(0, 3))
    html = html.replace('<td class="text">', '<td class="wrap">')
    note += "Intervals take whole rankings for independent cases."
    shown = for_experts(f'{html}<p class="note">{escape(note)}</p>')
    return section(title, f"<p>{escape(_in_short(held_out))}</p>", shown)


def _in_short(held_out: Mapping[str, Any]) -> str:
    """How many pairs it calls right, in a sentence."""
    if held_out.get("accuracy") is None:
        return "Scores for experts below."
    said = (
        f"It calls {100 * float(held_out['accuracy']):.0f} of 100 unseen pairs as the traders did"
    )
    interval = held_out.get("accuracy_interval")
    if not interval:
        return f"{said}; a coin calls 50."
    low, high = (100 * float(end) for end in interval)
    end = "a coin calls 50." if low > 50 else "that may still be luck."
    return f"{said} (95 % sure: {low:.0f} to {high:.0f}); {end}"
