#!/usr/bin/env bash
#
# run.sh: real MCP clients (both versions of the Python SDK) against Dockmaster, over stdio and
# HTTP, on the hosts of a running test fleet. Prints every check and, last,
# `clients: N passed, M failed`; the exit code is 1 when one failed, 3 when this machine cannot.
#
# The fleet is the one that FLEET_NAME, FLEET_NET and FLEET_STATE name (fleet.sh). Settings:
#   DOCKMASTER_BIN      the program (target/debug/dockmaster)
#   FLEET_HOSTS_FILE    hosts to use in place of all of the fleet's
#   DOCKMASTER_CLIENTS  where the clients are installed (target/clients)
#
# Starts one container per host and removes it; takes about a minute.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
fleet=$root/tests/fleet/fleet.sh
bin=${DOCKMASTER_BIN:-$root/target/debug/dockmaster}

die() {
    local code=$1
    shift
    echo "clients: $*" >&2
    exit "$code"
}

hosts_file=${FLEET_HOSTS_FILE:-}
environment=$("$fleet" env) || exit
eval "$environment"
hosts_file=${hosts_file:-$FLEET_HOSTS_FILE}
[[ -x $bin ]] || die 2 "$bin is missing: cargo build, or set DOCKMASTER_BIN"
[[ -f $hosts_file ]] || die 2 "$hosts_file is missing: fleet.sh up 3, or set FLEET_HOSTS_FILE"
mapfile -t hosts < <(sed -n 's/^  \(h[0-9]*\):.*/\1/p' "$hosts_file")
((${#hosts[@]} >= 2)) || die 2 "two hosts at least are needed; $hosts_file has ${#hosts[@]}"
last=${hosts[-1]}
clients=$("$here/install.sh") || exit

# sockets live below: the path is short
work=$(mktemp -d /tmp/dmcl.XXXXXX)
mkdir -m 700 "$work/data" "$work/run" "$work/config"
export DOCKMASTER_DATA_DIR=$work/data DOCKMASTER_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config
export DOCKMASTER_TOOLSETS=all
# no compiled files beside the sources
export PYTHONDONTWRITEBYTECODE=1
options=(--ssh-config "$FLEET_SSH_CONFIG" --config "$hosts_file")
container=clients-probe-$$
secret=s3cr3t-$$-never-shown
line="the known line of $container"
service=''

cleanup() {
    local host
    [[ -z $service ]] || kill -KILL "$service" 2>/dev/null || true
    "$fleet" resume "$last" dockerd 2>/dev/null || true
    for host in "${hosts[@]}"; do
        "$fleet" docker "$host" rm -f "$container" >/dev/null 2>&1 || true
    done
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

passed=0 failed=0
# verdict OK NAME WHY
verdict() {
    if (($1)); then
        echo "ok $2"
        ((++passed))
    else
        echo "FAIL $2: $3"
        ((++failed))
    fi
}

# suite CLIENT TRANSPORT TARGET OPTION...
suite() {
    local client=$1 transport=$2 target=$3
    shift 3
    "$clients/$client/bin/python" "$here/suite.py" --transport "$transport" --target "$target" \
        --hosts "$(IFS=,; echo "${hosts[*]}")" --container "$container" --secret "$secret" --line "$line" \
        --hang "$fleet hang $last dockerd" --resume "$fleet resume $last dockerd" \
        --log "$work/stdio.log" "$@" 2>"$work/suite.err" | tee "$work/suite.out" | sed '/^passed /d' || true
    if [[ $(tail -n 1 "$work/suite.out") =~ ^passed\ ([0-9]+)\ failed\ ([0-9]+)$ ]]; then
        ((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2])) || true
    else
        verdict 0 "$client $transport: the suite runs to its end" "$(tail -n 3 "$work/suite.err")"
    fi
}

start_service() {
    local tries
    "$bin" serve --port 0 "${options[@]}" </dev/null >"$work/http.out" 2>"$work/http.log" &
    service=$!
    for ((tries = 0; tries < 200; tries++)); do
        url=$(grep -so 'http://[^"]*/mcp' "$work/http.log" || true)
        [[ -z $url ]] || return 0
        kill -0 "$service" 2>/dev/null || break
        sleep 0.05
    done
    die 1 "the service does not start: $(tail -n 5 "$work/http.log")"
}

stop_service() {
    local code=0
    kill -TERM "$service"
    wait "$service" || code=$?
    service=''
    verdict $((code == 0)) "http: the service ends with code 0 when told to" "code $code"
    verdict "$([[ -s $work/http.out ]] && echo 0 || echo 1)" "http: nothing on standard output" \
        "$(head -n 3 "$work/http.out")"
}

for host in "${hosts[@]}"; do
    "$fleet" docker "$host" run -d --name "$container" --label dockmaster.clients="$$" \
        -e COLOUR=green -e DB_PASSWORD="$secret" fleet/busybox:1 \
        sh -c "echo '$line'; echo 'password=$secret'; exec sleep 3600" >/dev/null
done

printf -v command '%q ' "$bin" stdio "${options[@]}"
suite v2 stdio "$command" --raw
suite v1 stdio "$command"
start_service
suite v2 http "$url" --raw
suite v1 http "$url"
stop_service
# the directories of sockets are no service's own, and stay
left=$(ls -A "$work/run" | grep -vx '[sc]' || true)
verdict "$([[ -z $left ]] && echo 1 || echo 0)" "runtime directories are gone" "$left"

# kept for whoever looks into a failure
if ((failed)) && [[ -n ${CLIENTS_KEEP_LOGS:-} ]]; then
    mkdir -p "$CLIENTS_KEEP_LOGS"
    cp "$work"/*.log "$CLIENTS_KEEP_LOGS"
fi
echo "clients: $passed passed, $failed failed"
((failed == 0))
