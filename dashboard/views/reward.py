"""Reward model: what it thinks traders value, in words and numbers, and how far to believe it."""

import time
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from tradinghf.errors import ConfigError
from tradinghf.feedback import matters, unclear_sentence, worth_axis
from tradinghf.serving import (
    BackgroundJobs,
    RewardRun,
    learned,
    parts,
    reward_runs,
    source_label,
    tables,
    ui,
)

WORKER = Path(__file__).parents[1] / "workers" / "fit_reward.py"
HELPS = {
    "Calls right": "Win, tie or loss of each pair in rankings that the model was not fitted to.",
    "Human ceiling": "How often traders repeat their own judgement when asked again. No model can "
    "agree with them more often.",
    "Macro F1": "Like calls right, with wins, ties and losses weighing the same.",
    "Log-loss": "Mean surprise at the true outcome; 1.10 is guessing among win, tie and loss.",
    "Calibration error": "How far stated probabilities are from what comes true, on average.",
    "In doubt": "How far the model's draws disagree on who wins a pair: 0 % not, 50 % split.",
    "Goes with profit": "Rank correlation of learned reward and profit over the ranked episodes. "
    "Below 0 the model works against profit.",
}

MORE = {
    "f1": ("Macro F1", "{:.2f}"),
    "log_loss": ("Log-loss", "{:.2f}"),
    "ece": ("Calibration error", "{:.0%}"),
}

board, who = ui.open_page(
    "Reward model",
    "What the answers in this store say traders value, and how well that foresees unseen answers.",
)
jobs = BackgroundJobs(board.settings.runs)


def fit_button() -> None:
    """Start a fit, and say what became of the last one."""
    past = jobs.list("reward")
    if past and past[0].status == "running":
        parts.watch_job(jobs, past[0].name, "Reading the answers …")
        return
    if past and past[0].status == "failed":
        st.error("The last fit failed. This is what it said:")
        st.text("\n".join(past[0].output().strip().splitlines()[-1:]))
    answers = learned.AnswerCounts.of(board.store)
    label = f"Fit to all {answers.counting} rankings"
    if who.may("lead") and st.button(label, help=answers.text, disabled=not answers.counting):
        folder = Path(board.settings.runs) / f"reward-{time.strftime('%Y%m%d-%H%M%S')}"
        command = [str(WORKER), board.settings.store_argument, str(folder)]
        try:
            jobs.start("reward", "Fit the reward model", command)
        except ConfigError as error:
            st.warning(str(error))
        st.rerun()


def choose() -> RewardRun:
    """The model to show: by default the newest fit that was judged on answers it had not seen."""
    models, others = reward_runs(board.settings.runs, board.store)
    if not models:
        ui.stop_empty(
            "No model of these answers yet. Rank about twenty queries; then a lead fits one here, "
            "which takes some seconds.",
            "rank",
        )
    # A fit says more than what a training run leaves: each trader's values, the worst answers.
    told = [bool(model.held_out) + (model.newer is not None) for model in models]
    best = told.index(max(told))
    model = st.selectbox("Model", models, index=best, format_func=lambda model: model.title)
    if model.newer:
        st.caption(f"{model.newer} rankings came after this fit; fit again to include them.")
    if others:
        text = "1 model" if others == 1 else f"{others} models"
        st.caption(f"{text} of other answers in the runs folder: not shown.")
    return model


def alarms(model: RewardRun) -> None:
    """What speaks against using the model; what only bounds how to read it is for experts."""
    relation = model.found.get("profit_correlation")
    if relation is not None and relation < 0:
        st.error(
            f"The learned reward runs against profit (rank correlation {relation:+.2f}). Check the "
            "answers on the page Raters and quality before training on it."
        )
    # What was foreseen of unseen answers says more than these cautions of the fit.
    foresees = bool(model.held_out) and not learned.is_luck(model.held_out)
    for warning in model.found.get("warnings", []):
        if not foresees or (experts and "no better than chance" not in warning):
            st.warning(warning)


def percent(held_out: dict, name: str) -> str:
    """A share with its interval, in percent."""
    low, high = held_out.get(f"{name}_interval", (None, None))
    span = "" if low is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{100 * held_out[name]:.0f} %{span}"


def in_short(model: RewardRun) -> None:
    """What was learned, and how well it foresees, for everybody."""
    learned.show_learned(model.run)
    said = learned.foresight(model.held_out) or (
        "How well it foresees unseen answers is not known: none were kept back when it was fitted. "
        "The button above fits one that is judged on answers kept back."
    )
    ceiling = model.found.get("human_ceiling")
    if ceiling is not None:
        said += f" Asked again, traders judged {100 * ceiling:.0f} of 100 pairs as before."
    st.write(said)


def figures(model: RewardRun) -> None:
    """The same in numbers, for experts."""
    found, held_out = model.found, model.held_out
    shown = {}
    if "accuracy" in held_out:
        shown["Calls right"] = percent(held_out, "accuracy")
    ceiling = found.get("human_ceiling")
    shown["Human ceiling"] = "no repeats yet" if ceiling is None else ui.share_in_percent(ceiling)
    if found.get("disagreement") is not None:
        shown["In doubt"] = f"{100 * found['disagreement']:.0f} %"
    relation = found.get("profit_correlation")
    shown["Goes with profit"] = "–" if relation is None else f"{relation:+.2f}"
    shown |= {name: form.format(held_out[key]) for key, (name, form) in MORE.items()
              if key in held_out}  # fmt: skip
    ui.show_metrics(shown, HELPS)
    if held_out:
        st.caption(
            f"Judged by {held_out.get('method', 'answers that its training run kept back')}: "
            f"{held_out.get('held_out_rankings', '?')} rankings, {held_out.get('pairs', '?')} "
            "pairs; 95 % intervals in brackets."
        )


def worth(values: list[dict]) -> go.Figure:
    """What one unit of each aspect is worth, with intervals."""
    clear = [matters(row) for row in values]
    colour = [
        (ui.UP if row["weight"] >= 0 else ui.DOWN) if sure else ui.GREY
        for row, sure in zip(values, clear, strict=True)
    ]
    points = go.Scatter(
        x=[row["weight"] for row in values],
        y=[row.get("says", row["name"].replace("_", " ")) for row in values],
        mode="markers",
        marker={
            "size": 10,
            "color": colour,
            "symbol": ["circle" if row["weight"] >= 0 else "diamond" for row in values],
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [
                None if row["high"] is None else row["high"] - row["weight"] for row in values
            ],
            "arrayminus": [
                None if row["low"] is None else row["weight"] - row["low"] for row in values
            ],
            "color": ui.GREY,
            "thickness": 1.5,
        },
        hovertemplate="%{y}: %{x:.2f} %<extra></extra>",
    )
    figure = go.Figure(points)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(title_text=worth_axis(values))
    figure.add_vline(x=0, line_width=1, line_color=ui.GREY)
    return figure


def valued(model: RewardRun) -> None:
    """What is valued, by all or by one trader, in numbers and in sentences with intervals."""
    traders = model.found.get("traders", {})
    names = [name for name in traders if who.may("lead") or name == who.rater]
    values = model.found.get("values", [])
    if names:
        one = st.segmented_control("Whose answers", ["everybody", *names], default="everybody")
        if one in names:
            values = traders[one]["values"]
            st.caption(
                f"From {traders[one]['rankings']} rankings of {one}. In the model of all, each "
                f"of them counts {traders[one]['trust']:.2f} times as much as an average one."
            )
    left, right = st.columns([3, 2])
    with left:
        st.subheader("What it is worth", anchor=False)
        ui.show_chart(worth(values), height=110 + 30 * len(values))
    with right:
        st.subheader("One by one", anchor=False)
        for row in values:
            if matters(row):
                st.text(f"• {row['sentence']}")
        if unclear := unclear_sentence(values):
            st.caption(unclear)


def calibration(points: list[dict]) -> None:
    """Stated probabilities against what came true."""
    st.subheader("Can its probabilities be believed?", anchor=False)
    marks = go.Scatter(
        x=[100 * p["stated"] for p in points],
        y=[100 * p["observed"] for p in points],
        mode="markers+lines",
        marker={"size": [7 + p["pairs"] ** 0.5 for p in points], "color": ui.UP},
        customdata=[p["pairs"] for p in points],
        hovertemplate="said %{x:.0f} %, true %{y:.0f} % of %{customdata} pairs<extra></extra>",
        name="this model",
    )
    line = {"dash": "dot", "color": ui.GREY}
    perfect = go.Scatter(x=[33, 100], y=[33, 100], mode="lines", line=line, name="perfect")
    figure = go.Figure([perfect, marks])
    figure.update_xaxes(title_text="how sure it said it was [%]")
    figure.update_yaxes(title_text="how often it was right [%]", range=[0, 106])
    ui.show_chart(figure, height=320)


def unexplained(rows: list[dict]) -> None:
    """The answers that the model fits worst; each has an address of its own."""
    own = [row for row in rows if who.may("lead") or row["rater"] == who.rater]
    if not own:
        return
    st.subheader("Answers that the model explains worst", anchor=False)
    st.caption(
        "A slip, or something that no aspect describes. Tick one to look at its episodes; the "
        "address of the page then leads back to it."
    )
    names = board.store.sources()
    chosen = ui.show_table(tables.worst_table(own, names), key="worst", select=True, hide=("key",))
    if chosen is not None:
        st.query_params["answer"] = own[chosen]["key"]
    linked = st.query_params.get("answer", "")
    row = next((row for row in own if row["key"] == linked), None)
    if row is not None:
        one_answer(row, names)


def one_answer(row: dict, names: dict[str, str]) -> None:
    """Links to the episodes of one answer, as ranked, with what the model pays for each."""
    ranked = sorted(zip(row["ranks"], row["episodes"], row["scores"], strict=True))
    for column, (rank, episode, score) in zip(st.columns(len(ranked)), ranked, strict=True):
        with column.container(border=True):
            st.text(f"Ranked {rank}, learned reward {score:+.2f}")
            st.link_button(
                source_label(names.get(episode, "?")),
                f"/episodes?episode={episode}",
                width="stretch",
            )
    if row["rater"] == who.rater and st.button("Correct this answer"):
        st.switch_page("views/rank.py", query_params={"edit": row["key"]})


fit_button()
model = choose()
experts = learned.expert()
in_short(model)
alarms(model)
if experts:
    figures(model)
    valued(model)
    if model.found.get("calibration"):
        calibration(model.found["calibration"])
unexplained(model.found.get("worst", []))
