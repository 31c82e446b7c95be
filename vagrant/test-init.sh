#!/bin/bash
# First process of a machine of test.sh, in its namespaces already: mounts, a name, then systemd.
#
#   test-init.sh NAME FOLDER TREE DIST
set -euo pipefail

name=$1 folder=$2 tree=$3 dist=$4
root=$folder/root

mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/data"
mkdir "$folder/data/upper" "$folder/data/work"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/data/upper,workdir=$folder/data/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for stream in 0 1 2; do ln -s "/proc/self/fd/$stream" "$root/dev/fd$stream"; done
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/opt/remuda"
mount --bind "$dist" "$root/opt/remuda"

hostname "$name"
echo "$name" >"$root/etc/hostname"
: >"$root/etc/machine-id"
# Nothing here has a console, a disk of its own or a kernel to set up.
for unit in getty@.service console-getty.service systemd-udevd.service systemd-networkd-wait-online.service \
    systemd-remount-fs.service sys-kernel-debug.mount sys-kernel-tracing.mount systemd-sysctl.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
export container=remuda-test
exec /lib/systemd/systemd --log-target=journal
