"""The ONNX file acts as the policy does."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tradinghf.cli import main
from tradinghf.config import EnvConfig
from tradinghf.errors import MissingExtraError
from tradinghf.learning.policy import ActorCritic, Policy, export_onnx
from tradinghf.market import FeatureScaler, synthetic
from tradinghf.simulation import MarketEnv


def policy(
    actions: int,
    discrete: bool,
    shared: bool = False,
    head: str = "gaussian",
    attends: bool = False,
) -> Policy:
    torch.manual_seed(actions)
    env = MarketEnv(synthetic(bars=200, assets=1), num_envs=1, config=EnvConfig(horizon=16))
    observer = env.dynamics.observer
    window = (observer.lookback, observer.width) if attends else None
    network = ActorCritic(env.obs_dim, actions, 2, (16, 8), discrete, shared, head, window)
    with torch.no_grad():
        for parameter in network.actor.parameters():
            parameter.mul_(20)
    return Policy(network, EnvConfig(horizon=16), env.scaler, "exported")


@pytest.mark.extra("onnxruntime", "onnxscript")
@pytest.mark.parametrize(
    ("actions", "discrete", "head", "attends"),
    [
        (3, True, "gaussian", False),
        (1, False, "gaussian", False),
        (4, False, "gaussian", False),
        (3, True, "gaussian", True),
        (2, False, "beta", False),
        (1, False, "beta", True),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_onnxruntime_takes_the_same_actions(
    actions: int, discrete: bool, head: str, attends: bool, shared: bool, tmp_path: Path
) -> None:
    runtime = importlib.import_module("onnxruntime")
    own = policy(actions, discrete, shared, head, attends)
    path = export_onnx(own, tmp_path / "out" / "policy.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows in (1, 2, 257):
        obs = torch.randn(rows, own.network.shape["inputs"], generator=torch.Generator())
        found = session.run(["action"], {"observation": obs.numpy()})[0]
        wanted = own.act(obs).numpy()
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    if discrete:
        assert len(set(wanted.tolist())) > 1, "the comparison can fail"
    about = json.loads(session.get_modelmeta().custom_metadata_map["tradinghf"])
    assert about["fingerprint"] == own.fingerprint
    assert FeatureScaler.from_dict(about["scaler"]).to_dict() == own.scaler.to_dict()
    assert about["config"]["horizon"] == 16


def test_export_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    policy(3, True).save(tmp_path / "policy.safetensors")
    assert main(["export", str(tmp_path)]) == 0
    assert (tmp_path / "policy.onnx").is_file()
    assert "policy.onnx" in capsys.readouterr().out
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "x.txt")]) == 2
    assert ".onnx" in capsys.readouterr().err
    assert main(["export", "sma_cross"]) == 2
    assert "policy" in capsys.readouterr().err


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"tradinghf\[export\]"):
        export_onnx(policy(3, True), tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()
