#!/usr/bin/env bash
# Runs our engine and its peers in turns (ours, theirs, ours, theirs, ...) and prints medians and
# ratios. Both sides of a ratio meet the same machine at about the same time, round after round.
#
#   ROUNDS=3 benches/peers/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-3}
peers_manifest=benches/peers/Cargo.toml
results=benches/peers/results.jsonl

# shape:n, the same on both sides. steno takes no random graph, and at most 40 staged nodes.
engine_cases=(linear:1000 linear:4000 wide:1000 wide:4000 random:1000 staged:40)
# runs:steps:samples. Many runs at once get few samples, because duroxide needs seconds for each.
durable_cases=(1:100:3 20:20:1 64:10:1)

# Databases go to the disk that holds the build, never to a /tmp that may be memory.
export TMPDIR=${CARGO_TARGET_DIR:-$PWD/benches/peers/target}/bench-tmp
mkdir -p "$TMPDIR"
if [ "$(stat -f -c %T "$TMPDIR")" = tmpfs ]; then
  echo "run.sh: $TMPDIR is in memory; durable figures would mean nothing" >&2
  exit 1
fi

echo "building" >&2
if ! cargo build --release -q -p benches --bin ours; then
  echo "run.sh: the root workspace has no binary \`ours\` that builds; nothing to compare with" >&2
  exit 1
fi
cargo build --release -q --locked --manifest-path "$peers_manifest"

# Each line is tagged with its side and round; a run that fails ends the script.
record() { # SIDE COMMAND...
  local side=$1
  shift
  "$@" | sed "s/^{/{\"side\":\"$side\",\"round\":$round,/" | tee -a "$results" >&2
}
ours() { record ours cargo run --release -q -p benches --bin ours -- "$@"; }
peers() { record peer cargo run --release -q --locked --manifest-path "$peers_manifest" -- "$@"; }

: >"$results"
for round in $(seq "$rounds"); do
  for case in "${engine_cases[@]}"; do
    IFS=: read -r shape n <<<"$case"
    size=(--shape "$shape" --n "$n" --samples 5)
    ours engine "${size[@]}"
    for engine in joinset dag_exec steno; do
      if [ "$engine:$shape" != steno:random ]; then
        peers engine --engine "$engine" "${size[@]}"
      fi
    done
  done
  for case in "${durable_cases[@]}"; do
    IFS=: read -r runs steps samples <<<"$case"
    size=(--runs "$runs" --steps "$steps" --samples "$samples")
    ours durable "${size[@]}"
    peers durable --engine duroxide --poll-ms 1 "${size[@]}"
  done
  if [ "$round" = 1 ]; then # its timer decides this one, so one round tells all
    peers durable --engine duroxide --runs 1 --steps 100 --samples 1
  fi
done

python3 benches/peers/summarise.py "$results"
