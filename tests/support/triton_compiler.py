"""Triton kernels compiled for a GPU that is not there: `python triton_compiler.py CASE...`.

Launches are taken for what they tell of the arguments: the kernel is compiled for one kind of card
by Triton and ptxas, as it would be there, and not run. It prints a line of JSON for each kernel:
registers and bytes of local memory of a thread, and bytes of shared memory of a block. In a
process of its own, since a kernel is defined either for the interpreter or for a card.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

CARD = GPUTarget("cuda", 90, 32)  # H100 and H200
_TYPES = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}
_OPTIONS = ("enable_fp_fusion", "num_warps")


@contextmanager
def compiling() -> Iterator[list[dict[str, Any]]]:
    """Within, kernels are compiled where they would be launched; yields what each takes."""
    found: list[dict[str, Any]] = []

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        given = dict(zip(self.arg_names, args, strict=False))
        given |= {k: v for k, v in named.items() if k in self.arg_names}
        constants = {p.name: given[p.name] for p in self.params if p.is_constexpr}
        types = {
            name: "constexpr"
            if name in constants
            else _TYPES[value.dtype]
            if isinstance(value, torch.Tensor)
            else "fp32"
            if isinstance(value, float)
            else "i32"
            for name, value in given.items()
        }
        options = {k: v for k, v in named.items() if k in _OPTIONS}
        source = ASTSource(fn=self, signature=types, constexprs=constants)
        found.append({"kernel": self.fn.__name__, **_built(source, options)})

    allowed = mock.patch("tradinghf.simulation._triton_engine.require_triton")
    with mock.patch.object(JITFunction, "run", run), allowed:
        yield found


def _built(source: ASTSource, options: dict[str, Any]) -> dict[str, int]:
    made = triton.compile(source, target=CARD, options=options)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [str(tool), "--dump-resource-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {name: int(n) for name, n in re.findall(r"(REG|STACK|LOCAL):(\d+)", told)}
    local = used["STACK"] + used["LOCAL"]
    return {"registers": used["REG"], "local": local, "shared": int(made.metadata.shared)}


def environment(**settings: Any) -> None:
    """A step and an observation of a task; `settings` of `MarketEnv` and `EnvConfig`."""
    from tradinghf.config import EnvConfig
    from tradinghf.market import synthetic
    from tradinghf.simulation import MarketEnv

    assets = settings.pop("assets", 1)
    own = {k: settings.pop(k) for k in ("costs", "reward") if k in settings}
    config = EnvConfig(lookback=4, horizon=6, portfolio=assets > 1, **settings)
    env = MarketEnv(synthetic(0, 60, assets), num_envs=3, config=config, engine="triton", **own)
    env.reset(seed=0)
    env._unpaid = False  # kernels are compiled, not run: nobody looks at what they would have paid
    env.step_weights(torch.zeros(3, assets) if assets > 1 else torch.zeros(3))


def exits() -> dict[str, Any]:
    """Settings of stops and margin."""
    from tradinghf.config import Brackets, Margin

    brackets = Brackets(stop_loss=0.02, take_profit=0.03, trailing_stop=0.02)
    return {"brackets": brackets, "margin": Margin(leverage=2.0, maintenance=0.3)}


def limits() -> dict[str, Any]:
    """Settings of limits and of costs that depend on size, in 64 bits."""
    from tradinghf.config import CostModel, TradingRules

    rules = TradingRules(lot=0.1, participation=0.3, lock_cash=True, max_size=9, max_position=99)
    costs = CostModel(impact=0.5, fixed_fee=1.0, per_share_fee=0.01, borrow_rate=0.1)
    return {"rules": rules, "costs": costs, "dtype": "float64"}


def gradients(**settings: Any) -> None:
    """A minibatch's gradient; `settings` of `PPOConfig`."""
    from support.learning import table_of

    from tradinghf.learning.config import PPOConfig
    from tradinghf.learning.policy import ActorCritic
    from tradinghf.learning.ppo._fused_update import FusedUpdate
    from tradinghf.learning.ppo._network import PackedActorCritic
    from tradinghf.learning.ppo._transitions import Minibatch
    from tradinghf.learning.ppo._update import LossWeights

    config = PPOConfig(**{"hidden": (64, 64)} | settings)
    network = ActorCritic(40, 3, 2, config.hidden, True, config.shared)
    batch = Minibatch(
        actions=torch.zeros(5, dtype=torch.long),
        log_prob=torch.zeros(5),
        advantage=torch.zeros(5),
        target=torch.zeros(5, 2),
    )
    update = FusedUpdate(PackedActorCritic(network), config)
    update.gradients(
        torch.arange(5), table_of(torch.zeros(5, 40), batch), LossWeights(0.2, 0.5, 0.01)
    )


def tf32() -> None:
    """The gradient with TF32 products."""
    torch.set_float32_matmul_precision("high")
    gradients(shared=True)


def others() -> None:
    """Discounted sums and a step of Adam."""
    from tradinghf.learning.ppo._fused import TritonAdam, triton_discounted

    triton_discounted(torch.zeros(3, 5), torch.zeros(3, 5))
    TritonAdam(torch.zeros(9), torch.zeros(9), limit=0.5).step(1e-3)


CASES: dict[str, Callable[[], None]] = {
    "plain": environment,
    "moments": lambda: environment(reward="differential_sharpe", dtype="float64"),
    "time left": lambda: environment(time_left=True),
    "exits": lambda: environment(**exits()),
    "limits": lambda: environment(**limits()),
    "portfolio": lambda: environment(assets=5),
    "portfolio of 30": lambda: environment(assets=30),
    "portfolio, exits": lambda: environment(assets=30, **exits()),
    "portfolio, limits": lambda: environment(assets=5, **limits()),
    "gradients": gradients,
    "gradients, shared": lambda: gradients(shared=True),
    "gradients, wide": lambda: gradients(hidden=(128, 128)),
    "tf32": tf32,
    "others": others,
}


def main(names: list[str]) -> None:
    """Compile the cases of these names."""
    for name in names:
        with compiling() as found:
            CASES[name]()
        for row in found:
            sys.stdout.write(json.dumps({"case": name, **row}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
