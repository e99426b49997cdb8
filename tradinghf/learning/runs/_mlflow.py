"""Training metrics to MLflow, for teams that already have a tracking server."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tradinghf.errors import MissingExtraError


class MLflowLogger:
    """A `progress` callback of `RLHF` and `run_experiment` that logs rows to one MLflow run.

    Example:
        >>> with MLflowLogger("desk", run="drawdown") as log:             # doctest: +SKIP
        ...     RLHF(env, trader="drawdown", progress=log).train()

    Args:
        experiment: name of the MLflow experiment.
        run: name of the run.
        tracking_uri: where to; by default where MLflow is configured to.
        client: something with MLflow's fluent functions, instead of the package itself.

    Raises:
        MissingExtraError: MLflow is not installed.

    """

    def __init__(
        self,
        experiment: str = "tradinghf",
        *,
        run: str | None = None,
        tracking_uri: str | None = None,
        client: Any = None,
    ) -> None:
        self._mlflow = client if client is not None else _mlflow()
        self._experiment, self._run, self._uri = experiment, run, tracking_uri

    def __enter__(self) -> MLflowLogger:
        if self._uri is not None:
            self._mlflow.set_tracking_uri(self._uri)
        self._mlflow.set_experiment(self._experiment)
        self._mlflow.start_run(run_name=self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mlflow.end_run()

    def __call__(self, phase: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        """Log the row of one iteration; phases without metrics are passed over."""
        if "step" in metrics:
            row = {k: v for k, v in metrics.items() if k != "step" and math.isfinite(v)}
            self._mlflow.log_metrics(row, step=int(metrics["step"]))


def _mlflow() -> Any:
    try:
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise MissingExtraError("mlflow", "mlflow", "Logging to MLflow") from error
