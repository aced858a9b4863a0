#!/usr/bin/env bash
# The statistics of a canary, ours and SciPy's, over the same numbers: medians and ratios.
#
#   benches/peers/scipy/run.sh
set -euo pipefail
cd "$(dirname "$0")/../../.."

target=${CARGO_TARGET_DIR:-$PWD/target}
into=$target/scipy
if ! cmp -s benches/peers/scipy/requirements.txt "$into/installed.txt"; then
  python3 -m venv "$into" || { echo "run.sh: python3 makes no venv: install python3-venv" >&2; exit 1; }
  "$into/bin/pip" install -q -r benches/peers/scipy/requirements.txt >&2 ||
    { echo "run.sh: pip failed in $into: it needs PyPI" >&2; exit 1; }
  cp benches/peers/scipy/requirements.txt "$into/installed.txt"
fi
# Ours first: it writes the numbers that both read, and what it makes of them.
cargo bench -p benches --bench analysis >&2
"$into/bin/python" benches/peers/scipy/bench.py "$target"
