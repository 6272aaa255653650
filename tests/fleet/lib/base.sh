# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# Names, paths, waiting, and finding a host's processes. Sourced by fleet.sh.

die() {
    local code=$1
    shift
    echo "fleet: $*" >&2
    exit "$code"
}

need_root() {
    ((EUID == 0)) || die 3 "needs root: network, mount and pid namespaces are made"
}

need_host() {
    [[ $1 =~ ^h[1-9][0-9]?$ ]] || die 2 "a host is named h1, h2, ...; got: '$1'"
    [[ -d $STATE/$1 ]] || die 2 "$FLEET_NAME has no host $1"
}

need_alive() {
    alive "$1" || die 1 "$1 is powered off"
}

# One change of fleets or cache at a time. The lock lives in the cache, for the state dir is
# removed; it is let go with the process (daemons are started without descriptor 9).
take_lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock -w 300 9 || die 1 "another fleet.sh has held $CACHE/lock for five minutes"
}

# until_true SECONDS WHAT CMD...: polls, never trusts a sleep.
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS <= end)) || die 1 "gave up waiting: $what"
        sleep 0.05
    done
}

address() { echo "$FLEET_NET.$((10 + ${1#h}))"; }
netns() { echo "$FLEET_NAME-$1"; }
link() { echo "$FLEET_NAME-$1"; }
hardware_address() {
    local a b c
    IFS=. read -r a b c <<<"$FLEET_NET"
    printf '02:%02x:%02x:%02x:00:%02x\n' "$a" "$b" "$c" $((10 + ${1#h}))
}

known_hosts_list() {
    [[ -d $STATE ]] || return 0
    find "$STATE" -mindepth 1 -maxdepth 1 -name 'h[0-9]*' -printf '%f\n' | sort -V
}

init_pid() { cat "$STATE/$1/pid" 2>/dev/null; }
verb_pid() {
    need_alive "$1"
    init_pid "$1"
}

# A pid file alone proves nothing (numbers are reused): its process must live in the
# network namespace that bears the host's name.
alive() {
    local pid
    pid=$(init_pid "$1") && [[ -n $pid && -e /run/netns/$(netns "$1") ]] || return 1
    [[ /proc/$pid/ns/net -ef /run/netns/$(netns "$1") ]]
}

inside() {
    local pid
    pid=$(init_pid "$1")
    shift
    nsenter -t "$pid" -m -u -i -n -p -r -w -- "$@"
}

# The engine listens on engine.sock; docker.sock is a link to it, which a test's recorder
# may replace. This door leads past any recorder.
engine_socket() { echo "/proc/$(init_pid "$1")/root/run/engine.sock"; }
side_docker() {
    local host=$1
    shift
    DOCKER_CONTEXT='' docker -H "unix://$(engine_socket "$host")" "$@"
}

# The host's own processes by name (those of its containers live in further namespaces).
processes() {
    local host=$1 names=$2 space path comm
    space=$(readlink "/proc/$(init_pid "$host")/ns/pid") || return 0
    space=${space//[/\\[}
    find /proc/[0-9]*/ns/pid -maxdepth 0 -lname "$space" 2>/dev/null | while IFS=/ read -r _ _ path _; do
        read -r comm 2>/dev/null <"/proc/$path/comm" || continue
        # shellcheck disable=SC2053 # a pattern
        [[ $comm == $names ]] && echo "$path"
    done || true
}

is_listener() {
    local title
    title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
    [[ $title == *'[listener]'* ]]
}

listener() {
    local pid
    for pid in $(processes "$1" sshd); do
        if is_listener "$pid"; then echo "$pid"; fi
    done
}

sessions() {
    local pid
    for pid in $(processes "$1" 'sshd*'); do
        is_listener "$pid" || echo "$pid"
    done
}

# The pids a fault verb's WHAT stands for.
targets() {
    case $2 in
        # whichever engine it is
        dockerd) processes "$1" '@(dockerd|podman)' ;;
        sshd | sshd-sessions) sessions "$1" ;;
        listener) listener "$1" ;;
        *) die 2 "not a thing of a host: '$2'" ;;
    esac
}

signal() {
    local sig=$1 pid
    shift
    for pid in "$@"; do kill "-$sig" "$pid" 2>/dev/null || true; done
}

gone() { [[ ! -e /proc/$1 ]] || [[ $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) == Z* ]]; }
