#!/usr/bin/env bash
# Runs our engine and its peers in turns (ours, theirs, ours, theirs, ...) and prints medians and
# ratios. Both sides of a ratio meet the same machine at about the same time, round after round.
#
#   benches/peers/run.sh
#   ROUNDS=1 PEERS="steno duroxide restate dbos" benches/peers/run.sh
#   ROUNDS=0 benches/peers/run.sh     # builds and installs only
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-3}
known="joinset dag_exec async_dag steno duroxide restate dbos"
chosen=${PEERS:-$known}
peers_manifest=benches/peers/Cargo.toml
results=benches/peers/results.jsonl
builds=${CARGO_TARGET_DIR:-$PWD/benches/peers/target}

# shape:n:samples, the same on both sides. steno takes no random graph.
engine_cases=(linear:1000:5 linear:10000:1 wide:1000:5 wide:10000:1 random:1000:5 staged:40:5)
# runs:steps:samples:peers. Many runs at once get few samples, because duroxide needs seconds for each;
# one run gets many, since a file that still grows costs twice as much as one that is used again.
durable_cases=(
  "1:100:15:duroxide restate dbos"
  "20:20:1:duroxide"
  "24:100:3:dbos"
  "32:100:3:restate"
  "64:10:5:duroxide restate dbos"
)

fail() {
  echo "run.sh: $*" >&2
  exit 1
}
wants() { [[ " $chosen " == *" $1 "* ]]; }
need() { # TOOL HOW-TO-MEND-IT
  command -v "$1" >/dev/null || fail "there is no \`$1\`: $2"
}

for peer in $chosen; do
  [[ " $known " == *" $peer "* ]] || fail "no peer is called \`$peer\`; PEERS takes: $known"
done
need cargo "install Rust from https://rustup.rs"
need python3 "install Python 3.11 or later; the table is written in it"

# Databases go to the disk that holds the build, never to a /tmp that may be memory.
mkdir -p "$builds/bench-tmp"
work=$(mktemp -d "$builds/bench-tmp/run.XXXXXX")
child=
clean_up() {
  if [ -n "$child" ]; then # each peer stops its own servers when it is told to end
    kill "$child" 2>/dev/null || true
    wait "$child" || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$work" # the user of PostgreSQL has its data in there
export TMPDIR=$work
if [ "$(stat -f -c %T "$work")" = tmpfs ]; then
  fail "$work is in memory; durable figures would mean nothing. Set CARGO_TARGET_DIR to a disk"
fi

install_restate() {
  need setpriv "install util-linux"
  need node "install Node.js 20 or later, or leave restate out of PEERS"
  need npm "install npm, or leave restate out of PEERS"
  [ "$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ] ||
    fail "restate needs Node.js 20 or later, not $(node --version); or leave it out of PEERS"
  local into=$builds/restate
  mkdir -p "$into"
  cp benches/peers/restate/{package.json,bench.mjs} "$into"
  if ! cmp -s benches/peers/restate/package-lock.json "$into/installed.json"; then
    cp benches/peers/restate/package-lock.json "$into"
    # No scripts: the only one there is would report the installation.
    npm ci --prefix "$into" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
      fail "npm ci failed in $into: it needs the npm registry; or leave restate out of PEERS"
    cp "$into/package-lock.json" "$into/installed.json"
  fi
}

install_dbos() {
  need setpriv "install util-linux"
  local into=$builds/dbos bin=${PEERS_PG_BIN:-/usr/lib/postgresql/15/bin}
  [ -x "$bin/postgres" ] ||
    fail "there is no $bin/postgres: install PostgreSQL 15 or set PEERS_PG_BIN, or leave dbos out of PEERS"
  if ! cmp -s benches/peers/dbos/requirements.txt "$into/installed.txt"; then
    rm -rf "$into"
    python3 -m venv "$into" || fail "python3 makes no venv: install python3-venv, or leave dbos out of PEERS"
    "$into/bin/pip" install -q --no-deps -r benches/peers/dbos/requirements.txt >&2 ||
      fail "pip failed in $into: it needs PyPI; or leave dbos out of PEERS"
    cp benches/peers/dbos/requirements.txt "$into/installed.txt"
  fi
}

if wants restate; then install_restate; fi
if wants dbos; then install_dbos; fi
echo "building" >&2
cargo build --release -q -p benches --bin ours ||
  fail "the root workspace has no binary \`ours\` that builds; nothing to compare with"
cargo build --release -q --locked --manifest-path "$peers_manifest" ||
  fail "duroxide needs a C compiler, pkg-config and OpenSSL's headers (libssl-dev)"
[ "$rounds" != 0 ] || exit 0

# Each line is tagged with its side and round; a run that fails ends the script.
record() { # SIDE COMMAND...
  local side=$1
  shift
  # Not in the foreground, where it would hold up a signal to this script.
  "$@" >"$work/lines" &
  child=$!
  wait "$child"
  child=
  sed "s/^{/{\"side\":\"$side\",\"round\":$round,/" "$work/lines" | tee -a "$results" >&2
}
ours() { record ours cargo run --release -q -p benches --bin ours -- "$@"; }
peers() { record peer cargo run --release -q --locked --manifest-path "$peers_manifest" -- "$@"; }
durable() { # ENGINE SIZE...
  local engine=$1
  shift
  case $engine in
    duroxide) peers durable --engine duroxide --poll-ms 1 "$@" ;;
    restate) record peer node "$builds/restate/bench.mjs" "$@" ;;
    dbos) record peer "$builds/dbos/bin/python" benches/peers/dbos/bench.py "$@" ;;
  esac
}

: >"$results"
for round in $(seq "$rounds"); do
  for case in "${engine_cases[@]}"; do
    IFS=: read -r shape n samples <<<"$case"
    size=(--shape "$shape" --n "$n" --samples "$samples")
    ours engine "${size[@]}"
    for engine in joinset dag_exec async_dag steno; do
      case $engine:$shape:$n:$round in
        steno:random:*) continue ;;
        steno:*:10000:1) ;;
        steno:*:10000:*) continue ;; # it needs seconds, so one round tells
      esac
      if wants "$engine"; then peers engine --engine "$engine" "${size[@]}"; fi
    done
  done
  for case in "${durable_cases[@]}"; do
    IFS=: read -r runs steps samples engines <<<"$case"
    size=(--runs "$runs" --steps "$steps" --samples "$samples")
    ours durable "${size[@]}"
    for engine in $engines; do
      if wants "$engine"; then durable "$engine" "${size[@]}"; fi
    done
  done
  if [ "$round" = 1 ] && wants duroxide; then # its timer decides this one, so one round tells all
    peers durable --engine duroxide --runs 1 --steps 100 --samples 1
  fi
done

python3 benches/peers/summarise.py "$results"
