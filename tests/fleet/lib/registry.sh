# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# A registry on a host's loopback, port 5000, which its engine takes without TLS. What it holds goes with it.

REGISTRY=127.0.0.1:5000

verb_registry() {
    local host=$1
    need_alive "$host"
    on_or_off "${2:-}"
    stop_registry "$host"
    [[ $2 == on ]] || return 0
    cat >"$STATE/$host/conf/registry.yml" <<CONF
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: $REGISTRY}
CONF
    inside "$host" setsid -f docker-registry serve /etc/fleet/registry.yml \
        </dev/null >>"$STATE/$host/registry.log" 2>&1 9>&-
    until_true 30 "$host's registry (see $STATE/$host/registry.log)" registry_answers "$host"
}

registry_answers() { inside "$1" curl -sf -o /dev/null "http://$REGISTRY/v2/"; }

stop_registry() {
    local pid
    pid=$(registry_of "$1")
    if [[ -n $pid ]]; then
        inside "$1" kill -KILL "$pid"
        until_true 60 "the end of $1's registry" no_registry "$1"
    fi
    inside "$1" rm -rf /var/lib/registry
}

# Its process, as the host numbers it.
registry_of() { inside "$1" pgrep -o -x docker-registry || true; }
no_registry() { [[ -z $(registry_of "$1") ]]; }
