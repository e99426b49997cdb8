"""Preferences from elsewhere, written as their libraries write them, read and fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tradinghf.errors import FeedbackError
from tradinghf.learning.tasks import NetworkReward, Preferences, TaskReward
from tradinghf.learning.tasks._loop import agreement

COUNT, STEPS, OBS, ACTS = 60, 7, 3, 1
GENERATOR = np.random.default_rng(0)
OBSERVED = GENERATOR.normal(size=(2, COUNT, STEPS, OBS))
ACTED = GENERATOR.normal(size=(2, COUNT, STEPS, ACTS))
WORTH = (OBSERVED[..., 0] - ACTED[..., 0]).sum(-1)
SECOND = (WORTH[1] > WORTH[0]).astype(np.int64)  # 1: the second is preferred
BOTH = np.concatenate([OBSERVED, ACTED], -1)


def preference_transformer(path: Path) -> None:
    """Preference Transformer and Uni-RLHF: observations and actions apart, labels one-hot."""
    np.savez(
        path,
        observations=OBSERVED[0],
        actions=ACTED[0],
        observations_2=OBSERVED[1],
        actions_2=ACTED[1],
        labels=np.eye(2)[SECOND],
        start_indices=np.arange(COUNT),
    )


def b_pref(path: Path) -> None:
    """B-Pref's buffers: state and action in one, labels [Q, 1]."""
    np.savez(path, buffer_seg1=BOTH[0], buffer_seg2=BOTH[1], buffer_label=SECOND[:, None])


def imitation(path: Path) -> None:
    """imitation's fragments as plain arrays: one observation more than actions."""
    obs = np.concatenate([OBSERVED, np.zeros((2, COUNT, 1, OBS))], 2).reshape(-1, STEPS + 1, OBS)
    pairs = np.stack([np.arange(COUNT), COUNT + np.arange(COUNT)], 1)
    acts = ACTED.reshape(-1, STEPS, ACTS)
    likes = (1 - SECOND).astype(np.float32)
    np.savez(path, obs=obs, acts=acts, pairs=pairs, preferences=likes)


LOG = {"observations": OBSERVED.reshape(-1, OBS), "actions": ACTED.reshape(-1, ACTS)}
STARTS = STEPS * np.arange(2 * COUNT).reshape(2, COUNT)


def human_indices(path: Path) -> None:
    """Preference Transformer's human labels: where fragments begin in D4RL's log of steps."""
    columns = {"start_indices": STARTS[0], "start_indices_2": STARTS[1], "labels": SECOND}
    np.savez(path, **columns)


def uni_rlhf_label(path: Path) -> None:
    """label.csv of Uni-RLHF's export: fields of a query, of its video and of its label."""
    names = "start_indices_1,end_indices_1,start_indices_2,end_indices_2"
    head = f"id,query_id,project_id,save_time,{names},label,annotator_id,annotator_name\n"
    rows = [
        f"{i},q{i},p1,2024-01-01,{a},{a + STEPS},{b},{b + STEPS},{label},7,ann\n"
        for i, (a, b, label) in enumerate(zip(*STARTS, SECOND, strict=True))
    ]
    path.write_text(head + "".join(rows))


def in_order() -> list[tuple[Any, Any]]:
    """(winner, loser) of each pair."""
    return [(BOTH[s, i], BOTH[1 - s, i]) for i, s in enumerate(SECOND)]


def dpo(path: Path) -> None:
    """trl's rows with arrays in the place of text."""
    rows = [
        {"prompt": "", "chosen": np.round(w, 4).tolist(), "rejected": np.round(x, 4).tolist()}
        for w, x in in_order()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_json(path: Path) -> None:
    """The columns of Uni-RLHF as one JSON object."""
    columns = {"obs_1": BOTH[0].tolist(), "obs_2": BOTH[1].tolist(), "label": SECOND.tolist()}
    path.write_text(json.dumps(columns))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("pt.npz", preference_transformer),
        ("bpref.npz", b_pref),
        ("imitation.npz", imitation),
        ("dpo.jsonl", dpo),
        ("columns.json", as_json),
        ("indices.npz", human_indices),
        ("label.csv", uni_rlhf_label),
    ],
)
def test_files_of_other_libraries_are_read_and_fitted(
    tmp_path: Path, name: str, write: Any
) -> None:
    write(tmp_path / name)
    np.savez(tmp_path / "log.npz", **LOG)
    given = Preferences.load(tmp_path / name, segments=tmp_path / "log.npz", steps=STEPS)
    assert given.inputs == OBS + ACTS
    assert given.fragments.features.shape == (COUNT, 2, STEPS, OBS + ACTS)
    won = given.fragments.features[torch.arange(COUNT), (given.ranks[:, 1] == 1).long()]
    right = torch.from_numpy(np.stack([w for w, _ in in_order()])).float()
    torch.testing.assert_close(won, right, atol=1e-3, rtol=0)
    reward = TaskReward(given.inputs).fit(given.fragments, given.ranks, given.steps)
    assert agreement(reward.scores(given.fragments).mean(0), given.ranks) > 0.95


def test_a_file_of_preferences_that_imitation_collected() -> None:
    """Its rollouts, fragments and answers, by scripts/interop/imitation_preferences.py."""
    given = Preferences.load(Path(__file__).with_name("imitation.npz"))
    assert given.inputs == 3 + 1, "Pendulum's observation and torque"
    assert given.fragments.features.shape == (60, 2, 10, 4)
    with np.load(Path(__file__).with_name("imitation.npz")) as arrays:
        returns = arrays["rews"].sum(-1)[arrays["pairs"]]
    assert ((given.ranks[:, 0] == 1).numpy() == (returns[:, 0] > returns[:, 1])).all()
    learned = slice(0, 40), slice(40, 60)
    fitted, fresh = (given.fragments[rows, :] for rows in learned)  # type: ignore[index]
    for reward in (TaskReward(4), NetworkReward(per_step(), 4)):
        reward.fit(fitted, given.ranks[learned[0]], given.steps)
        assert agreement(reward.scores(fresh).mean(0), given.ranks[learned[1]]) >= 0.85


def per_step() -> nn.Module:
    """A reward of each step."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))


def test_a_network_learns_from_winners_by_name_and_of_any_length(tmp_path: Path) -> None:
    lengths = [4 + i % 3 for i in range(COUNT)]
    pairs = [(w[:n], x[: n - 1]) for (w, x), n in zip(in_order(), lengths, strict=True)]
    parts = {f"{side}{i}": pair[k] for i, pair in enumerate(pairs) for k, side in enumerate("wl")}
    np.savez(tmp_path / "parts.npz", **parts)
    rows = "".join(f"w{i},l{i},ann\n" for i in range(COUNT))
    (tmp_path / "said.csv").write_text("better_id,worse_id,who\n" + rows)
    columns = {"winner": "better_id", "loser": "worse_id"}
    given = Preferences.load(
        tmp_path / "said.csv", columns=columns, segments=tmp_path / "parts.npz"
    )
    assert given.fragments.lengths[:3].tolist() == [[4, 3], [5, 4], [6, 5]]
    network = NetworkReward(nn.Linear(OBS + ACTS, 1), given.inputs)
    network.fit(given.fragments, given.ranks, given.steps)
    assert agreement(network.scores(given.fragments).mean(0), given.ranks) > 0.9
    with pytest.raises(FeedbackError, match=r"has the columns better_id, who, worse_id.*col"):
        Preferences.load(tmp_path / "said.csv")
    with pytest.raises(FeedbackError, match=r"pair 1 names 'w0'; .*segments=FILE.npz"):
        Preferences.load(tmp_path / "said.csv", columns=columns)


def test_places_in_a_log_need_the_log_and_lie_in_it(tmp_path: Path) -> None:
    human_indices(tmp_path / "x.npz")
    np.savez(tmp_path / "log.npz", **{name: rows[:90] for name, rows in LOG.items()})
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, r"x.npz says where fragments begin, not what happens in them. Give segments="),
        ({"segments": tmp_path / "log.npz"}, r"no first_end; say how long .* steps="),
        ({"segments": tmp_path / "log.npz", "steps": 7}, r"ends at row \d+ of a log of 90"),
        ({"segments": tmp_path / "log.npz", "steps": 0}, r"pair 1 takes rows 0 to 0"),
    ]
    for options, match in cases:
        with pytest.raises(FeedbackError, match=match):
            Preferences.load(tmp_path / "x.npz", **options)


def test_ties_are_ties(tmp_path: Path) -> None:
    for label in ([0, 1, -1], [0, 1, 0.5], [[1, 0], [0, 1], [0.5, 0.5]]):
        np.savez(tmp_path / "x.npz", obs_1=BOTH[0, :3], obs_2=BOTH[1, :3], label=np.array(label))
        assert Preferences.load(tmp_path / "x.npz").ranks.tolist() == [[1, 2], [2, 1], [1, 1]]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (
            {"a": [1]},
            r"has the columns a; expected winner and loser, or first, second and label",
        ),
        ({"first": BOTH[0], "second": BOTH[1], "label": SECOND[:5]}, r"label is \[5\].* 60 pairs"),
        ({"first": BOTH[0], "second": BOTH[1, :, :3], "label": SECOND}, r"second \[60, 3, 4\]"),
        ({"first": BOTH[0] * np.nan, "second": BOTH[1], "label": SECOND}, r"first is nan at \[0"),
        ({"first": BOTH[0], "second": BOTH[1], "label": SECOND + 3}, r"values such as \[[34]"),
    ],
)
def test_files_that_do_not_fit_say_what_they_have(
    tmp_path: Path, columns: dict[str, Any], match: str
) -> None:
    np.savez(tmp_path / "x.npz", **columns)
    with pytest.raises(FeedbackError, match=match):
        Preferences.load(tmp_path / "x.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"x")
    np.savez(tmp_path / "o.npz", first=np.array([{"a": 1}], dtype=object))
    (tmp_path / "x.jsonl").write_text('{"chosen": "a", "rejected": "b"}\n{\n')
    (tmp_path / "text.jsonl").write_text('{"prompt": "p", "chosen": "good", "rejected": "bad"}\n')
    cases = (
        ("x.pkl", r"x.pkl; expected .npz, .json.*may run code"),
        ("o.npz", r"no .npz of plain arrays"),
        ("x.jsonl", r"line 2: no JSON"),
        ("text.jsonl", r"Text for language models has no features"),
        ("none.npz", r"no file"),
    )
    for name, match in cases:
        with pytest.raises(FeedbackError, match=match):
            Preferences.load(tmp_path / name)


PLACES = {"first_start": [0, 5], "second_start": [5, 10], "first_end": [3, 8], "label": [0, 1]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"winner": ["a", "b"], "loser": ["b"]},
        {"winner": 3, "loser": 4},
        {"winner": "ab", "loser": "ba"},
        {"winner": {"a": 1}, "loser": {"b": 1}},
        {"winner": [], "loser": []},
        PLACES | {"second_end": [8]},
        PLACES | {"second_start": [5], "second_end": [8]},
        PLACES | {"second_end": [8, 13], "first_start": [0.7, 5]},
        PLACES | {"second_end": [8, 13], "first_start": 3},
        PLACES | {"second_end": [8, 13], "first_start": [[0], [5]]},
        PLACES | {"second_end": [8, 2**63]},
        PLACES | {"second_end": [8, 13], "label": [[0], [0, 1]]},
        {"first": [[[1.0]]], "second": [[[1.0]]], "label": [[0, 1], [1]]},
        {"first": [[[1.0]]], "second": [[[1.0]]], "label": [0], "first_actions": [[[1.0], [2.0]]]},
    ],
)
def test_columns_that_contradict_each_other_are_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    np.savez(tmp_path / "log.npz", observations=np.zeros((20, 2)), a=np.ones((3, 2)))
    (tmp_path / "x.json").write_text(json.dumps(wrong))
    with pytest.raises(FeedbackError):
        Preferences.load(tmp_path / "x.json", segments=tmp_path / "log.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("obs", ["x"]),
        ("acts", ["x"]),
        ("acts", np.zeros((3, 3))),
        ("preferences", ["x"]),
        ("preferences", 1.0),
        ("pairs", [[0, -1]]),
    ],
)
def test_fragments_that_contradict_each_other_are_refused(
    tmp_path: Path, name: str, value: Any
) -> None:
    fragments = {"obs": np.zeros((2, 4, 2)), "acts": np.zeros((2, 3)), "pairs": [[0, 1]]}
    np.savez(tmp_path / "x.npz", **fragments | {"preferences": [1.0]} | {name: value})
    with pytest.raises(FeedbackError):
        Preferences.load(tmp_path / "x.npz")


def test_a_column_said_twice_and_lines_in_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("winner,loser,winner\na,b,b\n")
    with pytest.raises(FeedbackError, match="two columns 'winner'"):
        Preferences.load(tmp_path / "x.csv")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(FeedbackError, match="line 1: no JSON"):
        Preferences.load(tmp_path / "x.jsonl")


def test_a_step_count_beyond_the_log_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "log.npz", observations=np.zeros((20, 2)))
    given = {"first_start": [0], "second_start": [5], "label": [0]}
    (tmp_path / "x.json").write_text(json.dumps(given))
    with pytest.raises(FeedbackError, match="of a log of 20"):
        Preferences.load(tmp_path / "x.json", segments=tmp_path / "log.npz", steps=10**30)
