#!/usr/bin/env bash
# Renew every figure of docs/benchmarks.md that comes from this machine: benchmarks/quiet.sh
# Takes six to seven minutes; run it while nothing else runs. Peers of the environment are installed on
# first use, which comes on top. classic_control.py (an hour) and gpu.sh are not part of it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
results=benchmarks/results
begin=$SECONDS
for name in env ppo backtest; do
    "$python" -m tradinghf bench "$name" --json "$results/$name.json"
done
"$python" benchmarks/ppo_peers.py
"$python" benchmarks/env_peers.py --turns 4 "$@"
"$python" benchmarks/tables.py
echo "Took $((SECONDS - begin)) s; $(uptime)"
