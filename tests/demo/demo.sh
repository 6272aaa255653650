#!/usr/bin/env bash
#
# demo.sh: Dockmaster in one minute, on this machine alone. Makes three real Docker hosts (each
# with its own sshd and engine, in namespaces), starts the service, and plays an assistant that
# talks to it over MCP (conversation.py) while one host loses power and comes back. Everything it
# says is checked; it leaves nothing behind but what it installed.
#
# Needs root. Exit 0: all of it happened; 1: something did not; 3: this machine cannot do it.
# DOCKMASTER_BIN names the program (target/debug/dockmaster, built when it is missing or old).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# A fleet of its own, whatever fleet the caller works with.
unset FLEET_STATE
export FLEET_NAME=dmdemo FLEET_NET=10.76.0
FLEET_CACHE=${FLEET_CACHE:-/var/cache/dockmaster-fleet}
export FLEET_CACHE
fleet=$root/tests/fleet/fleet.sh
image=fleet/busybox:1
secret=tulips-in-october

work='' service='' child='' outcome=0 ours=''
bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

die() {
    local code=$1
    shift
    echo "demo: $*" >&2
    exit "$code"
}

# A demo that is killed takes its processes along.
with_us=(setpriv --pdeathsig TERM --)

# Runs it so that a signal can interrupt the wait; the trap then ends it. Its exit code is put
# into `outcome`: callers with || would take `set -e` away from what runs here.
attend() {
    outcome=0
    "$@" 8>&- &
    child=$!
    wait "$child" || outcome=$?
    child=''
}

end_process() {
    local pid=$1 tries
    kill -TERM "$pid" 2>/dev/null || return 0
    for ((tries = 0; tries < 200; tries++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}

cleanup() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    [[ -z $child ]] || end_process "$child"
    [[ -z $service ]] || end_process "$service"
    if [[ -n $ours ]]; then
        "$fleet" down 8>&- || code=1
    fi
    [[ -z $work ]] || rm -rf --one-file-system "$work"
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step WORDS CMD...: does it and says how long it took
step() {
    local words=$1 start now
    shift
    printf '   %s ' "$words"
    start=${EPOCHREALTIME/[.,]/}
    attend "$@" >"$work/step.log" 2>&1
    if ((outcome)); then
        echo
        cat "$work/step.log" >&2
        die 1 "this failed: $words"
    fi
    now=${EPOCHREALTIME/[.,]/}
    printf '%s%d.%d s%s\n' "$dim" $(((now - start) / 1000000)) $(((now - start) / 100000 % 10)) "$plain"
}

# Cheap refusals come first: nobody waits minutes to learn that it cannot work.
preflight() {
    local code=0 said
    ((EUID == 0)) || die 3 "needs root, for it makes hosts out of namespaces: sudo make demo"
    python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        die 3 "needs python3 (3.10 or newer) with venv: apt-get install python3 python3-venv"
    said=$("$fleet" check 2>&1) || code=$?
    case $code in
        0) ;;
        1)
            echo "Installing what is missing: ${said##*: }"
            attend "$fleet" install
            ((outcome == 0)) || die 3 "this could not be installed, see above: ${said##*: }"
            ;;
        *) die 3 "${said#fleet: }. Run it on a virtual machine, or in a container with --privileged." ;;
    esac
    attend "$root/tests/clients/install.sh" v2 >"$work/clients"
    ((outcome == 0)) || exit "$outcome"
    clients=$(<"$work/clients")
}

program() {
    bin=${DOCKMASTER_BIN:-}
    if [[ -n $bin ]]; then
        [[ -x $bin ]] || die 3 "DOCKMASTER_BIN names no program: $bin"
        return
    fi
    bin=$root/target/debug/dockmaster
    if [[ -x $bin && -z $(find "$root/src" "$root/Cargo.toml" "$root/Cargo.lock" -newer "$bin" -print -quit) ]]; then
        return
    fi
    command -v cargo >/dev/null ||
        die 3 "cargo is missing for root: run cargo build first and set DOCKMASTER_BIN to the program"
    echo "Building the program first (a few minutes when nothing is built yet)"
    attend cargo build --manifest-path "$root/Cargo.toml" --target-dir "$root/target"
    ((outcome == 0)) || die 1 "cargo build failed"
}

container() {
    local host=$1 name=$2
    shift 2
    "$fleet" docker "$host" run -d --name "$name" --restart unless-stopped "$@"
}

fill_hosts() {
    "$fleet" exec h1 sh -c 'mkdir -p /opt/stacks/blog && cat >/opt/stacks/blog/compose.yml' <<YAML
# the family's blog
services:
  web:
    image: $image
    command: httpd -f -p 80 -h /www
    ports: ["8080:80"]
    restart: unless-stopped
  db:
    image: $image
    command: sleep 86400
    environment:
      MYSQL_DATABASE: blog
      MYSQL_PASSWORD: $secret
    restart: unless-stopped
YAML
    "$fleet" exec h1 docker compose -f /opt/stacks/blog/compose.yml up -d
    container h1 media -p 8096:8096 "$image" httpd -f -p 8096 -h /www
    container h2 dns -p 53:53/udp "$image" sleep 86400
    container h2 mqtt "$image" sleep 86400
    container h3 mail -p 25:25 "$image" sleep 86400
    container h3 vpn "$image" sleep 86400
}

write_config() {
    cat >"$work/hosts.yml" <<YAML
hosts:
  nas: {hostname: $FLEET_NET.11, user: ops, tags: [home], description: "storage in the basement"}
  pi:  {hostname: $FLEET_NET.12, user: ops, tags: [home], description: "the one behind the TV"}
  vps: {hostname: $FLEET_NET.13, user: ops, tags: [cloud], description: "rented, far away"}
YAML
}

start_service() {
    local tries settings
    settings=$("$fleet" env)
    eval "$settings"
    mkdir -m 700 "$work/data" "$work/run" "$work/config"
    DOCKMASTER_DATA_DIR=$work/data DOCKMASTER_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config \
        "${with_us[@]}" "$bin" serve --port 0 --config "$work/hosts.yml" --ssh-config "$FLEET_SSH_CONFIG" \
        </dev/null >/dev/null 2>"$work/log" 8>&- &
    service=$!
    for ((tries = 0; tries < 200; tries++)); do
        url=$(grep -so 'http://[^"]*/mcp' "$work/log" || true)
        [[ -z $url ]] || return 0
        kill -0 "$service" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 5 "$work/log" >&2
    die 1 "the service does not start"
}

stop_service() {
    local code=0
    kill -TERM "$service"
    wait "$service" || code=$?
    service=''
    ((code == 0)) || die 1 "the service ended with code $code when told to stop"
}

((EUID != 0)) || work=$(mktemp -d /tmp/dmdemo.XXXXXX)
preflight
program
# What a killed demo left is taken away; a living one keeps its hosts. The lock's file names the
# directory of whoever had it last.
exec 8>>"$FLEET_CACHE/demo.lock"
flock -n 8 || die 1 "another demo is running"
ours=1
left=$(<"$FLEET_CACHE/demo.lock")
[[ $left != /tmp/dmdemo.?????? ]] || rm -rf --one-file-system "$left"
echo "$work" >"$FLEET_CACHE/demo.lock"
"$fleet" down 8>&-

cat <<TEXT

${bold}Dockmaster in one minute${plain}

One service keeps a supervised line to every Docker host you own and serves them to an AI
assistant over MCP. The demo makes three real hosts on this machine, plays the assistant, and
pulls the plug of one. Every claim below was checked while you read it.

${bold}Setting up${plain}

TEXT
step "three hosts, each with its own sshd and its own Docker engine:" "$fleet" up 3
step "containers on all of them, and the compose stack blog on nas:" fill_hosts
write_config
start_service
echo "   dockmaster serve: process $service, at $url"

export PYTHONDONTWRITEBYTECODE=1
# the services of a desktop's proxy are not asked for a loopback address
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
attend "${with_us[@]}" "$clients/v2/bin/python" "$here/conversation.py" --url "$url" --pid "$service" --log "$work/log" \
    --fleet "$fleet" --secret "$secret" ${bold:+--colour}
((outcome == 0)) || die 1 "the demo did not go as it should; see above"
stop_service
echo
echo "${bold}Done.${plain} The service stopped cleanly; the hosts are taken away now."
