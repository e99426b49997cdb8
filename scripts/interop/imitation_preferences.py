"""Preferences that the library imitation collected itself, as arrays: `python ... OUT.npz`.

Needs `pip install --no-deps imitation==1.0.1` beside Gymnasium and Stable-Baselines3 (it pins
older ones, and works with these). Its own `PreferenceDataset.save` writes a pickle, which we do not
read; these are the arrays inside, by `numpy.savez`. The tests read the file that this wrote.
"""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np
from stable_baselines3.common.env_util import make_vec_env

PAIRS, STEPS = 60, 10


def main(path: str) -> None:
    """Random play of Pendulum, its fragments in pairs, and its synthetic answers."""
    theirs = import_module("imitation.algorithms.preference_comparisons")
    play = import_module("imitation.data.rollout").generate_trajectories
    rng = np.random.default_rng(0)
    env = make_vec_env("Pendulum-v1", 2, seed=0)
    env.action_space.seed(0)
    played = play(None, env, lambda rows: len(rows) >= 4, rng)
    pairs = theirs.RandomFragmenter(rng=rng)(played, fragment_length=STEPS, num_pairs=PAIRS)
    answers = theirs.SyntheticGatherer(temperature=0, rng=rng)(pairs)
    dataset = theirs.PreferenceDataset()
    dataset.push(pairs, answers)
    fragments = [*dataset.fragments1, *dataset.fragments2]
    np.savez_compressed(
        path,
        obs=np.stack([f.obs for f in fragments]).astype(np.float32),
        acts=np.stack([f.acts for f in fragments]).astype(np.float32),
        rews=np.stack([f.rews for f in fragments]).astype(np.float32),
        pairs=np.stack([np.arange(PAIRS), PAIRS + np.arange(PAIRS)], 1),
        preferences=np.asarray(dataset.preferences, dtype=np.float32),
    )


if __name__ == "__main__":
    main(sys.argv[1])
