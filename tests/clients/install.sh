#!/usr/bin/env bash
#
# install.sh: the two Python MCP clients the tests speak through, each in an environment of its
# own below ${DOCKMASTER_CLIENTS:-target/clients}: v2 (both eras of the protocol) and v1 (the
# era before 2026-07-28). A second run finds them and needs no network.
#
#   install.sh          both; prints the directory
#   install.sh v2       only that one
#
# Exit 3: this machine lacks python3 >= 3.10 with venv.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clients=${DOCKMASTER_CLIENTS:-$here/../../target/clients}
declare -A WANTED=(
    [v2]="mcp==2.3.0 jsonschema==4.26.0"
    [v1]="mcp==1.30.0 jsonschema==4.26.0"
)

die() {
    local code=$1
    shift
    echo "clients: $*" >&2
    exit "$code"
}

need_python() {
    command -v python3 >/dev/null || die 3 "python3 is missing: install python3 and python3-venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die 3 "python3 is $(python3 -V 2>&1 | cut -d' ' -f2): 3.10 or newer is needed"
    # Debian keeps ensurepip in a package of its own
    python3 -c 'import venv, ensurepip' 2>/dev/null || die 3 "python3 has no venv: install python3-venv"
}

# The stamp is written last: an environment that was made halfway has none. It holds the place
# as well, for an environment does not work where it was moved to.
stamp_of() { echo "${WANTED[$1]} in $clients/$1 for $(python3 -V 2>&1)"; }

make() {
    local name=$1 dir=$clients/$1
    [[ $(cat "$dir/stamp" 2>/dev/null) != "$(stamp_of "$name")" ]] || return 0
    echo "clients: installing ${WANTED[$name]} into $dir" >&2
    rm -rf "$dir"
    python3 -m venv "$dir"
    # shellcheck disable=SC2086 # a list of requirements
    "$dir/bin/python" -m pip install -q --disable-pip-version-check ${WANTED[$name]} >&2 ||
        die 1 "pip could not install ${WANTED[$name]}"
    stamp_of "$name" >"$dir/stamp"
}

need_python
mkdir -p "$clients"
clients=$(cd "$clients" && pwd)
# two runs at once would make the same directory
exec 9>"$clients/lock"
flock -w 300 9 || die 1 "another install.sh has held $clients/lock for five minutes"
(($#)) || set -- v2 v1
for name in "$@"; do
    [[ -n ${WANTED[$name]:-} ]] || die 2 "no such client: $name (there are v1 and v2)"
    make "$name"
done
echo "$clients"
