"""A trained policy as an ONNX file, for programs without Python or torch."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tradinghf.durable import write_atomic
from tradinghf.errors import MissingExtraError, check_setting
from tradinghf.learning.policy._networks import ActorCritic
from tradinghf.learning.policy._saved import Policy

_FORMAT = "tradinghf-onnx-1"


class _Mode(nn.Module):
    """[N, D] observations to the deterministic action alone; the critics stay behind."""

    def __init__(self, network: ActorCritic) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: Tensor) -> Tensor:
        head = self.network.head
        return head.to_env(head.mode(self.network.policy_out(observation)))


def export_onnx(policy: Policy, path: Path | str) -> Path:
    """Write the policy's deterministic action as an ONNX graph.

    Input "observation" is float32 [N, D], N free: the observation of `MarketEnv` with
    `policy.config` and `policy.scaler`. Output "action" is int64 [N] indices of a discrete policy,
    or float32 [N, A] in [-1, 1]. The metadata key "tradinghf" holds format, name, config, scaler
    and fingerprint as JSON.

    Returns:
        The path written.

    Raises:
        ConfigError: the policy has a memory.
        MissingExtraError: onnx or onnxscript is not installed.

    """
    check_setting(
        getattr(policy.network, "memory", None) is None,
        "export_onnx: the policy",
        policy.name,
        "one without a memory (network='gru'): its action depends on all that it has seen",
    )
    onnx = _onnx()
    target = Path(path)
    inputs = int(str(policy.network.shape["inputs"]))
    with _quiet():
        program = torch.onnx.export(
            _Mode(policy.network).eval(),
            (torch.zeros(2, inputs),),
            input_names=["observation"],
            output_names=["action"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    about = {
        "format": _FORMAT,
        "name": policy.name,
        "fingerprint": policy.fingerprint,
        "config": dataclasses.asdict(policy.config),
        "scaler": policy.scaler.to_dict(),
    }
    onnx.helper.set_model_props(model, {"tradinghf": json.dumps(about, sort_keys=True)})
    onnx.checker.check_model(model)
    write_atomic(target, model.SerializeToString())
    return target


def _onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it, and says so less clearly)
    except ImportError as error:
        package = str(error.name or "onnx")
        raise MissingExtraError(package, "export", "Writing an ONNX file") from error
    return onnx


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about its own future."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
