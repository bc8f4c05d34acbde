#!/usr/bin/env bash
# Builds the virtual machine's image from Debian's packages and prints the
# folder that it is in: vmlinuz, initrd, root.squashfs, versions. It is built
# again when its recipe (this file and image/) or the suite changes.
# usage: image.sh [SUITE], as root; SUITE is trixie (OpenZFS 2.3, PostgreSQL 17)
# unless given, or bookworm (2.1 and 15). Nothing of it is shipped: the kernel's
# licence and that of ZFS do not go together.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")"

suite=${1:-trixie}
case $suite in
trixie | bookworm) ;;
*) echo "image.sh: want trixie or bookworm, not $suite" >&2 && exit 1 ;;
esac
[[ $(id -u) == 0 ]] || { echo "image.sh: run this as root: it makes root file systems" >&2; exit 1; }

# mmdebstrap mounts /proc, /sys and parts of /dev of this system below what it
# makes. In a mount namespace of its own they are gone with this script, however
# it ends, and nothing that cleans up later can reach into them. A slave, so that
# what is unmounted outside meanwhile is not kept busy by a copy of its mount.
if [[ ! ${ZR_IMAGE_NAMESPACE-} ]]; then
	exec env ZR_IMAGE_NAMESPACE=yes unshare --mount --propagation slave "$PWD/image.sh" "$suite"
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/zreconcile/vm
key=$(cat image.sh image/* | sha256sum)
out=$cache/$suite-${key:0:12}
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [[ -e $out/versions ]]; then
	echo "$out"
	exit
fi

say() { echo "image: $*" >&2; }
work=$(mktemp -d "$cache/build.XXXXXX")
# cleanup ends what still builds and takes the mounts away before the files.
cleanup() {
	local job
	for job in $(jobs -p); do kill "$job" 2>/dev/null && wait "$job" || true; done
	findmnt --raw --noheadings --output TARGET | grep -F "$work/" | sort -r | while read -r mounted; do umount -l "$mounted"; done || true
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
export TMPDIR=$work

# bootstrap FOLDER PACKAGES: the mirror is the one that this system takes.
bootstrap() {
	mmdebstrap --quiet --variant=minbase --components=main,contrib --aptopt='APT::Install-Recommends "false"' \
		--include="$2" "$suite" "$1" >"$1.log" 2>&1 || { tail -n 30 "$1.log" >&2; return 1; }
}

say "building $suite: two root file systems, and the ZFS module for the kernel (some minutes)"
bootstrap "$work/builder" linux-image-cloud-amd64,linux-headers-cloud-amd64,zfs-dkms,dkms,kmod,xz-utils,zstd &
builder=$!
bootstrap "$work/root" zfsutils-linux,postgresql,ssl-cert,systemd-sysv,udev,dbus,kmod,iproute2,procps,busybox-static,sudo,e2fsprogs,fdisk,mount,util-linux,ca-certificates,man-db,jq,curl
wait "$builder"

unset TMPDIR # not there for what runs in a root
root=$work/root builder=$work/builder
kernel=$(basename "$builder"/lib/modules/*)
[[ $(find "$builder/lib/modules/$kernel" -name 'zfs.ko*') ]] || { say "dkms made no zfs module:"; tail -n 30 "$builder.log" >&2; exit 1; }

say "kernel $kernel: taking out what no test needs"
rm -rf "$root"/usr/lib/llvm* "$root"/usr/lib/*/libLLVM* "$root"/usr/lib/postgresql/*/lib/{bitcode,llvmjit*} \
	"$root"/usr/share/{doc,locale}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*

# The modules that the machine has a use for, with what they need.
modules=$root/lib/modules/$kernel
mkdir -p "$modules"
cp "$builder/lib/modules/$kernel"/modules.{order,builtin,builtin.modinfo} "$modules/"
(cd "$builder/lib/modules/$kernel" && find . -type f -name '*.ko*' | grep -E \
	'/(zfs|spl|znvpair|zcommon|zavl|icp|zlua|zunicode|zzstd|overlay|squashfs|loop|ext4|jbd2|mbcache|crc[^/]*|libcrc[^/]*|failover|net_failover|dm-mod|autofs4|zstd[^/]*|lz4[^/]*|xxhash[^/]*|efivarfs|unix|brd)\.ko|/virtio|virtio[^/]*\.ko') |
	while read -r module; do install -D -m 644 "$builder/lib/modules/$kernel/$module" "$modules/$module"; done
chroot "$root" depmod "$kernel"

say "initial file system"
early=$work/early
mkdir -p "$early"/{bin,proc,sys,dev,mnt/low,mnt/rw,newroot,lib/modules}
cp "$root/usr/bin/busybox" "$early/bin/"
for applet in sh mount insmod mkdir switch_root sleep cat; do ln -s busybox "$early/bin/$applet"; done
for module in virtio_pci virtio_blk virtio_console squashfs overlay ext4; do
	chroot "$root" modprobe -S "$kernel" --show-depends "$module" | sed -n 's/^insmod //p'
done | tr -d ' ' | awk '!seen[$0]++' | while read -r module; do
	name=$(basename "$module" | sed 's/\.\(xz\|zst\)$//')
	case $module in
	*.xz) xz -dc "$root$module" ;;
	*.zst) zstd -qdc "$root$module" ;;
	*) cat "$root$module" ;;
	esac >"$early/lib/modules/$name"
	echo "$name" >>"$early/modules"
done
install -m 755 image/init "$early/init"
(cd "$early" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd"

say "root file system"
install -m 644 image/zr-agent.service "$root/etc/systemd/system/"
install -m 755 image/zr-agent "$root/usr/local/sbin/"
chroot "$root" systemctl --quiet enable zr-agent.service
echo vm >"$root/etc/hostname"
echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
mkdir -p "$root"/etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\n' >"$root/etc/systemd/journald.conf.d/persistent.conf"
# The cluster of Debian's package must not run: the tests make their own.
chroot "$root" sh -c 'for c in /etc/postgresql/*/main; do [ ! -e "$c" ] || pg_dropcluster "$(basename "$(dirname "$c")")" main; done'
chroot "$root" systemctl --quiet mask postgresql.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer \
	proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-timesyncd.service man-db.timer dpkg-db-backup.timer fstrim.timer
chroot "$root" passwd --quiet --delete root
chroot "$root" dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\n' zfsutils-linux systemd 'postgresql-[0-9]*' | sed -n 's/^ii *//p' >"$work/versions"
echo "kernel $kernel" >>"$work/versions"
mksquashfs "$root" "$work/root.squashfs" -comp zstd -Xcompression-level 6 -no-xattrs -noappend -quiet -no-progress -wildcards -e 'proc/*' 'sys/*' 'dev/*' >&2

mkdir -p "$out"
cp "$builder/boot/vmlinuz-$kernel" "$out/vmlinuz"
mv "$work/initrd" "$work/root.squashfs" "$out/"
mv "$work/versions" "$out/versions" # last: this says that all is there
# Older recipes of the suite are of no more use.
find "$cache" -mindepth 1 -maxdepth 1 -type d -name "$suite-*" ! -path "$out" -exec rm -rf --one-file-system {} +
echo "$out"
