#!/usr/bin/env bash
# Makes this machine fit for the build, the tests and the demo: a ZFS that
# works, a PostgreSQL server, and the few programs they use; with the argument
# "tests" also for what only tests use. It installs only what is missing, so
# that a machine that has everything needs no network, and starts zfs-fuse only
# where nothing answers zpool.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # su leaves them out

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 0 || $* == tests ]] || die "want no argument, or: tests"
[[ $(id -u) == 0 ]] || die "run this as root: pools are made and servers started as other users"

updated=
know_packages() {
	command -v apt-get >/dev/null || die "missing: $*; install them by hand, since there is no apt-get here"
	say "installing $*"
	[[ $updated ]] || apt-get update -qq >&2 || die "apt-get update failed"
	updated=yes
}

install() {
	know_packages "$@"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
		die "apt-get could not install $*"
}

# One server with all its programs; what the packages put into PATH are wrappers.
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

# install_postgres installs the server without the cluster that Debian would
# make of it and start on port 5432.
install_postgres() {
	local no_cluster=/etc/postgresql-common/createcluster.d/zreconcile-setup.conf
	install postgresql-common
	mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = off' >"$no_cluster"
	install postgresql
	rm -f "$no_cluster"
}

# install_alone takes one program out of a package that would bring a service
# along, started at once, and much else: install_alone PACKAGE PATH.
install_alone() {
	know_packages "$1"
	local dir
	dir=$(mktemp -d)
	(cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root "$1" >&2) || die "apt-get could not download $1"
	dpkg-deb --fsys-tarfile "$dir"/*.deb | tar -x -C "$dir" "./$2" || die "the package $1 has no $2"
	cp "$dir/$2" /usr/local/bin/
	rm -rf "$dir"
}

# A daemon that hangs must not hang those who ask.
zfs_works() { timeout 20 zpool list >/dev/null 2>&1; }

# kernel_zfs says whether the kernel has ZFS, loading it where it can: Ubuntu's
# kernels bring the module, Debian's do not.
kernel_zfs() {
	[[ -e /dev/zfs ]] && return
	command -v modprobe >/dev/null && modprobe -q zfs && [[ -e /dev/zfs ]]
}

start_zfs_fuse() {
	[[ -e /dev/fuse ]] || { command -v modprobe >/dev/null && modprobe -q fuse; } || true
	[[ -e /dev/fuse ]] || mknod /dev/fuse c 10 229
	mkdir -p /var/run/zfs /var/lock/zfs
	say "starting zfs-fuse, since this kernel has no ZFS"
	setsid zfs-fuse --no-daemon </dev/null >/var/log/zfs-fuse.log 2>&1 &
	for _ in {1..100}; do
		if zfs_works; then return; fi
		sleep 0.1
	done
}

command -v make >/dev/null || install make
command -v runuser >/dev/null || install util-linux
command -v mkfs.ext4 >/dev/null || install e2fsprogs
command -v losetup >/dev/null || install mount
have_postgres || install_postgres

if ! zfs_works; then
	if kernel_zfs; then
		command -v zpool >/dev/null || install zfsutils-linux
	else
		command -v zfs-fuse >/dev/null || install zfs-fuse
		zfs_works || start_zfs_fuse # the package may have started it
	fi
	zfs_works || die "zpool list does not answer: $(timeout 20 zpool list 2>&1 || echo "status $?")"
fi

# What only tests use, a line a program.
if [[ ${1-} == tests ]]; then
	command -v curl >/dev/null || install curl
	command -v promtool >/dev/null || install_alone prometheus usr/bin/promtool
	command -v ansible-playbook >/dev/null || install ansible-core
	command -v jq >/dev/null || install jq
	command -v systemd-analyze >/dev/null || install systemd
	command -v man >/dev/null || install man-db
	[[ -x /bin/busybox ]] || install busybox-static
fi
