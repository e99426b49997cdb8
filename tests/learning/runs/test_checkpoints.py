"""Bugs that the drills found, each as the smallest case that shows it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from drills.training import ITERATIONS, result_of, tiny_loop

from tradinghf.episodes import Episode
from tradinghf.errors import CheckpointError, EpisodeError
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.runs import RunDirectory
from tradinghf.loop import RLHF
from tradinghf.serving import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class KilledError(Exception):
    pass


def weights(loop: RLHF) -> torch.Tensor:
    assert loop.agent.network is not None
    return torch.cat([p.flatten() for p in loop.agent.network.parameters()])


def stop_at(phase: str, number: int):
    """Progress that stops the loop as a kill would, at the n-th report of a phase."""
    left = [number]

    def report(now: str, *_rest: object) -> None:
        left[0] -= now == phase
        if left[0] < 0:
            raise KilledError

    return report


@pytest.mark.parametrize(("phase", "number"), [("collect", 1), ("rank", 4), ("rank", 1)])
def test_a_loop_killed_while_it_asks_continues_bit_identically(
    tmp_path: Path, phase: str, number: int
) -> None:
    """The next questions depend on what had been learned, also after a kill."""
    whole = tiny_loop(tmp_path / "whole").train()
    cut = tiny_loop(tmp_path / "cut")
    cut.progress = stop_at(phase, number)
    with pytest.raises(KilledError):
        cut.train()
    again = tiny_loop(tmp_path / "cut")
    again.resume()
    again.train()
    assert torch.equal(weights(again), weights(whole))
    assert [r.query for r in again.rankings] == [r.query for r in whole.rankings]
    rows = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == ITERATIONS  # none is left from before the kill


@pytest.mark.parametrize("number", [2, 7, 11])
def test_a_killed_loop_keeps_every_candidate(tmp_path: Path, number: int) -> None:
    """The candidate of an iteration was missing from the checkpoint of the same iteration."""
    whole = tiny_loop(tmp_path / "whole").train()
    cut = tiny_loop(tmp_path / "cut")
    cut.progress = stop_at("train", number)
    with pytest.raises(KilledError):
        cut.train()
    again = tiny_loop(tmp_path / "cut")
    assert again.resume()
    again.train()
    assert result_of(again) == result_of(whole)


def test_a_training_on_peoples_answers_resumes_with_those_it_had(tmp_path: Path) -> None:
    """`tradinghf train --resume` found no answers, and failed."""
    asked = tiny_loop(tmp_path / "asked")
    asked.ask(6, 0)

    def people(out: Path) -> RLHF:
        template = tiny_loop(tmp_path / "asked")
        return RLHF(
            template.env,
            RewardModel(RewardConfig(learned=0.0)),
            store=Store(tmp_path / "asked" / "store"),
            config=dataclasses.replace(template.config, rounds=1),
            out=out,
        )

    whole = people(tmp_path / "whole").train()
    cut = people(tmp_path / "cut")
    cut.progress = stop_at("train", 3)
    with pytest.raises(KilledError):
        cut.train()
    again = people(tmp_path / "cut")
    assert again.resume()
    again.train()
    assert torch.equal(weights(again), weights(whole))
    # Without its store it says so.
    other = people(tmp_path / "cut")
    other.store = None
    with pytest.raises(CheckpointError, match="not in its store"):
        other.resume()


def test_a_new_run_in_an_old_directory_keeps_its_own_checkpoints(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (50, 60):
        run.save(step, {"old": step})
    run.log({"step": 60})
    run.start_over()
    run.save(1, {"new": 1})
    assert run.latest() == (1, {"new": 1})
    assert not (tmp_path / "metrics.jsonl").exists()
    assert len(list((tmp_path / "earlier" / "run-0").iterdir())) == 3


def test_nothing_reads_or_trims_a_run_that_another_process_writes(tmp_path: Path) -> None:
    loop = tiny_loop(tmp_path)
    with RunDirectory(tmp_path).lock(), pytest.raises(CheckpointError, match="Another process"):
        loop.resume()


@pytest.mark.parametrize("manifest", ["[]", "7", "null", "[" * 20_000])
def test_any_json_can_be_a_damaged_manifest(tmp_path: Path, manifest: str) -> None:
    run = RunDirectory(tmp_path)
    for step in (1, 2):
        run.save(step, {"x": step})
    (run.checkpoints / "00000002" / "manifest.json").write_text(manifest)
    assert run.latest() == (1, {"x": 1})


def test_a_checkpoint_of_another_task_is_named(tmp_path: Path) -> None:
    RunDirectory(tmp_path).save(3, {"something": "else"})
    with pytest.raises(CheckpointError, match="another task or version"):
        tiny_loop(tmp_path).resume()


def test_deep_json_is_refused_not_crashed_on(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    with pytest.raises(EpisodeError):
        Episode.from_bytes(len(deep).to_bytes(8, "little") + deep)
    (tmp_path / "reward.json").write_bytes(deep)
    assert RunFolder(tmp_path).document("reward.json") == {}


def test_a_policy_file_cannot_ask_for_memory(tmp_path: Path) -> None:
    """A header of a few bytes asked for terabytes before its weights were looked at."""
    path = tmp_path / "policy.safetensors"
    loop = tiny_loop(tmp_path / "run")
    loop.policy.save(path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["policy"])
    for hidden in ([2**20, 2**20], [16] * 5000, [-1]):
        about["network"]["hidden"] = hidden
        header["__metadata__"]["policy"] = json.dumps(about)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
        with pytest.raises(CheckpointError, match="not a usable policy"):
            Policy.load(path)
    network = ActorCritic(4, 3, 1, (8,), True)
    next(network.parameters()).data[0] = torch.nan
    with contextlib.suppress(OSError):
        Policy(network, loop.env.config, loop.env.scaler).save(path)
    with pytest.raises(CheckpointError, match="not finite"):
        Policy.load(path)
