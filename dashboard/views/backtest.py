"""Backtest: pick a strategy or policy, bars and costs; see what came of it."""

import json
import secrets
import shutil
import time
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.serving import BackgroundJobs, RunFolder, Uploads, list_runs, source_label, ui
from tradinghf.strategies import Parameter, load_strategy, strategy_names

WORKER = Path(__file__).parents[1] / "workers" / "backtest.py"
RESULT = "backtest.json"
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
    "Every backtest is counted: the more one tries, the more luck looks like skill, and the tear "
    "sheet's deflated Sharpe ratio takes that into account.",
    role="lead",
)
runs = Path(board.settings.runs)
jobs = BackgroundJobs(runs)
uploads = Uploads(runs)


@st.fragment(run_every=0.7)
def wait() -> None:
    """A running backtest; the page starts over when it has ended."""
    if jobs.list("backtest")[0].status == "running":
        st.info("Trading … this takes about ten seconds.")
    else:
        st.rerun()


def choose() -> None:
    """The form; starts a job."""
    policies = sorted(runs.glob("*/policy.safetensors"))
    names = [*strategy_names(), *(f"policy: {path.parent.name}" for path in policies)]
    left, right = st.columns(2)
    first = names.index("sma_cross") if "sma_cross" in names else 0
    name = left.selectbox("Strategy or policy", names, index=first, format_func=source_label)
    offered = uploads.offered()
    data = right.selectbox(
        "Data",
        offered,
        index=offered.index("sp500") if "sp500" in offered else 0,
        accept_new_options=True,
        help="Or a source with options, such as synthetic:seed=3,regime=jumps",
    )
    policy = policies[names.index(name) - len(strategy_names())] if ": " in name else None
    with st.form("backtest", border=False):
        params = {}
        if policy is None:
            rule = load_strategy(name)
            st.caption(rule.doc)
            for column, item in zip(
                st.columns(max(len(rule.parameters), LEAST_COLUMNS)), rule.parameters, strict=False
            ):
                params[item.name] = setting(column, item, f"{name}.{item.name}")
        cells = st.columns(6)
        start = cells[0].text_input("From", placeholder="first bar")
        end = cells[1].text_input("To", placeholder="last bar")
        fee = cells[2].number_input("Fee, bps", 0.0, 500.0, 1.0, 0.5)
        slippage = cells[3].number_input("Slippage, bps", 0.0, 500.0, 1.0, 0.5)
        fill = cells[4].selectbox("Fill at", list(FILLS), format_func=lambda name: FILLS[name])
        engine = cells[5].selectbox("Engine", ["simulator", "vectorbt"])
        if st.form_submit_button("Run backtest"):
            request = {
                "strategy": name,
                "policy": str(policy) if policy else "",
                "params": params,
                "data": uploads.spec(data),
                "start": start.strip() or None,
                "end": end.strip() or None,
                "costs": {"fee_bps": fee, "slippage_bps": slippage},
                "fill": fill,
                "engine": engine,
                "store": board.settings.store_argument,
            }
            begin(request)


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
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(request))
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
    what = f"{source_label(request['strategy'])} on {request.get('data', 'unknown data')}"
    return f"{what} · {run.name.removeprefix('backtest-')}"


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
    ui.show_metrics(figures | {"Trials on this market": f"{found['trials']}"})
    curves = ui.thinned(pd.read_parquet(run.folder / "curves.parquet"))
    figure = make_subplots(3, 1, shared_xaxes=True, row_heights=[3, 1, 1], vertical_spacing=0.04)
    lines = [
        (1, "equity", 1, source_label(request["strategy"]), ui.UP),
        (1, "held", 1, "buy & hold", "#7C8896"),
        (2, "drawdown", -100, "drawdown %", ui.DOWN),
        (3, "position", 100, "position %", ui.UP),
    ]
    for row, column, scale, shown, colour in lines:
        line = go.Scatter(
            x=curves.index,
            y=curves[column] * scale,
            name=shown,
            mode="lines",
            line={"color": colour, "width": 1.5},
            showlegend=row == 1,
        )
        figure.add_trace(line, row, 1)
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


try:
    choose()
except (ConfigError, MarketDataError, ValueError) as error:
    st.error(str(error))
past = jobs.list("backtest")
if past and past[0].status == "running":
    wait()
elif past and past[0].status == "failed":
    st.error("The last backtest failed. This is what it said:")
    st.code(past[0].output()[-1500:], language=None)
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
