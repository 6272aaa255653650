#!/usr/bin/env bash
#
# bench.sh: times the ways of reaching Docker engines side by side, on three hosts of its own
# made by tests/fleet/fleet.sh, and writes benches/RESULTS.md. Run: make bench
#
# Needs root. Takes about five minutes beside compiling, and leaves nothing behind but what it
# installed and target/. A fleet that runs already under the same name is used and left running.
#
# BENCH_ROUNDS (10) is how often everything is repeated; BENCH_RESULTS names another file to
# write. FLEET_NAME (dmbench) and FLEET_NET (10.79.0) are the hosts' name and network.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
export FLEET_NAME=${FLEET_NAME:-dmbench} FLEET_NET=${FLEET_NET:-10.79.0}
rounds=${BENCH_ROUNDS:-10}
results=${BENCH_RESULTS:-$here/RESULTS.md}
target=${CARGO_TARGET_DIR:-$root/target}
fleet=$root/tests/fleet/fleet.sh
image=fleet/busybox:1

work='' ours='' child='' loaded=''

die() {
    echo "bench: $*" >&2
    exit 1
}

# Runs it so that a signal can interrupt the wait; the trap then ends it.
attend() {
    local code=0
    "$@" 8>&- &
    child=$!
    wait "$child" || code=$?
    child=''
    return "$code"
}

# What was started here and names this run's directory: masters of ssh outlive who started them.
# They may still go by themselves, so that they are asked before they are made to.
end_processes() {
    local signal tries pids
    for signal in TERM KILL; do
        for ((tries = 0; tries < 50; tries++)); do
            pids=$(pgrep -f -- "$work/" || true)
            [[ -n $pids ]] || return 0
            # shellcheck disable=SC2086 # a list of numbers
            ((tries)) || kill "-$signal" $pids 2>/dev/null || true
            sleep 0.1
        done
    done
    echo "bench: these processes do not end: ${pids//$'\n'/ }" >&2
}

cleanup() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
    if [[ -n $work ]]; then
        end_processes
        rm -rf --one-file-system "$work"
    fi
    if [[ -n $ours ]]; then
        "$fleet" down 8>&- || code=1
    elif [[ -n $loaded ]]; then
        for host in h1 h2 h3; do unload "$host" || code=1; done
    fi
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

unload() {
    local old
    old=$("$fleet" docker "$1" ps --all --quiet)
    # shellcheck disable=SC2086 # a list of ids
    [[ -z $old ]] || "$fleet" docker "$1" rm -f $old >/dev/null
}

# shellcheck disable=SC2016 # the container's shell expands it
log='i=0; while [ $i -lt 200 ]; do i=$((i + 1)); echo "line $i of the log of the benchmark"; done; exec sleep 86400'

# 20 idle containers, one of them a service of compose, and one with a log of 200 lines.
load() {
    local host=$1 i
    unload "$host"
    for ((i = 1; i < 20; i++)); do
        "$fleet" docker "$host" run -d --network none --name "bench-idle-$i" "$image" sleep 86400 >/dev/null
    done
    "$fleet" docker "$host" run -d --network none --name bench-log "$image" sh -c "$log" >/dev/null
    "$fleet" exec "$host" sh -c 'mkdir -p /opt/bench && cat >/opt/bench/compose.yml' <<YAML
services:
  web:
    image: $image
    command: sleep 86400
    network_mode: none
YAML
    "$fleet" exec "$host" docker compose -f /opt/bench/compose.yml up -d >/dev/null 2>&1
}

load_all() {
    local host pids=()
    for host in h1 h2 h3; do
        load "$host" &
        pids+=($!)
    done
    for host in "${pids[@]}"; do wait "$host"; done
}

((EUID == 0)) || die "needs root, for it makes hosts out of namespaces: sudo make bench"
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "BENCH_ROUNDS is a number of rounds, not '$rounds'"
cargo build --release --manifest-path "$root/Cargo.toml" --target-dir "$target"
# The program's own versions of what both need.
[[ $here/Cargo.lock -nt $root/Cargo.lock ]] || cp "$root/Cargo.lock" "$here/Cargo.lock"
cargo build --release --manifest-path "$here/Cargo.toml" --target-dir "$target"

# Whoever tests on this fleet holds the same lock; its file stays, as a lock's file must.
exec 8>"${TMPDIR:-/tmp}/$FLEET_NAME.in-use"
flock -n 8 || die "somebody else uses the hosts $FLEET_NAME"
# A short name, for sockets lie below it; known before anybody can be started with it.
work=$(mktemp -d /tmp/dmbench.XXXXXX)
if ! "$fleet" status >/dev/null 2>&1; then ours=1; fi
echo "bench: three hosts with 21 containers each" >&2
attend "$fleet" up 3 >&2
loaded=1
attend load_all
settings=$("$fleet" env)
eval "$settings"
hosts=()
for i in 1 2 3; do
    hosts+=("h$i=$FLEET_NET.1$i=/proc/$("$fleet" pid "h$i")/root/run/engine.sock")
done

# A home of its own for all that is started: nothing of the person who runs this gets in.
mkdir -p "$work/bin" "$work/.docker/cli-plugins"
ln -s "$FLEET_CACHE/plugins/docker-compose" "$work/.docker/cli-plugins/docker-compose"
echo "bench: $rounds rounds on two lines" >&2
attend env -i PATH="$work/bin:$PATH" HOME="$work" XDG_CONFIG_HOME="$work/config" \
    XDG_STATE_HOME="$work/state" DOCKMASTER_DATA_DIR="$work/data" DOCKMASTER_RUNTIME_DIR="$work/r" \
    "$target/release/dockmaster-bench" "$work" "$target/release/dockmaster" "$FLEET_SSH_CONFIG" \
    "$results" "$rounds" "${hosts[@]}"
