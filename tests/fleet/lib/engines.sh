# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# The engine of a host: which one it is, where clients find it, starting and stopping it.
#
# Whatever the kind, the engine listens on /run/engine.sock: the fleet's own way in, which no
# client looks at. The door, where clients of that kind look, is a link to it; so a recorder
# can take the door's place whichever engine is behind it.

ENGINES='default|docker-26|podman|rootless|tls'
HOST_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# ops's number on every host, which its runtime directory bears
OPS=2001

engine_kind() { cat "$STATE/$1/conf/engine" 2>/dev/null || echo default; }

verb_engine() {
    local host=$1 kind=${2:-}
    need_alive "$host"
    [[ $kind =~ ^($ENGINES)$ ]] || die 2 "engine takes one of ${ENGINES//|/, }"
    [[ $kind != "$(engine_kind "$host")" ]] || return 0
    [[ $kind != docker-26 ]] || need_docker_26
    leave_engine "$host"
    echo "$kind" >"$STATE/$host/conf/engine"
    [[ $kind != default ]] || rm "$STATE/$host/conf/engine"
    furnish "$host"
    start_engine "$host"
    wait_engine "$host"
    give_image "$host"
}

# Where this kind's clients find it; the text of the link, and the path it lies at.
door() {
    case $(engine_kind "$1") in
        podman) echo ../engine.sock /run/podman/podman.sock ;;
        rootless) echo ../../engine.sock "/run/user/$OPS/docker.sock" ;;
        *) echo engine.sock /run/docker.sock ;;
    esac
}

# Makes the host look like one with its kind of engine. Relative links, for they must lead
# to the host's engine also when they are read from outside.
furnish() {
    local host=$1 target path
    read -r target path <<<"$(door "$host")"
    echo "$path" >"$STATE/$host/conf/door"
    # shellcheck disable=SC2016 # the inner shell's variables
    inside "$host" sh -ec '
        rm -rf /run/docker.sock /run/podman /run/user
        [ "$3" != rootless ] || install -D -d -m 700 -o "$4" -g "$4" "/run/user/$4"
        mkdir -p "${2%/*}"
        ln -s "$1" "$2"
        for client in /usr/local/bin/docker /usr/bin/docker; do
            if [ "$3" = podman ]; then
                [ ! -e "$client" ] || mv "$client" "${client%/*}/.docker.hidden"
            else
                [ ! -e "${client%/*}/.docker.hidden" ] || mv "${client%/*}/.docker.hidden" "$client"
            fi
        done
    ' sh "$target" "$path" "$(engine_kind "$host")" "$OPS"
}

start_engine() {
    local host=$1
    case $(engine_kind "$host") in
        docker-26)
            # its own containerd and shim, and the machine's runc: trixie's needs a newer libc
            run_engine "$host" "PATH=/opt/docker-26:$HOST_PATH" /opt/docker-26/dockerd \
                --data-root /var/lib/docker-26 --userland-proxy-path /opt/docker-26/docker-proxy
            ;;
        podman)
            write_containers_conf "$host"
            run_engine "$host" CONTAINERS_CONF=/etc/fleet/containers.conf \
                env CONTAINERS_REGISTRIES_CONF=/etc/fleet/registries.conf podman --log-level warn system service --time 0 unix:///run/engine.sock
            # root's alone by default; an administrator who gives users the socket does this
            own_socket "$host" root:docker
            ;;
        rootless)
            run_engine "$host" '' dockerd
            own_socket "$host" "$OPS:$OPS"
            ;;
        tls)
            run_engine "$host" '' dockerd -H tcp://0.0.0.0:2376 --tlsverify --tlscacert /etc/fleet/tls/ca.pem \
                --tlscert /etc/fleet/tls/cert.pem --tlskey /etc/fleet/tls/key.pem
            ;;
        *) run_engine "$host" '' dockerd ;;
    esac
}

# run_engine HOST ENVIRONMENT PROGRAM ARG...
run_engine() {
    local host=$1 environment=$2 program=$3
    shift 3
    [[ $program != *dockerd ]] || set -- -H unix:///run/engine.sock "$@"
    inside "$host" setsid -f env "PATH=$HOST_PATH" ${environment:+"$environment"} "$program" "$@" \
        </dev/null >>"$STATE/$host/dockerd.log" 2>&1 9>&-
}

own_socket() {
    until_true 60 "$1's engine (see $STATE/$1/dockerd.log)" test -S "$(engine_socket "$1")"
    inside "$1" chown "$2" /run/engine.sock
    inside "$1" chmod 660 /run/engine.sock
}

# Hosts have no journal and no systemd, and the machine's limits may be below podman's wishes.
write_containers_conf() {
    cat >"$STATE/$1/conf/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$STATE/$1/conf/registries.conf"
}

engine_answers() { side_docker "$1" version -f '{{.Server.Version}}' >/dev/null 2>&1; }
wait_engine() {
    until_true 60 "$1's engine (see $STATE/$1/dockerd.log)" test -S "$(engine_socket "$1")"
    until_true 60 "$1's engine (see $STATE/$1/dockerd.log)" engine_answers "$1"
}
give_image() {
    side_docker "$1" image inspect "$IMAGE" >/dev/null 2>&1 ||
        side_docker "$1" load -q -i "$CACHE/image.tar" >/dev/null
}

# What a killed engine leaves would pass for a running one.
sweep_socket() { rm -f "$(engine_socket "$1")" "/proc/$(init_pid "$1")/root/run/docker.pid"; }

# An engine with containers ends properly, so that it knows which to start again. Without any it
# would only take a second over it.
stop_engine() {
    local pid
    if [[ -n $(processes "$1" 'containerd-shim*') ]]; then
        for pid in $(targets "$1" dockerd); do
            kill -TERM "$pid" 2>/dev/null || true
            (until_true 15 "the end of $1's engine" gone_with_containers "$pid" "$1") 2>/dev/null || true
        done
    fi
    # also containerd, which the next engine would take for its own
    for pid in $(processes "$1" '@(dockerd|podman|containerd)'); do
        kill -KILL "$pid" 2>/dev/null || true
        until_true 30 "the end of $1's engine" gone "$pid"
    done
    sweep_socket "$1"
}

# Its engine waits ten seconds for each that ignores the goodbye, as a first process does by default.
gone_with_containers() {
    local shim
    for shim in $(processes "$2" 'containerd-shim*'); do
        # shellcheck disable=SC2046 # a list of process ids
        signal KILL $(pgrep -P "$shim" || true)
    done
    gone "$1"
}

# The kinds with data of their own begin anew each time; the others are the default engine.
leave_engine() {
    local host=$1 data pid
    case $(engine_kind "$host") in
        docker-26) data=docker-26 ;;
        podman) data=containers ;;
        *) data='' ;;
    esac
    if [[ -n $data ]]; then
        # a dead engine's containers live on, and no other engine would find them
        [[ -n $(targets "$host" dockerd) ]] || verb_start "$host" dockerd
        empty_engine "$host"
    fi
    stop_engine "$host"
    if [[ $data == containers ]]; then
        # each watches an ended exec for minutes yet
        for pid in $(processes "$host" conmon); do
            kill -KILL "$pid" 2>/dev/null || true
            until_true 30 "the end of process $pid" gone "$pid"
        done
        remove_podman_cgroups
    fi
    [[ -z $data ]] || find "$STATE/$host/$data" -xdev -mindepth 1 -delete
    sweep_network "$host"
}

# Podman's cgroups lie at the top, where those of other fleets may be, one empty for the moment in
# which its container starts: who leaves last removes them all.
remove_podman_cgroups() { pgrep -x 'podman|conmon' >/dev/null || remove_cgroups libpod_parent; }

# Bridges and rules of networks outlive an engine too.
empty_engine() {
    local host=$1 all
    all=$(side_docker "$host" ps -aq)
    # shellcheck disable=SC2086 # a list of ids
    [[ -z $all ]] || side_docker "$host" rm -f -v $all >/dev/null
    side_docker "$host" network prune -f >/dev/null
}

# What an engine that stays holds besides.
empty_stores() {
    local host=$1 all
    all=$(side_docker "$host" volume ls -q)
    # shellcheck disable=SC2086 # a list of names
    [[ -z $all ]] || side_docker "$host" volume rm -f $all >/dev/null
    all=$(side_docker "$host" image ls -a --format '{{.Repository}}:{{.Tag}} {{.ID}}' |
        awk -v own="$IMAGE" '$1 != own { print ($1 ~ /<none>/) ? $2 : $1 }')
    [[ -n $all ]] || return 0
    # an image that was made of others goes with the last of them
    # shellcheck disable=SC2086 # a list of names
    side_docker "$host" image rm -f $all >/dev/null 2>&1 || true
    side_docker "$host" image prune -f >/dev/null
    give_image "$host"
}

empty_host() {
    empty_engine "$1"
    empty_stores "$1"
}

verb_empty() {
    local host pids=() pid
    for host in $(known_hosts_list); do
        alive "$host" || continue
        empty_host "$host" &
        pids+=($!)
    done
    for pid in ${pids[@]+"${pids[@]}"}; do
        wait "$pid" || die 1 "an engine could not be emptied"
    done
}

# The next engine finds a network without the last one's bridge, rules and leases: Docker's rules
# forward nothing for Podman.
sweep_network() {
    # shellcheck disable=SC2016 # the inner shell's variable
    inside "$1" sh -c '
        ip link del docker0
        ip link del cni-podman0
        rm -rf /var/lib/cni
        iptables -P FORWARD ACCEPT
        for table in filter nat; do
            iptables -t $table -F
            iptables -t $table -X
        done
    ' 2>/dev/null || true
}
