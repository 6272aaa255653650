#!/usr/bin/env bash
#
# fleet.sh: several real Docker hosts on one machine, and their faults as verbs.
#
# Every host is a set of namespaces (network, mount, UTS, IPC, PID) with a private
# writable view of this machine's root, its own sshd and its own dockerd with its own
# data. Root is needed, nothing else: no virtual machine and no registry.
#
#   check                        what is missing, in one line; exit 3: this machine cannot do it
#   install                      packages, compose plugin, scratch image (cached: then no network)
#   up N                         hosts h1..hN run and answer; what runs already stays as it is
#   down                         nothing is left but the cache
#   status                       one line per host, faults named; exit 1 when no host runs
#   env                          the fleet's paths as shell assignments
#   pid HOST                     the process id, on this machine, of the host's init
#   docker HOST ARG...           docker CLI straight at the host's engine, past ssh and past recorders
#   exec HOST CMD...             a command as root inside the host
#
#   power-off HOST               the plug is pulled: no goodbye on any connection
#   boot HOST                    same disk, same address; restart policies apply
#   partition HOST / heal HOST   packets vanish silently, both ways / pass again
#   hang HOST WHAT               SIGSTOP: WHAT is sshd (the sessions), listener or dockerd
#   resume HOST WHAT             SIGCONT
#   kill HOST WHAT               SIGKILL: dockerd, or sshd-sessions (the listener stays)
#   start HOST dockerd           starts a killed engine again
#   refuse HOST / accept HOST    sshd's listener gone (sessions stay) / back
#   sshd-option HOST [OPTION...] restart the listener with e.g. 'MaxSessions 1'; none: defaults
#   change-host-key HOST / restore-host-key HOST
#   wrong-key HOST / right-key HOST    no client key is accepted / the fleet's key is
#
#   engine HOST KIND             another engine; KIND is one of
#     docker-26                  Docker 26.1 of Debian trixie (API 1.45), with data of its own
#     podman                     Podman at /run/podman/podman.sock, open to group docker; no docker CLI
#     rootless                   the usual engine, only at /run/user/2001/docker.sock, owned by ops
#     tls                        the usual engine, also at tcp port 2376 with client certificates
#     default                    the usual engine again; what docker-26 and podman held is gone
#   forced-command HOST on|off   every login runs `docker system dial-stdio` and nothing else
#   sudo HOST on|off             guest may run `sudo -n docker`
#   registry HOST on|off         a registry at the host's own 127.0.0.1:5000; off: what it held is gone
#
#   empty                        every host that runs has the fleet's image and nothing else: no
#                                container, volume, network or other image
#   heal-all                     undoes every fault and change on every host; cheap when there is none
#
# Hosts are h1, h2, ... at $FLEET_NET.11, .12, ...; this machine is $FLEET_NET.1.
# Users on each: root, ops (group docker), guest (not in it); all take the client key.
#
# Settings: FLEET_NAME (dmfleet; also the prefix of every link and namespace), FLEET_NET
# (10.77.0), FLEET_STATE (/var/tmp/$FLEET_NAME), FLEET_CACHE (/var/cache/dockmaster-fleet).
# Fleets of different name and net live side by side.
#
# Under $FLEET_STATE: client/ (id_ed25519, wrong_ed25519, known_hosts, ssh_config, hosts.yml;
# tls/ with ca.pem, cert.pem and key.pem for engines on tcp, tls-wrong/ with those of another
# authority) and per host h1/sshd.log, h1/dockerd.log (whichever engine), h1/init.log.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FLEET_NAME=${FLEET_NAME:-dmfleet}
FLEET_NET=${FLEET_NET:-10.77.0}
STATE=${FLEET_STATE:-/var/tmp/$FLEET_NAME}
CACHE=${FLEET_CACHE:-/var/cache/dockmaster-fleet}
BRIDGE=$FLEET_NAME-br
IMAGE=fleet/busybox:1
# sshd insists on being started by its full path, and sudo's PATH may lack sbin
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# shellcheck source=lib/base.sh
source "$here/lib/base.sh"
# shellcheck source=lib/install.sh
source "$here/lib/install.sh"
# shellcheck source=lib/hosts.sh
source "$here/lib/hosts.sh"
# shellcheck source=lib/docker_26.sh
source "$here/lib/docker_26.sh"
# shellcheck source=lib/engines.sh
source "$here/lib/engines.sh"
# shellcheck source=lib/tls.sh
source "$here/lib/tls.sh"
# shellcheck source=lib/logins.sh
source "$here/lib/logins.sh"
# shellcheck source=lib/registry.sh
source "$here/lib/registry.sh"
# shellcheck source=lib/faults.sh
source "$here/lib/faults.sh"

verb_up() {
    local count=${1:-} i host started=()
    [[ $count =~ ^[1-9][0-9]?$ ]] || die 2 "up needs a number of hosts, 1 to 99"
    take_lock
    install_all
    sweep_leftovers
    make_bridge
    make_client
    for ((i = 1; i <= count; i++)); do
        host=h$i
        alive "$host" && continue
        start_host "$host"
        started+=("$host")
    done
    write_client_files
    for host in ${started[@]+"${started[@]}"}; do
        wait_engine "$host"
        give_image "$host"
    done
}

verb_down() {
    local host
    take_lock
    for host in $(known_hosts_list); do
        remove_host "$host"
    done
    sweep_strays
    forward_rule -D
    ip link del "$BRIDGE" 2>/dev/null || true
    rm -rf --one-file-system "$STATE"
    remove_cgroups "$FLEET_NAME"
}

verb_status() {
    local host state up=0
    for host in $(known_hosts_list); do
        state=crashed
        [[ ! -e $STATE/$host/off ]] || state=off
        if alive "$host"; then
            state="up pid $(init_pid "$host")"
            up=1
        fi
        printf '%s %s %s%s\n' "$host" "$(address "$host")" "$state" "$(faults_of "$host")"
    done
    ((up)) || { echo "$FLEET_NAME: no host runs"; return 1; }
}

verb_env() {
    cat <<ENV
FLEET_NAME='$FLEET_NAME'
FLEET_NET='$FLEET_NET'
FLEET_STATE='$STATE'
FLEET_CACHE='$CACHE'
FLEET_HOSTS='$(known_hosts_list | tr '\n' ' ' | sed 's/ $//')'
FLEET_CLIENT='$STATE/client'
FLEET_SSH_CONFIG='$STATE/client/ssh_config'
FLEET_KNOWN_HOSTS='$STATE/client/known_hosts'
FLEET_IDENTITY='$STATE/client/id_ed25519'
FLEET_HOSTS_FILE='$STATE/client/hosts.yml'
ENV
}

verb_docker() {
    local host=$1
    shift
    need_alive "$host"
    side_docker "$host" "$@"
}

verb_exec() {
    local host=$1
    shift
    need_alive "$host"
    inside "$host" "$@"
}

usage() {
    sed -n '/^# fleet.sh/,/^$/{s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

main() {
    local verb=${1:-}
    [[ $FLEET_NAME =~ ^[a-z][a-z0-9]{0,9}$ ]] || die 2 "FLEET_NAME: at most ten of a-z and 0-9"
    [[ $FLEET_NET =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die 2 "FLEET_NET: three numbers, as in 10.77.0"
    [[ $STATE == /*/* ]] || die 2 "FLEET_STATE: an absolute path, and not a top directory"
    [[ -n $verb ]] && shift
    case $verb in
        '' | help | -h | --help) usage ;;
        check) verb_check ;;
        env | status | install | up | down | empty | heal-all)
            need_root
            "verb_${verb//-/_}" "$@"
            ;;
        pid | docker | exec | power-off | boot | partition | heal | hang | resume | kill | start | \
            refuse | accept | sshd-option | change-host-key | restore-host-key | wrong-key | right-key | \
            engine | sudo | forced-command | registry)
            need_root
            need_host "${1:-}"
            "verb_${verb//-/_}" "$@"
            ;;
        *) die 2 "no such verb: $verb (try: $0 help)" ;;
    esac
}

main "$@"
