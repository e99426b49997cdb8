#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command and a quarter of an hour: benchmarks/gpu.sh
# See benchmarks/gpu.py for the steps. PYTHON names another interpreter; where the machine cannot
# fetch packages, WHEELS names a folder with the wheels that it lacks. Beside torch, triton, numpy,
# pandas, numba, scipy, scikit-learn, pyarrow, safetensors, pytest and hypothesis these are
# gymnasium, farama-notifications, sqlalchemy, alembic, mako and evalica; torchrl and tensordict for
# the peer.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec "$python" benchmarks/gpu.py "$@"
