"""Backtest: pick a strategy or policy, bars and costs; see what came of it."""

import json
import secrets
import shutil
import time
from datetime import date
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from tradinghf.durable import write_atomic
from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.market import market_name
from tradinghf.serving import (
    BackgroundJobs,
    RunFolder,
    Uploads,
    learned,
    list_runs,
    parts,
    source_label,
    ui,
)
from tradinghf.strategies import Parameter, load_strategy, strategy_names

WORKER = Path(__file__).parents[1] / "workers" / "backtest.py"
GATE = WORKER.with_name("gate.py")
RESULT, POLICY_FILE = "backtest.json", "policy.safetensors"
POLICY = "policy:"
DAYS = (date(1900, 1, 1), date(2100, 12, 31))
PERIODS = ("trained on", "the policy was chosen on")
FILLS = {"next_open": "the next open", "close": "this close"}
YES_NO = {"False": "no", "True": "yes"}
LEAST_COLUMNS = 4
SHOWN = {
    "total_return_pct": ("Total return", "{:+.1f} %"),
    "sharpe_annual": ("Sharpe, annual", "{:.2f}"),
    "max_drawdown_pct": ("Max drawdown", "{:.1f} %"),
    "turnover_per_year": ("Turnover per year", "{:.1f} ×"),
    "costs_pct_of_start": ("Costs", "{:.2f} %"),
}

board, who = ui.open_page(
    "Backtest",
    "By default on bars that the policy has not seen. Every backtest is counted: the more one "
    "tries, the more luck looks like skill, and the verdict takes that into account.",
    role="lead",
)
runs = Path(board.settings.runs)
jobs = BackgroundJobs(runs)
uploads = Uploads(runs)


@ui.live_part(0.7, "lead")
def wait() -> None:
    """A running backtest; the page starts over when it has ended."""
    if jobs.list("backtest")[0].status == "running":
        st.info("Trading … this takes about ten seconds.")
    else:
        st.rerun()


def choose() -> None:
    """The form; starts a job."""
    policies = [run.name for run in list_runs(runs, POLICY_FILE)]
    names = [*(f"{POLICY}{name}" for name in policies), *strategy_names()]
    left, right = st.columns(2)
    first = 0 if policies else names.index("sma_cross")
    name = left.selectbox("Strategy or policy", names, index=first, format_func=source_label)
    run = name.removeprefix(POLICY) if name.startswith(POLICY) else ""
    data = right_data(right, run)
    cuts = uploads.unseen_from(data) if data else []
    with st.form("backtest", border=False):
        params = {}
        if not run:
            rule = load_strategy(name)
            st.caption(rule.doc)
            for column, item in zip(
                st.columns(max(len(rule.parameters), LEAST_COLUMNS)), rule.parameters, strict=False
            ):
                params[item.name] = setting(column, item, f"{name}.{item.name}")
        cells = ui.flow("settings", 140)
        unseen = pd.Timestamp(cuts[-1]).date() if cuts and run else None
        start = cells.date_input("From", unseen, *DAYS, key=f"from {name} {data}")
        end = cells.date_input("To", None, *DAYS, key=f"to {name} {data}")
        fee = cells.number_input("Fee, bps", 0.0, 500.0, 1.0, 0.5)
        slippage = cells.number_input("Slippage, bps", 0.0, 500.0, 1.0, 0.5)
        fill = cells.selectbox("Fill at", list(FILLS), format_func=lambda name: FILLS[name])
        engine = cells.selectbox("Engine", ["simulator", "vectorbt"])
        if st.form_submit_button("Run backtest", type="primary", disabled=not data):
            beside = parts.rivals(board, strategy_names(), policies=False)[0]
            request = {
                "strategy": name,
                "policy": str(runs / run / POLICY_FILE) if run else "",
                "params": params,
                "data": uploads.spec(data),
                "start": str(start) if start else None,
                "end": str(end) if end else None,
                "costs": {"fee_bps": fee, "slippage_bps": slippage},
                "fill": fill,
                "engine": engine,
                "store": board.settings.store_argument,
                "beside": "" if beside in (name, "buy_and_hold") else beside,
                "cuts": cuts if run and data == RunFolder(runs / run).data else [],
            }
            begin(request)


def right_data(place, run: str) -> str:
    """Which bars: by default those that the policy was trained on."""
    first = RunFolder(runs / run).data if run else ""
    if run and st.session_state.get("test of") != run:
        st.session_state["test of"] = run
        st.session_state.pop("test data", None)
    return parts.data_field(place, uploads, first=first or "sp500", key="test data")


def setting(column, item: Parameter, key: str) -> str:
    """A field for one parameter of a strategy; its text."""
    if isinstance(item.default, bool):
        words = ("False", "True")
        return column.selectbox(
            item.name, words, int(item.default), lambda word: YES_NO[word], help=item.doc, key=key
        )
    return column.text_input(item.name, str(item.default), help=item.doc, key=key)


def begin(request: dict) -> None:
    """Check what can be checked at once, then start the job."""
    if not request["policy"]:
        rule = load_strategy(request["strategy"])
        request["params"] = {p.name: p.parse(request["params"][p.name]) for p in rule.parameters}
    folder = runs / f"backtest-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    write_atomic(folder / "request.json", json.dumps(request).encode())
    command = [str(WORKER), str(folder / "request.json"), str(folder)]
    try:
        jobs.start("backtest", f"{request['strategy']} on {request['data']}", command)
    except ConfigError:
        shutil.rmtree(folder)  # another backtest runs: nothing will come of this request
        raise
    st.rerun()


def first_sealed_day(data_set: str) -> str:
    """First sealed day of a version of some bars; empty where none is."""
    return min((seal.name for seal in board.store.trial_log(data_set, "seal")), default="")


def title(run: RunFolder) -> str:
    """What was tested on what, and when."""
    request = run.document(RESULT)["request"]
    data = market_name(Path(request.get("data", "unknown data")))
    return f"{source_label(request['strategy'])} on {data} · {run.name.removeprefix('backtest-')}"


def show(run: RunFolder) -> None:
    """Figures and curves of a finished backtest."""
    found = run.document(RESULT)
    metrics, request = found["metrics"], found["request"]
    figures = {
        label: form.format(metrics[name])
        for name, (label, form) in SHOWN.items()
        if metrics.get(name) is not None
    }
    sealed = first_sealed_day(found.get("data_set", ""))
    if sealed and str(metrics.get("end")) >= sealed:
        st.warning(f"This backtest reaches into bars that were sealed since, from {sealed} on.")
        return
    for note in found.get("notes", ()):
        st.text(note)
    if verdict := found.get("verdict"):
        told = st.success if verdict["passed"] else st.info
        told(f"**{verdict['label']}.** {verdict['headline']}")
        with st.expander("Why"):
            for reason in verdict["reasons"]:
                st.text(f"• {reason}")
    if request.get("policy"):
        learned.show_learned(RunFolder(Path(request["policy"]).parent))
    ui.show_metrics(figures | {"Trials on this market": f"{found['trials']}"})
    curves = ui.thinned(pd.read_parquet(run.folder / "curves.parquet"))
    figure = make_subplots(3, 1, shared_xaxes=True, row_heights=[3, 1, 1], vertical_spacing=0.04)
    lines = [
        (1, "equity", 1, source_label(request["strategy"]), ui.UP),
        (1, "held", 1, "buy & hold", ui.GREY),
        (1, "beside", 1, source_label(request.get("beside", "")), ui.DOWN),
        (2, "drawdown", -100, "drawdown %", ui.UP),
        (3, "position", 100, "position %", ui.UP),
    ]
    for row, column, scale, shown, colour in lines:
        if column not in curves:
            continue
        line = go.Scatter(
            x=curves.index,
            y=curves[column] * scale,
            name=shown,
            mode="lines",
            line={"color": colour, "width": 1.5},
            showlegend=row == 1,
        )
        figure.add_trace(line, row, 1)
    shade(figure, curves, request.get("cuts", []))
    for row, title in enumerate(("equity", "drawdown %", "position %"), start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(rangemode="tozero", row=3, col=1)
    ui.show_chart(figure, height=520)
    left, right = st.columns([1, 4])
    report = run.folder / "report.html"
    left.download_button("Tear sheet (HTML)", report.read_bytes(), f"{run.name}.html", "text/html")
    with right.expander("All metrics"):
        rows = [
            (name, None if v is None else f"{v:.6g}")
            for name, v in metrics.items()
            if isinstance(v, int | float | None)
        ]
        ui.show_table(pd.DataFrame(rows, columns=["metric", "value"]))


def shade(figure: go.Figure, curves: pd.DataFrame, cuts: list[str]) -> None:
    """Name the bars that the policy has seen, and say that they prove nothing."""
    if not cuts:
        return
    ends = [pd.Timestamp(day, tz=curves.index.tz) for day in cuts]
    if curves.index[0] >= ends[-1]:
        st.caption("None of these bars were seen in training, nor in choosing the policy.")
        return
    seen = float((curves.index < ends[-1]).mean())
    st.warning(f"{seen:.0%} of these bars were seen in training: there, figures are no evidence.")
    begin = curves.index[0]
    for end, text in zip(ends, PERIODS, strict=True):
        if begin < end:
            figure.add_vrect(
                begin, min(end, curves.index[-1]), fillcolor=ui.GREY, opacity=0.18, line_width=0,
                annotation_text=text, annotation_position="top left", row=1, col=1,
            )  # fmt: skip
        begin = max(begin, end)


def deploy() -> None:
    """What the gate says about a run's policy, and the question to it."""
    policies = list_runs(runs, POLICY_FILE)
    if not policies:
        return
    st.subheader("Deploy", anchor=False)
    st.caption(
        "A policy may trade only if the gate finds, on bars that nothing has seen, that it does no "
        "harm: no lower profit, and nothing that you value less."
    )
    job = next(iter(jobs.list("gate")), None)
    if job is not None and job.status == "running":
        parts.watch_job(jobs, job.name, "Trading both on unseen bars …")
        return
    cells = st.columns([2, 2, 1], vertical_alignment="bottom")
    run = cells[0].selectbox("Policy", policies, format_func=lambda run: run.name)
    baseline = cells[1].selectbox(
        "What trades now",
        parts.rivals(board, strategy_names(), policies=False),
        format_func=source_label,
    )
    if cells[2].button("Ask the gate", type="primary", width="stretch"):
        words = [str(GATE), "--candidate", str(run.folder), "--baseline", baseline]
        jobs.start("gate", f"{run.name} for {source_label(baseline)}",
                   [*words, "--store", board.settings.store_argument])  # fmt: skip
        board.accounts.note(who.rater, "gate", f"{run.name} for {baseline}")
        st.rerun()
    if job is not None and job.status == "failed":
        parts.tell_job(job)
    decision = run.document("deployment.json")
    if decision:
        passed = decision.get("answer") == "deploy"
        trades = run.name if passed else source_label(str(decision.get("baseline", "?")))
        said = learned.plain_names(str(decision.get("text", "")))
        (st.success if passed else st.info)(f"**To trade: {trades}.** {said}")
        st.caption(f"In a terminal beside the runs: `tradinghf signal runs/{run.name}`")


try:
    choose()
except (ConfigError, MarketDataError, ValueError) as error:
    st.error(str(error))
past = jobs.list("backtest")
if past and past[0].status == "running":
    wait()
elif past and past[0].status == "failed":
    st.error("The last backtest failed. This is what it said:")
    st.code(past[0].said(1500), language=None)
done = list_runs(runs, RESULT)
if done:
    chosen = st.selectbox(
        "Result",
        done,
        format_func=title,
    )
    show(chosen)
elif not past:
    st.info("No backtest yet. Choose above and press Run backtest; it takes about ten seconds.")
deploy()
