"""One PPO training: its candidates, checkpoints, metrics, stop signals, choice and continuation."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.ppo import PPO, Metrics
from tradinghf.learning.runs import (
    RunDirectory,
    State,
    deferring_stops,
    stop_requested,
    stop_training,
    understood,
)
from tradinghf.loop._brought import BroughtAgent, kept, resumable
from tradinghf.loop._collect import EpisodeScore, Progress, best_network, env_like
from tradinghf.loop._same_run import check_origin, origin
from tradinghf.market import MarketData

VALIDATION_EPISODES = 512
_MOST_GATED = 4  # candidates that a gate looks at: each trades all the test bars


class Training:
    """A learner on its way through a schedule of iterations.

    `RLHF`, the baselines and the label benchmark train through it, so that all of them keep
    candidates, stop, and continue in the same way.

    Args:
        agent: the learner, in a `MarketEnv`.
        phase: the name of this training for `progress`.
        run: where checkpoints and metrics are written; nothing is when not given.
        progress: called with (phase, steps done, steps in all, metrics) after every iteration.
        checkpoint_seconds: time between checkpoints.
        owner_state: what the owner keeps in each checkpoint.
        restore_owner: gets that back on `resume`.

    Attributes:
        candidates: networks that the training passed through, oldest first.
        choice: which candidate was chosen by `choose`, of how many, and the score of each.

    """

    def __init__(
        self,
        agent: PPO | BroughtAgent,
        phase: str = "train",
        *,
        run: RunDirectory | None = None,
        progress: Progress | None = None,
        checkpoint_seconds: float = 10.0,
        owner_state: Callable[[], State] = dict,
        restore_owner: Callable[[State], None] = lambda _: None,
    ) -> None:
        self.agent, self.run = agent, run
        self.candidates: list[ActorCritic] = []
        self.choice: dict[str, Any] = {}
        self._phase, self._progress = phase, progress or (lambda *_: None)
        self._checkpoint_seconds = checkpoint_seconds
        self._owner_state, self._restore_owner = owner_state, restore_owner
        self._chosen: ActorCritic | None = None
        self._marked: tuple[State, int] | None = None  # learner and number of candidates
        self._saved_at = self._iterated_at = time.monotonic()

    @property
    def network(self) -> Any:
        """The chosen candidate; the learner's present network where none was chosen."""
        return self._chosen or self.agent.network

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return self.agent.iteration * self.agent.steps_per_iteration

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run directory; a training that begins moves an earlier run's files aside."""
        with self.lock():
            if self.run is not None and self.agent.iteration == 0:
                self.run.start_over()
            config = getattr(self.agent.env, "config", None)
            if getattr(config, "overlay", None) is not None and not self.candidates:
                self.candidates.append(kept(self.agent))
            yield

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """`RunDirectory.lock`, or nothing without a run directory."""
        return self.run.lock() if self.run is not None else contextlib.nullcontext()

    def train_to(self, iteration: int, total: int, candidates: Container[int] = ()) -> None:
        """Train until `iteration`; nothing where it is behind.

        Args:
            iteration: where to end.
            total: iterations of the whole schedule (learning rate, entropy).
            candidates: iterations after which the network becomes a candidate.

        Raises:
            Stopped: a signal came within `stoppable`; a checkpoint was written.

        """
        ahead = iteration - self.agent.iteration
        if ahead <= 0:
            return
        self._chosen = None

        def after(agent: Any, metrics: Metrics) -> None:
            if agent.iteration in candidates:
                # Before the checkpoint, which would otherwise lack it for good.
                self.candidates.append(kept(agent))
            self._record(metrics, total * agent.steps_per_iteration)

        with deferring_stops():
            self.agent.train(ahead, total=total, after=after)

    def _record(self, metrics: Metrics, steps: int) -> None:
        """Report and log one iteration, write a checkpoint where it is time, and obey signals."""
        now = time.monotonic()
        duration, self._iterated_at = max(now - self._iterated_at, 1e-9), now
        metrics["steps_per_s"] = self.agent.steps_per_iteration / duration
        self._progress(self._phase, int(metrics["step"]), steps, metrics)
        if self.run is not None:
            self.run.log(metrics)
            if stop_requested() or now - self._saved_at > self._checkpoint_seconds:
                self.checkpoint()
        if stop_requested():
            stop_training(self.agent.iteration, self.run)

    def mark(self) -> None:
        """Remember the learner as it is, for `undo`; a mark stays until `forget_mark`."""
        if self._marked is None:
            self._marked = (copy.deepcopy(self.agent.state()), len(self.candidates))

    def forget_mark(self) -> None:
        """The next `mark` is a new one."""
        self._marked = None

    @property
    def before_and_now(self) -> tuple[ActorCritic, ActorCritic] | None:
        """The last candidate before the mark and the latest since; None where one is missing."""
        mark = 0 if self._marked is None else self._marked[1]
        if not 0 < mark < len(self.candidates):
            return None
        return self.candidates[mark - 1], self.candidates[-1]

    def undo(self) -> None:
        """Go back to the learner that was marked; its iterations keep their numbers."""
        assert self._marked is not None
        state, mark = self._marked
        self.agent.restore(state | {"iteration": self.agent.iteration})
        del self.candidates[mark:]
        self.forget_mark()

    def choose(
        self,
        market: MarketData,
        scores: Sequence[tuple[float, EpisodeScore]],
        seed: int,
        *,
        keep: float | None = None,
    ) -> None:
        """Make the candidate that is best on a market's bars the `network`.

        Of an overlay the first candidate is its base, which stays unless another is better.

        Args:
            market: bars that were not trained on.
            scores: weighed functions of episodes, as for `best_network`.
            seed: of the windows.
            keep: of an overlay, see `RLHFConfig`.

        """
        env: Any = self.agent.env
        calm = env_like(env, market, VALIDATION_EPISODES)
        overlay = env.config.overlay is not None
        cautious: Any = {"cautious": True, "keep": keep} if overlay else {}
        best, found = best_network(self.candidates, calm, scores, seed, **cautious)
        self._chosen = self.candidates[best]
        self.choice = {"candidate": best + 1, "of": len(found), "validation_scores": found}

    def policies(self, now: Policy) -> dict[str, Policy]:
        """What a gate is to judge: the choice on validation bars, or else the last candidates.

        Args:
            now: the present policy.

        """
        total = len(self.candidates)
        if self.choice or total < 2:
            return {"the policy": now}
        first = max(total - _MOST_GATED, 0)
        return {
            f"candidate {first + i + 1} of {total}": dataclasses.replace(now, network=network)
            for i, network in enumerate(self.candidates[first:])
        }

    def checkpoint(self) -> None:
        """Write everything that `resume` needs; nothing without a run directory."""
        if self.run is None or isinstance(self.agent, BroughtAgent):
            return
        state = {
            "origin": origin(self.agent),
            "agent": self.agent.state(),
            "candidates": [network.state_dict() for network in self.candidates],
            "marked": self._marked,
            "owner": self._owner_state(),
        }
        self.run.save(self.agent.iteration, state)
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Continue from the newest good checkpoint of the run directory; False if there is none.

        Raises:
            CheckpointError: another process writes to the run, or the checkpoint is of other bars,
                settings, another seed, task or version.

        """
        if self.run is None:
            return False
        learner = resumable(self.agent)
        with self.run.lock():
            found = self.run.latest()
            if found is None:
                return False
            where = f"{self.run.path}, checkpoint {found[0]}"
            check_origin(where, found[1].get("origin"), learner)
            with understood(where):
                self._restore(found[1])
            self.run.trim_metrics(self.steps)
        return True

    def _restore(self, state: State) -> None:
        self.agent.restore(state["agent"])
        self.candidates = []
        for weights in state["candidates"]:
            self.candidates.append(kept(self.agent))
            self.candidates[-1].load_state_dict(weights)
        marked = state["marked"]
        self._marked = None if marked is None else (marked[0], int(marked[1]))
        self._restore_owner(state["owner"])
