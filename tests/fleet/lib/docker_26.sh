# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# A newer engine beside the installed one: Debian trixie's, unpacked into the cache.

DOCKER_26_FILES=(dockerd docker-proxy containerd containerd-shim-runc-v2)

has_docker_26() { [[ -x $CACHE/engines/docker-26/dockerd ]]; }

need_docker_26() {
    has_docker_26 && return
    take_lock
    fetch_docker_26
}

# The machine's own mirror and keys, another suite: with lists of its own, so that the machine
# never takes a package from there.
fetch_docker_26() {
    local work mirror file
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "main" && !/-security/ && !found++ { print $3 }')
    [[ -n $mirror ]] || die 1 "no docker-26: this machine's apt has no Debian mirror to get trixie's docker.io from"
    echo "fleet: fetching docker-26" >&2
    # one place, so that failures do not pile up
    work=$CACHE/engines/fetching
    rm -rf "$work"
    mkdir -p "$work"/{lists/partial,debs,all,new}
    # apt's downloader is a user of its own
    ! id -u _apt >/dev/null 2>&1 || chown -R _apt "$work/lists" "$work/debs"
    echo "deb [signed-by=$(debian_keys)] $mirror trixie main" >"$work/trixie.list"
    (
        cd "$work/debs" || exit
        other_apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null
            -o "Dir::State::Lists=$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
            -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none)
        "${other_apt[@]}" update
        "${other_apt[@]}" download docker.io containerd
    ) >&2
    for file in "$work"/debs/*.deb; do dpkg -x "$file" "$work/all"; done
    for file in "${DOCKER_26_FILES[@]}"; do
        install -m 755 "$(find "$work/all/usr" -name "$file" -type f)" "$work/new/$file"
    done
    "$work/new/dockerd" --version | grep -q 'version 26\.' ||
        die 1 "trixie's docker.io is no engine 26 that runs here: see $work/new"
    # dockerd last: it says that all are there
    mkdir -p "$CACHE/engines/docker-26"
    for file in containerd containerd-shim-runc-v2 docker-proxy dockerd; do
        mv "$work/new/$file" "$CACHE/engines/docker-26/$file"
    done
    rm -rf "$work"
}

debian_keys() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [[ -f $keys ]] || keys=${keys%.gpg}.pgp
    [[ -f $keys ]] || die 1 "no docker-26: the package debian-archive-keyring is missing"
    echo "$keys"
}
