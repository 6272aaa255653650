# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# Making hosts and taking them away.

make_bridge() {
    if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
        if ip -o -4 address | grep -q " $FLEET_NET\.1/"; then
            die 1 "$FLEET_NET.1 is taken on this machine: choose another FLEET_NET"
        fi
        # a bridge without an address of its own takes one from its ports and changes it with
        # them, and each change forgets every neighbour, permanent ones too
        ip link add "$BRIDGE" address "$(hardware_address h0)" type bridge
        ip address add "$FLEET_NET.1/24" dev "$BRIDGE"
        ip link set "$BRIDGE" up
    fi
    forward_rule -C || forward_rule -I
}

# Only a machine that forwards nothing by default keeps hosts from each other.
forward_rule() {
    iptables -S FORWARD 2>/dev/null | grep -qx -- '-P FORWARD DROP' || return 0
    iptables "$1" FORWARD -i "$BRIDGE" -o "$BRIDGE" -j ACCEPT 2>/dev/null || [[ $1 == -D ]]
}

# A fixed hardware address, known for good on this side: a host that is cut off is then
# silent at once and for ever, where ARP would soon answer "no route to host".
make_network() {
    local host=$1 ns link mac
    ns=$(netns "$host") link=$(link "$host") mac=$(hardware_address "$host")
    ip netns add "$ns"
    ip link add "$link" type veth peer name eth0 address "$mac" netns "$ns"
    ip link set "$link" master "$BRIDGE" up
    ip neighbour replace "$(address "$host")" lladdr "$mac" dev "$BRIDGE" nud permanent
    ip -n "$ns" link set lo up
    ip -n "$ns" address add "$(address "$host")/24" dev eth0
    ip -n "$ns" link set eth0 up
    ip -n "$ns" route add default via "$FLEET_NET.1"
}

remove_network() {
    ip link del "$(link "$1")" 2>/dev/null || true
    ip netns del "$(netns "$1")" 2>/dev/null || true
}

# new_key FILE COMMENT
new_key() { ssh-keygen -q -t ed25519 -N '' -C "$2" -f "$1"; }

make_client() {
    local dir=$STATE/client
    mkdir -p "$dir"
    [[ -f $dir/id_ed25519 ]] || new_key "$dir/id_ed25519" "$FLEET_NAME client"
    [[ -f $dir/wrong_ed25519 ]] || new_key "$dir/wrong_ed25519" "$FLEET_NAME wrong"
    make_client_tls
}

make_disk() {
    local host=$1 dir=$STATE/$1
    [[ -f $dir/conf/sshd_base ]] && return
    mkdir -p "$dir"/{upper,work,root,docker,docker-26,containers,etc-docker,conf}
    new_key "$dir/conf/ssh_host_key" "$host"
    cp "$STATE/client/id_ed25519.pub" "$dir/conf/authorized_keys"
    make_host_tls "$host"
    # on the host's side a group for its containers, so that their cgroups can be found and removed
    cat >"$dir/etc-docker/daemon.json" <<JSON
{"exec-opts": ["native.cgroupdriver=cgroupfs"],
 "cgroup-parent": "/$FLEET_NAME/$host", "shutdown-timeout": 2}
JSON
    cat >"$dir/conf/sshd_base" <<CONF
ListenAddress 0.0.0.0
HostKey /etc/fleet/ssh_host_key
AuthorizedKeysFile /etc/fleet/authorized_keys
PidFile /run/sshd.pid
LogLevel VERBOSE
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
Subsystem sftp internal-sftp
CONF
}

start_host() {
    local host=$1 dir=$STATE/$1
    make_disk "$host"
    make_network "$host"
    rm -f "$dir/pid" "$dir/conf/ready" "$dir/off"
    nsenter --net="/run/netns/$(netns "$host")" -- setsid -f \
        unshare -m -u -i -p --fork --kill-child \
        bash "$here/lib/init.sh" "$dir" "$host" "$CACHE" \
        </dev/null >"$dir/init.log" 2>&1 9>&-
    until_true 60 "$host's init (see $dir/init.log)" test -e "$dir/conf/ready"
    furnish "$host"
    start_engine "$host"
    start_sshd "$host"
}

# The options come first: for sshd the first value of a keyword counts.
write_sshd_config() {
    local host=$1 conf=$STATE/$1/conf
    cat "$conf/sshd_options" "$conf/sshd_base" 2>/dev/null >"$conf/sshd_config" || true
    # newer servers shut out an address after failed logins; the tests fail logins on purpose
    if inside "$host" /usr/sbin/sshd -t -f /etc/fleet/sshd_config -o PerSourcePenalties=no 2>/dev/null; then
        echo 'PerSourcePenalties no' >>"$conf/sshd_config"
    fi
}

start_sshd() {
    local host=$1 dir=$STATE/$1 pidfile
    pidfile=/proc/$(init_pid "$host")/root/run/sshd.pid
    write_sshd_config "$host"
    rm -f "$pidfile"
    inside "$host" setsid -f /usr/sbin/sshd -D -e -f /etc/fleet/sshd_config </dev/null >>"$dir/sshd.log" 2>&1 9>&-
    # written once it listens: no need to knock, which would show in its log
    until_true 60 "$host's sshd (see $dir/sshd.log)" test -s "$pidfile"
}

stop_sshd() {
    local pid
    for pid in $(listener "$1"); do
        kill -KILL "$pid" 2>/dev/null || true
        until_true 30 "the end of $1's sshd" gone "$pid"
    done
}

restart_sshd() {
    stop_sshd "$1"
    start_sshd "$1"
}

write_client_files() {
    local dir=$STATE/client host key
    : >"$dir/known_hosts.new"
    : >"$dir/ssh_config.new"
    echo 'hosts:' >"$dir/hosts.yml.new"
    for host in $(known_hosts_list); do
        key=$STATE/$host/conf/ssh_host_key
        [[ -f $key.true.pub ]] && key=$key.true
        echo "$(address "$host") $(cut -d' ' -f1,2 "$key.pub")" >>"$dir/known_hosts.new"
        printf 'Host %s\n    HostName %s\n    User ops\n\n' "$host" "$(address "$host")" >>"$dir/ssh_config.new"
        printf '  %s:\n    hostname: %s\n    user: ops\n    tags: [fleet]\n' \
            "$host" "$(address "$host")" >>"$dir/hosts.yml.new"
    done
    cat >>"$dir/ssh_config.new" <<CONF
Host *
    UserKnownHostsFile $dir/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    IdentityFile $dir/id_ed25519
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
CONF
    for key in known_hosts ssh_config hosts.yml; do mv "$dir/$key.new" "$dir/$key"; done
}

# The link goes first, or the dying host's kernel would say goodbye on its connections.
cut_power() {
    local host=$1 pid
    ip link set "$(link "$host")" down 2>/dev/null || true
    pid=$(init_pid "$host") || true
    if [[ -n $pid ]] && alive "$host"; then
        kill -KILL "$pid" 2>/dev/null || true
        until_true 60 "the end of $host" gone "$pid"
    fi
    kill_strays "$host"
    remove_network "$host"
    rm -f "$STATE/$host/pid"
}

# Whatever is in the host's network yet (a command that entered from outside), and the
# parents of inits that no pid file names.
strays() {
    local host=$1 space pid
    if [[ -e /run/netns/$(netns "$host") ]]; then
        space=$(stat -Lc %i "/run/netns/$(netns "$host")")
        find /proc/[0-9]*/ns/net -maxdepth 0 -lname "net:\\[$space\\]" 2>/dev/null | cut -d/ -f3
    fi
    for pid in $(pgrep -f -- "init\.sh $STATE/$host $host " || true); do
        [[ $pid == "$$" ]] || echo "$pid"
    done
}

kill_strays() {
    local pid
    for pid in $(strays "$1" | sort -u); do
        kill -KILL "$pid" 2>/dev/null || true
        until_true 60 "the end of process $pid" gone "$pid"
    done
}

remove_host() {
    cut_power "$1"
    [[ $(engine_kind "$1") != podman ]] || remove_podman_cgroups
    rm -rf --one-file-system "${STATE:?}/$1"
    remove_cgroups "$FLEET_NAME/$1"
}

# A dead container's cgroup is an empty directory, one per controller.
remove_cgroups() {
    local mount
    for mount in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [[ ! -d $mount/$1 ]] || find "$mount/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

# Hosts whose state outlived them (the machine went down, the tests were killed) are made
# anew; a host that was powered off on purpose only boots.
sweep_leftovers() {
    local host
    for host in $(known_hosts_list); do
        alive "$host" || [[ -e $STATE/$host/off ]] || remove_host "$host"
    done
    sweep_strays
}

# Namespaces, links and processes that bear the fleet's name and belong to no state.
sweep_strays() {
    local name host
    for name in $({ ls /run/netns 2>/dev/null; ls /sys/class/net; } | grep -x "$FLEET_NAME-h[0-9]*" | sort -u); do
        host=${name#"$FLEET_NAME-"}
        alive "$host" || cut_power "$host"
    done
    for host in $(pgrep -af -- "init\.sh $STATE/h[0-9]+ " | grep -o "init\.sh $STATE/h[0-9]*" | sed 's|.*/||' | sort -u); do
        alive "$host" || kill_strays "$host"
    done
}
