#!/usr/bin/env bash
# Runs a command, such as `make test`, on another release of Debian with its
# PostgreSQL: in a root file system and namespaces of its own, at full speed, with
# this checkout, this machine's Go and the servers of all versions that it has. What the tests need is installed there by
# setup.sh, before the network is taken away. ZFS is zfs-fuse, one of its own.
# usage: elsewhere.sh SUITE COMMAND [ARGUMENT]..., as root; SUITE is trixie
# (PostgreSQL 17) or bookworm (15).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

die() { echo "elsewhere: $*" >&2; exit 1; }

(($# >= 2)) || die "want a suite and a command: elsewhere.sh trixie make test"
[[ $(id -u) == 0 ]] || die "run this as root: it makes a root file system"
suite=$1
shift
checkout=$(cd "$(dirname "$0")/.." && pwd)
goroot=$(go env GOROOT) modules=$(go env GOMODCACHE)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/zreconcile
root=$cache/elsewhere/$suite-$(sha256sum "$0" "$checkout/e2e/setup.sh" | sha256sum | cut -c1-12)

# inside runs a script in the root: inside FLAGS SCRIPT [ARGUMENT]...; the flags
# are unshare's. All mounts are in a namespace that ends with it; copies of
# this machine's mounts there would keep its pools busy: they are taken away, and what
# comes later goes with the original.
inside() {
	local flags=$1 script=$2
	shift 2
	# shellcheck disable=SC2086 # flags are several words
	unshare --mount --propagation slave --pid --fork --kill-child $flags bash -euo pipefail -c '
		root=$1 checkout=$2 goroot=$3 modules=$4 script=$5
		shift 5
		findmnt --raw --noheadings --types zfs,fuse --output TARGET | while read -r mounted; do umount -l "$mounted"; done || true
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		for dir in run tmp; do mount -t tmpfs -o mode=755 "$dir" "$root/$dir"; done
		chmod 1777 "$root/tmp"
		mkdir "$root/run/lock" # /var/lock leads there
		for dir in "$checkout" "$goroot" "$modules" /var/cache/zreconcile; do
			mkdir -p "$dir"
			mkdir -p "$root$dir"
			mount --bind "$dir" "$root$dir"
		done
		# As a child: the first process of the namespace has to wait for orphans, and a
		# shell does.
		chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 TERM=dumb CI="${CI-}" GOMODCACHE="$modules" GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" \
			PATH="$goroot/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" bash -euo pipefail -c "$script" elsewhere "$checkout" "$@" || exit
	' elsewhere "$root" "$checkout" "$goroot" "$modules" "$script" "$@"
}

mkdir -p "${root%/*}"
exec 9>"${root%/*}/lock"
flock 9 # who comes second finds it made
made=
command -v mmdebstrap >/dev/null || "$checkout/e2e/setup.sh" vm
if [[ ! -e $root/made ]]; then
	rm -rf --one-file-system "$root"
	unshare --mount --propagation slave mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make,gcc,libc6-dev,python3 "$suite" "$root"
	cp /etc/resolv.conf "$root/etc/"
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # whom this machine trusts, its Go proxy for one
	! command -v promtool >/dev/null || cp "$(command -v promtool)" "$root/usr/local/bin/" # Debian 13 has none, and it takes minutes to build
	inside '' 'cd "$1" && ./e2e/setup.sh tests && make deb DIST=/tmp/deb' # which brings what makes packages
	touch "$root/made"
	made=yes
fi
exec 8<"$root"
flock --shared 8 # until all that runs there has ended
if [[ $made ]]; then
	# Older recipes of the suite are of no more use, but to a run that is at work
	# there: its mounts can't be seen from here.
	for old in "${root%/*}/$suite"-*; do
		[[ $old == "$root" ]] || flock --nonblock --conflict-exit-code 0 "$old" rm -rf --one-file-system "$old"
	done
fi
exec 9>&-
# Ports are its own: other tests may run on this machine.
inside '--net' 'ip link set lo up 2>/dev/null || busybox ip link set lo up; cd "$1"; shift; exec "$@"' "$@"
