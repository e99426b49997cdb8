"""Where Triton kernels can run: on a GPU, or in Triton's interpreter on a processor.

Triton is optional (`tradinghf[gpu]`); what first wants one of its kernels imports it.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from tradinghf.errors import ConfigError, MissingExtraError

INTERPRET = "TRITON_INTERPRET"


def require_triton(kind: str, setting: str) -> None:
    """Nothing, where kernels can run on a device of this kind ("cuda", "cpu").

    Args:
        kind: of the device.
        setting: what asked for them, for messages.

    Raises:
        MissingExtraError: Triton is not installed.
        ConfigError: the device is no GPU, and Triton's interpreter was not asked for.

    """
    if find_spec("triton") is None:
        raise MissingExtraError("triton", "gpu", setting)
    if kind != "cuda" and os.environ.get(INTERPRET) != "1":
        raise ConfigError(
            f"{setting} needs a CUDA device; this one is {kind!r}. Use device='cuda', or leave the "
            f"setting out. {INTERPRET}=1 runs the kernels in Triton's interpreter, for checking."
        )
