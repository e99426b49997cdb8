#!/usr/bin/env bash
# Everything that needs a CUDA device, in one command: benchmarks/gpu.sh
# Runs the tests marked `gpu`, then the environment and PPO benchmarks (PPO eager and with CUDA
# graphs), into benchmarks/results/gpu.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "No CUDA device.")'
"$python" -m pytest -m gpu -q
mkdir -p benchmarks/results/gpu
for name in env ppo; do
    "$python" -m tradinghf bench "$name" --json "benchmarks/results/gpu/$name.json"
done
