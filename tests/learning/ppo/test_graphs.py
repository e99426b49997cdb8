"""Recorded steps against eager ones: on a CPU with a tape in the place of a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.learning import table_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tradinghf.config import Brackets, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import PPO, Stream, env_reward, sparse_pnl
from tradinghf.learning.ppo import _graphs as recording
from tradinghf.learning.ppo._distributed import ProcessGroup
from tradinghf.learning.ppo._graphs import Captured, Outputs, RecordedUpdate, accelerate, call_again
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Minibatch
from tradinghf.learning.ppo._update import LossWeights, Update
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=4)
SMALL = PPOConfig(hidden=(16, 16), minibatches=4, epochs=2)
CPU = torch.device("cpu")
STREAMS = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.5)}


class Taping(TorchDispatchMode):
    """Writes down operations with the very tensors and numbers that they were called with."""

    def __init__(self) -> None:
        super().__init__()
        self.tape: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        aliased = any(r.alias_info is not None for r in func._schema.returns)
        if func._schema.is_mutable or not aliased:  # a view is memory, not work
            self.tape.append((func, args, kwargs or {}, out))
        return out


class Tape:
    """What a CUDA graph does: one recording, and then the same work on the same memory.

    Nothing of the function itself runs again, so numbers and branches are those of the recording.
    Before each replay, the tensors in `poisoned` are spoilt: the graph must not read them.
    """

    def __init__(self, warm_ups: int = 2) -> None:
        self.warm_ups, self.recordings, self.replays = warm_ups, 0, 0
        self.poisoned: list[Tensor] = []

    def record(self, function: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        for _ in range(self.warm_ups):
            function()
        with Taping() as taping:
            outputs = function()
        self.recordings += 1

        @torch.no_grad()
        def replay() -> None:
            self.replays += 1
            for tensor in self.poisoned:
                tensor.fill_(float("nan") if tensor.is_floating_point() else 2**40)
            for func, args, kwargs, held in taping.tape:
                new = func(*args, **kwargs)
                if not func._schema.is_mutable:
                    for own, value in zip(tensors(held), tensors(new), strict=True):
                        own.copy_(value)

        return replay, outputs


def tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


# ---------------------------------------------------------------------- any function


@pytest.mark.parametrize("record", [Tape().record, call_again])
def test_a_recorded_function_reads_its_own_copies_of_its_inputs(record: Any) -> None:
    g = torch.Generator().manual_seed(0)
    tape = getattr(record, "__self__", None)
    call = Captured(lambda a, b: (a @ b, a.sum(0).exp()), (), record)
    for _ in range(3):
        a, b = torch.randn(4, 3, generator=g), torch.randn(3, 2, generator=g)
        expected = a @ b, a.sum(0).exp()
        if tape is not None:
            tape.poisoned = [a, b]
        found = call(a, b)
        assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("record", [Tape().record, call_again])
def test_every_call_changes_state_once_also_the_first(record: Any) -> None:
    total, count = torch.tensor([1.0, 2.0]), torch.zeros((), dtype=torch.int64)

    def add(x: Tensor) -> Tensor:
        total.add_(x)
        count.add_(1)
        return total * 2

    call = Captured(add, (total, count), record)
    for i in range(1, 4):
        out = call(torch.full((2,), 10.0))
        assert total.tolist() == [1.0 + 10 * i, 2.0 + 10 * i]
        assert count.item() == i
        assert isinstance(out, Tensor)
        assert out.tolist() == [2 * x for x in total.tolist()]


def test_outputs_last_until_the_next_call() -> None:
    call = accelerate(lambda x: x + 1, CPU)
    first = call(torch.zeros(2))
    assert call(torch.ones(2)) is first


def test_what_recording_broke_off_changed_is_undone() -> None:
    state = torch.zeros(2)

    def fail(x: Tensor) -> Tensor:
        state.add_(x)
        raise RuntimeError("a kernel that cannot be captured")

    with pytest.raises(RuntimeError, match="captured"):
        Captured(fail, (state,), Tape().record)(torch.ones(2))
    assert state.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "other", [(torch.zeros(3),), (torch.zeros(2).double(),), (torch.zeros(2),) * 2, ()]
)
def test_other_inputs_than_the_first_are_refused(other: tuple[Tensor, ...]) -> None:
    call = accelerate(lambda x: x + 1, CPU)
    call(torch.zeros(2))
    with pytest.raises(ConfigError, match=r"expected \['torch.float32 \[2\] on cpu'\]"):
        call(*other)


# ---------------------------------------------------------------------- PPO


def agent_of(config: PPOConfig, actions: str = "discrete") -> PPO:
    task = EnvConfig(horizon=16, actions=actions)  # type: ignore[arg-type]
    return PPO(MarketEnv(MARKET, num_envs=16, config=task), dict(STREAMS), config, seed=3)


def weights_of(agent: PPO) -> Tensor:
    return agent._packed.data.clone()


def with_tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    tape = Tape()

    def record(function: Any, device: object, changes: Any) -> Captured:
        return Captured(function, changes, tape.record)

    monkeypatch.setattr(recording, "accelerate", record)
    return tape


@pytest.mark.parametrize("taped", [True, False])
@pytest.mark.parametrize(
    ("actions", "settings"),
    [
        ("discrete", {}),
        ("discrete", {"shared": True, "precision": "bfloat16"}),
        ("continuous", {}),
        ("continuous", {"head": "beta"}),
        ("discrete", {"reference_kl": 0.1}),
    ],
)
def test_replayed_steps_train_the_same_weights(
    actions: str, settings: dict[str, Any], taped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step size and entropy weight change between iterations, and a reference comes in later."""
    tape = with_tape(monkeypatch) if taped else None
    load = RecordedUpdate._load

    def spoiling(self: RecordedUpdate, size: int, table: Any, *rest: Any) -> None:
        load(self, size, table, *rest)
        table.obs.fill_(torch.nan)
        table.columns.fill_(torch.nan)

    histories, weights = [], []
    for graphs in ("none", "step"):
        agent = agent_of(replace(SMALL, graphs=graphs, **settings), actions)
        if graphs == "none":
            agent._update = Update(agent._packed, agent.config)  # not the compiled kernel
        with monkeypatch.context() as patch:
            patch.setattr(RecordedUpdate, "_load", spoiling)
            history = agent.train(2, total=4)
            agent.freeze_reference()
            histories.append(history + agent.train(2, total=4))
        weights.append(weights_of(agent))
    assert torch.equal(*weights)
    assert histories[0] == histories[1]
    if tape is not None:
        assert tape.recordings == (2 if settings.get("reference_kl") else 1)
        assert tape.replays == 4 * 2 * 4


def test_a_bad_gradient_is_skipped_and_reported_by_a_replayed_step() -> None:
    agent = agent_of(replace(SMALL, graphs="step"))
    agent.train(1)
    before = weights_of(agent)
    agent.streams["env"] = Stream(lambda rollout: rollout.rewards * torch.nan)  # type: ignore[index]
    assert agent.train(1)[0]["bad_gradients"] == 1
    assert torch.equal(before, weights_of(agent))


def test_a_restored_training_continues_in_the_recorded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tape = with_tape(monkeypatch)
    config = replace(SMALL, graphs="step")
    whole = agent_of(config)
    whole.train(3, total=3)
    halves = agent_of(config)
    halves.train(2, total=3)
    state = {k: v.clone() if isinstance(v, Tensor) else v for k, v in halves.state().items()}
    state["optimiser"] = {k: v.clone() for k, v in state["optimiser"].items()}
    state["network"] = {k: v.clone() for k, v in state["network"].items()}
    state["units"] = {k: v.clone() for k, v in state["units"].items()}
    halves.train(1, total=3)  # goes on, is then set back, and goes on again
    halves.restore(state)
    halves.train(1, total=3)
    assert torch.equal(weights_of(whole), weights_of(halves))
    assert tape.recordings == 2


def test_graphs_are_refused_where_they_are_not_safe() -> None:
    with pytest.raises(ConfigError, match="graphs"):
        PPOConfig(graphs="step", network="attention")
    network = ActorCritic(4, 3, 1, (8,), True)
    with pytest.raises(ConfigError, match="processes share gradients"):
        RecordedUpdate(
            PackedActorCritic(network), replace(SMALL, graphs="step"), ProcessGroup(rank=0, size=2)
        )


# ---------------------------------------------------------------------- whole iterations


EVENTFUL = EnvConfig(
    horizon=8,
    lookback=4,
    fill="close",
    rules=TradingRules(lot=0.1, participation=0.3),
    margin=Margin(leverage=2.0, maintenance=0.3),
    brackets=Brackets(stop_loss=0.02, take_profit=0.03),
    randomise=Randomisation(fee_bps=(0, 10)),
)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        (EnvConfig(horizon=8, lookback=4), {"shared": True}),
        (replace(EVENTFUL, actions="continuous"), {"head": "beta", "reference_kl": 0.1}),
    ],
    ids=["plain", "eventful"],
)
def test_a_taped_iteration_replays_as_eager_ones_run(
    task: EnvConfig, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only tensors are replayed: neither the environment nor anything else of Python runs again."""
    tape, found = with_tape(monkeypatch), []
    tape.warm_ups = 1
    for graphs in ("none", "iteration"):
        env = MarketEnv(MARKET, num_envs=4, config=task, engine="tensor")
        config = replace(SMALL, hidden=(8,), minibatches=2, graphs=graphs, **settings)
        agent = PPO(env, dict(STREAMS), config, seed=3)
        agent._forward, agent._update = None, Update(agent._packed, config)  # tensors throughout
        agent.freeze_reference()
        found.append((agent.train(4, total=6), weights_of(agent), agent.scale.clone()))
    (eager, *state), (replayed, *same_state) = found
    assert replayed == eager
    assert all(torch.equal(a, b) for a, b in zip(state, same_state, strict=True))
    assert (tape.recordings, tape.replays) == (1, 3)


def test_what_is_recorded_sees_what_was_learned_between_two_calls() -> None:
    """A reward that is fitted anew is another one: a recording lasts for one call of `train`."""
    found = []
    for graphs in ("none", "iteration"):
        pay = {"factor": torch.tensor(1.0)}
        agent = agent_of(replace(SMALL, graphs=graphs))
        agent._update = Update(agent._packed, agent.config)
        own = Stream(lambda r, pay=pay: r.rewards * pay["factor"])  # type: ignore[misc]
        agent.streams = {"env": own, "pnl": STREAMS["pnl"]}
        agent.train(3, total=6)
        pay["factor"] = torch.tensor(-2.0)
        found.append(agent.train(3, total=6))
    assert found[0] == found[1]


def test_an_iteration_is_recorded_only_where_it_is_the_same_work_every_time() -> None:
    config = replace(SMALL, graphs="iteration")
    env = MarketEnv(MARKET, num_envs=4, config=EnvConfig(horizon=16))
    with pytest.raises(ConfigError, match=r"graphs.*whole episodes"):
        PPO(env, STREAMS, config, steps=5)
    with pytest.raises(ConfigError, match=r"graphs.*share gradients"):
        PPO(env, STREAMS, config, group=ProcessGroup(rank=0, size=2))
    hooks: dict[str, Any] = {
        "fill_cost": lambda fills: fills.volume,
        "sampler": lambda windows, unit: (unit * len(windows)).long(),
    }
    for name, function in hooks.items():
        own = MarketEnv(MARKET, num_envs=4, config=env.config, **{name: function})
        with pytest.raises(ConfigError, match=rf"graphs.*MarketEnv\({name}=.*on the host"):
            PPO(own, STREAMS, config)
    ends = MarketEnv(MARKET, num_envs=4, config=env.config, termination=lambda t: t.drawdown > 0.1)
    with pytest.raises(ConfigError, match=r"graphs.*whole episodes"):
        PPO(ends, STREAMS, config)


# ---------------------------------------------------------------------- what a capture refuses


DEVICE = torch.device("meta")  # stands for a GPU: what is on the host can be told from the rest


class CaptureLint(TorchDispatchMode):
    """Fails at what a CUDA graph capture refuses, or takes down as it is."""

    SYNCHRONISE = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal.default")
    RANDOM = ("rand", "normal_", "uniform_", "bernoulli", "multinomial", "exponential_", "dropout")

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func).removeprefix("aten.")
        assert not name.startswith(self.SYNCHRONISE), f"{name} waits for the device"
        assert not name.startswith(self.RANDOM), f"{name} needs a generator that the graph knows"
        assert not name.startswith("lift_fresh"), "a tensor was made of numbers on the host"
        by_mask = name.startswith("index") and any(x.dtype == torch.bool for x in tensors(args))
        assert not by_mask, f"{name} waits for the device: its shape depends on values"
        place = torch.device((kwargs or {}).get("device") or DEVICE)
        assert place.type != "cpu", f"{name} has a tensor on the host"
        fused = name.startswith("_fused_adam_")  # has no kernel for tensors without contents
        out = None if fused else func(*args, **(kwargs or {}))
        assert not fused or isinstance(kwargs["lr"], Tensor), "the step size would stay"
        used = tensors((args, kwargs, out))
        assert all(x.device.type != "cpu" for x in used), f"{name} has a tensor on the host"
        self.operations += 1
        return out


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("head", ["categorical", "gaussian", "beta"])
def test_a_capture_can_take_down_a_minibatch_step(
    head: str, reference: bool, precision: Any
) -> None:
    discrete, outputs = head == "categorical", 6 if head == "beta" else 3
    continuous: Any = "gaussian" if discrete else head
    config = replace(SMALL, graphs="step", precision=precision, head=continuous)
    network = ActorCritic(6, 3, 2, (8, 8), discrete, False, continuous).to(DEVICE)
    learner = Update(PackedActorCritic(network, precision), config)
    actions = torch.zeros(64, dtype=torch.int64) if discrete else torch.zeros(64, 3)
    batch = Minibatch(
        actions=actions.to(DEVICE),
        log_prob=torch.zeros(64, device=DEVICE),
        advantage=torch.zeros(64, device=DEVICE),
        target=torch.zeros(64, 2, device=DEVICE),
        reference=torch.zeros(64, outputs, device=DEVICE) if reference else None,
        reference_log_std=torch.zeros(3, device=DEVICE) if reference else None,
    )
    table = table_of(torch.zeros(64, 6, device=DEVICE), batch)
    weights = LossWeights(0.2, 0.5, torch.zeros((), device=DEVICE), 0.1)
    rate, rows = torch.zeros((), device=DEVICE), torch.zeros(16, dtype=torch.int64).to(DEVICE)
    with CaptureLint() as lint:
        learner.step(rows, table, weights, rate)
    assert lint.operations > 50


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x.sum().item(), "waits"),
        (lambda x: x[x > 0], "waits"),
        (lambda x: x * torch.tensor(2.0), "on the host"),
        (lambda x: x + torch.arange(3), "on the host"),
        (lambda x: torch.rand_like(x), "generator"),
        (lambda x: x.cpu(), "on the host"),
    ],
)
def test_the_lint_finds_what_a_capture_refuses(
    function: Callable[[Tensor], object], reason: str
) -> None:
    with pytest.raises(AssertionError, match=reason), CaptureLint():
        function(torch.zeros(3, device=DEVICE))


# ---------------------------------------------------------------------- a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("recorded", ["step", "iteration"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_replayed_iterations_equal_eager_ones_on_a_gpu(
    actions: str, precision: Any, recorded: Any
) -> None:
    """Capturing may choose other kernels: as close as the same sums in another order."""
    histories, weights = [], []
    for graphs in ("none", recorded):
        task = EnvConfig(horizon=16, actions=actions)  # type: ignore[arg-type]
        env = MarketEnv(MARKET, num_envs=64, config=task, device="cuda")
        config = replace(SMALL, graphs=graphs, precision=precision)
        agent = PPO(env, STREAMS, config, seed=0)
        histories.append(agent.train(3))
        weights.append(weights_of(agent))
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-4)
    for eager, replay in zip(*histories, strict=True):
        assert replay == pytest.approx(eager, rel=1e-2, abs=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_function_changes_state_once_per_call_on_a_gpu() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    total = torch.ones(2, device=device)
    call = accelerate(lambda x: total.add_(x) * 2, device, (total,))
    for i in range(1, 4):
        given = torch.full((2,), 10.0, device=device)
        out = call(given)
        given.fill_(torch.nan)
        assert isinstance(out, Tensor)
        assert out.tolist() == [2 + 20.0 * i] * 2
