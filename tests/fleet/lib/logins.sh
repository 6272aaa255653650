# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# Logins that may less, or more, than usual.

on_or_off() {
    [[ $1 == on || $1 == off ]] || die 2 "say on or off; got: '$1'"
}

# The fleet's key then gives no shell, whatever the client asks for. sshd reads the file at
# every login: no restart.
verb_forced_command() {
    local host=$1 keys
    on_or_off "${2:-}"
    keys=$(keys_of "$host")
    {
        [[ $2 == off ]] || printf 'command="docker system dial-stdio",restrict '
        cat "$STATE/client/id_ed25519.pub"
    } >"$keys.new"
    mv "$keys.new" "$keys"
}

has_forced_command() { grep -q '^command=' "$(keys_of "$1")"; }

# Where the fleet's key is, also while it is taken away.
keys_of() {
    local keys=$STATE/$1/conf/authorized_keys
    [[ ! -e $keys.true ]] || keys+=.true
    echo "$keys"
}

# Lets guest, who may not open the engine's socket, run docker as root.
verb_sudo() {
    local host=$1
    need_alive "$host"
    on_or_off "${2:-}"
    rm -f "$(sudo_rule "$host")"
    [[ $2 == on ]] || return 0
    echo 'guest ALL=(root) NOPASSWD: /usr/local/bin/docker, /usr/bin/docker' >"$(sudo_rule "$host")"
    # sudo reads no rule that others may write
    chmod 440 "$(sudo_rule "$host")"
    inside "$host" visudo -cq || die 1 "sudo does not understand its rule"
}

sudo_rule() { echo "/proc/$(init_pid "$1")/root/etc/sudoers.d/fleet"; }
