#!/usr/bin/env bash
# Makes this machine fit for the tests and the demo: a ZFS that works, a
# PostgreSQL server, and the few programs they use. It installs only what is
# missing, so that a machine that has everything needs no network, and starts
# zfs-fuse only where nothing answers zfs.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

if [[ $(id -u) != 0 ]]; then
	say "run this as root: pools are made and servers started as other users"
	exit 1
fi

updated=
install() {
	command -v apt-get >/dev/null || { say "missing: $*; install them by hand, this is no Debian"; exit 1; }
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	[[ $updated ]] || apt-get update -qq
	updated=yes
	apt-get install -y -qq --no-install-recommends "$@" >&2
}

zfs_works() { zpool list >/dev/null 2>&1; }

# One server with all its programs; PATH of a package holds only the wrappers.
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

have_postgres || install postgresql
command -v mkfs.ext4 >/dev/null || install e2fsprogs
command -v runuser >/dev/null || install util-linux

if ! zfs_works; then
	if ! command -v zpool >/dev/null; then
		if [[ -e /dev/zfs ]]; then install zfsutils-linux; else install zfs-fuse; fi
	fi
	if ! zfs_works && [[ ! -e /dev/zfs ]] && command -v zfs-fuse >/dev/null; then
		[[ -e /dev/fuse ]] || mknod /dev/fuse c 10 229
		say "starting zfs-fuse, since this kernel has no ZFS"
		setsid zfs-fuse --no-daemon </dev/null >/var/log/zfs-fuse.log 2>&1 &
		for _ in {1..100}; do
			zfs_works && break
			sleep 0.1
		done
	fi
	zfs_works || { say "zpool list does not answer:"; zpool list >&2; exit 1; }
fi
