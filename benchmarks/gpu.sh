#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command and a quarter of an hour: benchmarks/gpu.sh
# See benchmarks/gpu.py for the steps. PYTHON names another interpreter; where the machine cannot
# install packages, WHEELS names a folder with the wheels that it lacks (gymnasium, safetensors, ...).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install --quiet --no-index --no-deps "$WHEELS"/*.whl
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec "$python" benchmarks/gpu.py "$@"
