#!/usr/bin/env bash
# The first process of a fleet host: makes the host's view of the machine, then only waits
# and adopts orphans. Run by hosts.sh inside fresh namespaces: init.sh DIR NAME CACHE

set -euo pipefail
dir=$1 name=$2 cache=$3
root=$dir/root

# /proc is still the machine's here, so this is the number others know this process by
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/pid"

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
mkdir -p "$root"/{.machine,etc/{fleet,docker},var/lib/{docker,docker-26,containers},opt/docker-26,usr/local/lib/docker/cli-plugins}
# real directories: the engine's own overlays cannot stand on an overlay, and the
# configuration must be writable from outside, also while the host is off
mount --bind "$dir/docker" "$root/var/lib/docker"
mount --bind "$dir/docker-26" "$root/var/lib/docker-26"
mount --bind "$dir/containers" "$root/var/lib/containers"
mount --bind "$dir/etc-docker" "$root/etc/docker"
mount --bind "$dir/conf" "$root/etc/fleet"
mount --bind "$cache/plugins" "$root/usr/local/lib/docker/cli-plugins"
# filled when it is first wanted, perhaps after this
mount --bind "$cache/engines/docker-26" "$root/opt/docker-26"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

# leave the machine's root behind, or its mounts would stay pinned in here
cd "$root"
pivot_root . .machine
umount -l /.machine
cd /

echo "$name" >/proc/sys/kernel/hostname
echo "$name" >/etc/hostname
# sudo looks its host up, and would wait long for a name server that no host can reach
grep -q " $name\$" /etc/hosts || echo "127.0.1.1 $name" >>/etc/hosts
mkdir -p /run/sshd /run/lock

# '*' and not '!': sshd calls the latter a locked account
add_user() {
    local user=$1 uid=$2
    if ! grep -q "^$user:" /etc/passwd; then
        echo "$user:x:$uid:$uid::/home/$user:/bin/sh" >>/etc/passwd
        echo "$user:x:$uid:" >>/etc/group
        echo "$user:*:19000:0:99999:7:::" >>/etc/shadow
    fi
    mkdir -p "/home/$user"
    chown "$uid:$uid" "/home/$user"
}
add_user ops 2001
add_user guest 2002
grep -q '^docker:' /etc/group || echo 'docker:x:2000:' >>/etc/group
grep -q '^docker:.*ops' /etc/group || sed -i '/^docker:/{s/:$/:ops/;/:ops$/!s/$/,ops/}' /etc/group

: >/etc/fleet/ready
exec </dev/null >/dev/null 2>&1
while :; do
    sleep infinity &
    wait $! || true
done
