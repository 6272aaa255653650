# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# Faults and their undoing. Each verb takes the host first and may be repeated.

verb_power_off() {
    : >"$STATE/$1/off"
    cut_power "$1"
}

verb_boot() {
    local host=$1
    alive "$host" && return
    take_lock
    start_host "$host"
    wait_engine "$host"
}

verb_partition() {
    need_alive "$1"
    ip link set "$(link "$1")" down
}

verb_heal() {
    need_alive "$1"
    ip link set "$(link "$1")" up
}

# Whether every thread of a process is stopped: the signal reaches them one after the other.
stopped() {
    local stat
    for stat in /proc/"$1"/task/*/stat; do
        [[ $(sed 's/.*) //' "$stat" 2>/dev/null) == [Tt]* ]] || return 1
    done
}

verb_hang() {
    local pids pid
    need_alive "$1"
    pids=$(targets "$1" "${2:-}")
    # shellcheck disable=SC2086 # a list of process ids
    signal STOP $pids
    for pid in $pids; do until_true 30 "the stop of process $pid" stopped "$pid"; done
}

verb_resume() {
    need_alive "$1"
    # shellcheck disable=SC2046
    signal CONT $(targets "$1" "${2:-}")
}

verb_kill() {
    local pids pid
    need_alive "$1"
    [[ ${2:-} == dockerd || ${2:-} == sshd-sessions ]] || die 2 "kill takes dockerd or sshd-sessions"
    pids=$(targets "$1" "$2")
    # shellcheck disable=SC2086
    signal KILL $pids
    for pid in $pids; do until_true 30 "the end of process $pid" gone "$pid"; done
}

verb_start() {
    need_alive "$1"
    [[ ${2:-} == dockerd ]] || die 2 "start takes dockerd"
    [[ -n $(targets "$1" dockerd) ]] || {
        sweep_socket "$1"
        start_engine "$1"
    }
    wait_engine "$1"
}

verb_refuse() {
    need_alive "$1"
    stop_sshd "$1"
}

verb_accept() {
    need_alive "$1"
    [[ -n $(listener "$1") ]] || start_sshd "$1"
}

verb_sshd_option() {
    local host=$1
    shift
    need_alive "$host"
    : >"$STATE/$host/conf/sshd_options"
    (($# == 0)) || printf '%s\n' "$@" >"$STATE/$host/conf/sshd_options"
    write_sshd_config "$host"
    # a listener that does not start could not be healed either
    if ! inside "$host" /usr/sbin/sshd -t -f /etc/fleet/sshd_config; then
        : >"$STATE/$host/conf/sshd_options"
        die 2 "sshd takes no such option: $*"
    fi
    restart_sshd "$host"
}

verb_change_host_key() {
    local key=$STATE/$1/conf/ssh_host_key
    need_alive "$1"
    if [[ ! -e $key.true ]]; then
        mv "$key" "$key.true"
        mv "$key.pub" "$key.true.pub"
    fi
    rm -f "$key" "$key.pub"
    new_key "$key" "$1 changed"
    restart_sshd "$1"
}

verb_restore_host_key() {
    local key=$STATE/$1/conf/ssh_host_key
    need_alive "$1"
    [[ -e $key.true ]] || return 0
    mv "$key.true" "$key"
    mv "$key.true.pub" "$key.pub"
    restart_sshd "$1"
}

# sshd reads the file at every login: no restart.
verb_wrong_key() {
    local keys=$STATE/$1/conf/authorized_keys
    [[ -e $keys.true ]] || mv "$keys" "$keys.true"
    echo '# the key that was here is gone' >"$keys"
}

verb_right_key() {
    local keys=$STATE/$1/conf/authorized_keys
    [[ ! -e $keys.true ]] || mv "$keys.true" "$keys"
}

link_is_down() { [[ $(<"/sys/class/net/$(link "$1")/flags") == *[02468aceACE] ]]; }

# Process ids of the host that are stopped.
stopped_ones() {
    local pid stat
    for pid in $(processes "$1" '@(sshd*|dockerd|podman)'); do
        read -r stat 2>/dev/null <"/proc/$pid/stat" || continue
        [[ ${stat##*) } == T* ]] && echo "$pid"
    done
    return 0
}

wake() {
    # shellcheck disable=SC2046
    signal CONT $(stopped_ones "$1")
}

# In the order in which they must be undone.
faults_of() {
    local conf=$STATE/$1/conf MEMBERS
    alive "$1" || {
        echo ' powered-off'
        return
    }
    MEMBERS=$(members "$1")
    link_is_down "$1" && printf ' partitioned'
    [[ -z $(stopped_ones "$1") ]] || printf ' hung'
    [[ ! -e $conf/authorized_keys.true ]] || printf ' wrong-key'
    ! has_forced_command "$1" || printf ' forced-command'
    [[ ! -e $(sudo_rule "$1") ]] || printf ' sudo'
    [[ ! -e $conf/ssh_host_key.true ]] || printf ' changed-host-key'
    [[ ! -s $conf/sshd_options ]] || printf ' sshd-options'
    [[ -n $(listener "$1") ]] || printf ' refusing'
    [[ -n $(targets "$1" dockerd) ]] || printf ' engine-dead'
    [[ -z $(processes "$1" docker-registry) ]] || printf ' registry'
    [[ ! -e $conf/engine ]] || printf ' engine=%s' "$(engine_kind "$1")"
    return 0
}

verb_heal_all() {
    local host fault
    for host in ${1:-$(known_hosts_list)}; do
        for fault in $(faults_of "$host"); do
            undo "$host" "$fault"
        done
    done
}

undo() {
    case $2 in
        powered-off)
            verb_boot "$1"
            verb_heal_all "$1"
            ;;
        partitioned) verb_heal "$1" ;;
        hung) wake "$1" ;;
        wrong-key) verb_right_key "$1" ;;
        changed-host-key) verb_restore_host_key "$1" ;;
        sshd-options) verb_sshd_option "$1" ;;
        refusing) verb_accept "$1" ;;
        engine-dead) verb_start "$1" dockerd ;;
        engine=*) verb_engine "$1" default ;;
        forced-command) verb_forced_command "$1" off ;;
        sudo) verb_sudo "$1" off ;;
        registry) verb_registry "$1" off ;;
    esac
}
