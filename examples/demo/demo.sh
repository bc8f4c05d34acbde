#!/usr/bin/env bash
# The main job on one machine: a primary with pgbench data, a standby of it on
# ZFS, a table dropped by mistake, and its rows back a moment later.
#
#   demo.sh up     from nothing to the restored rows; again, it goes on from there
#   demo.sh down   leaves nothing of it
#
# It runs as root and touches only the pool zrdemo, the folder $STATE and the
# servers in there ($ZRECONCILE_DEMO, if set: a short path, since sockets stand below it).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # su leaves them out

STATE=${ZRECONCILE_DEMO:-/var/tmp/zreconcile-demo}
POOL=zrdemo
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$STATE/bin/zreconcile
site=$STATE/site.yaml

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '   %s\n' "$*"; }
# shown prints a command as a person would type it, and runs it.
shown() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; "$@"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

[[ $(id -u) == 0 ]] || die "run this as root: it makes a pool and starts servers as the user postgres"

as_postgres() { (cd "$STATE" && runuser -u postgres -- "$@"); }

bindir() {
	local all
	all=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -t/ -k5n | tail -1) || die "no PostgreSQL server below /usr/lib/postgresql"
	dirname "$all"
}

# free_port prints a port that nobody listens on and that is not among the arguments.
free_port() {
	local port
	for port in {25432..25999}; do
		[[ " $* " == *" $port "* ]] && continue
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	die "no free port between 25432 and 25999"
}

# ours says whether the pool is on our own file.
ours() { timeout 60 zpool status "$POOL" 2>/dev/null | grep -F "$STATE/disk.img" >/dev/null; }

psql_primary() { as_postgres "$bin/psql" -h "$STATE/primary" -p "$PRIMARY_PORT" -qAtX -v ON_ERROR_STOP=1 "$@" postgres; }
psql_standby() { as_postgres "$bin/psql" -h "$STATE/run" -p "$STANDBY_PORT" -qAtX -v ON_ERROR_STOP=1 "$@" postgres; }

prepare() {
	"$root/e2e/setup.sh"
	bin=$(bindir)
	if zpool list "$POOL" >/dev/null 2>&1 && ! ours; then
		die "a pool called $POOL exists and is not this demo's; it is left alone"
	fi
	mkdir -p "$STATE/bin"
	chmod 755 "$STATE" "$STATE/bin"
	if ! cmp -s "$root/bin/zreconcile" "$program"; then
		install -m 755 "$root/bin/zreconcile" "$program.new"
		mv "$program.new" "$program"
	fi
	if [[ ! -s $STATE/ports ]]; then
		local p s r
		p=$(free_port); s=$(free_port "$p"); r=$(free_port "$p" "$s")
		printf 'PRIMARY_PORT=%s\nSTANDBY_PORT=%s\nRESTORE_PORT=%s\n' "$p" "$s" "$r" >"$STATE/ports"
	fi
	# shellcheck source=/dev/null
	source "$STATE/ports"
	[[ -e $STATE/disk.img ]] || truncate -s 4G "$STATE/disk.img"
	if [[ ! -s $STATE/primary.password ]]; then
		(umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$STATE/primary.password")
	fi
	sed -e '1,2d' -e "s|@STATE@|$STATE|g; s|@PRIMARY_PORT@|$PRIMARY_PORT|; s|@STANDBY_PORT@|$STANDBY_PORT|" \
		"$here/site.yaml.in" >"$site"
}

start_primary() {
	local dir=$STATE/primary
	if [[ ! -s $dir/ready ]]; then
		stop_server "$dir/data"
		rm -rf "$dir"
		install -d -o postgres -g postgres -m 755 "$dir"
		as_postgres "$bin/initdb" -D "$dir/data" -N -k --auth-local=peer --auth-host=scram-sha-256 >/dev/null
		cat >>"$dir/data/postgresql.conf" <<-END
			port = $PRIMARY_PORT
			listen_addresses = '127.0.0.1'
			unix_socket_directories = '$dir'
			shared_buffers = 32MB
			wal_keep_size = 256MB
		END
	fi
	if ! as_postgres "$bin/pg_ctl" status -D "$dir/data" >/dev/null; then
		as_postgres "$bin/pg_ctl" start -w -D "$dir/data" -l "$dir/log" >/dev/null || { tail -20 "$dir/log" >&2; die "the primary does not start"; }
	fi
	if [[ ! -s $dir/ready ]]; then
		# Over stdin: an argument list is everybody's to read.
		printf "CREATE ROLE replicator LOGIN REPLICATION PASSWORD '%s';\n" "$(cat "$STATE/primary.password")" | psql_primary
		as_postgres "$bin/pgbench" -h "$dir" -p "$PRIMARY_PORT" -i -s 2 -q postgres 2>/dev/null
		echo yes >"$dir/ready"
	fi
}

rows='SELECT count(*) || $$ rows, balance $$ || sum(abalance) FROM pgbench_accounts'

up() {
	[[ -x $root/bin/zreconcile ]] || die "bin/zreconcile is missing: run make build"

	title "1. A primary with pgbench data, in $STATE/primary"
	prepare
	start_primary
	if [[ $(psql_primary -c "SELECT to_regclass('pgbench_accounts') IS NULL") == t ]]; then
		note "The table was dropped by an earlier run: making it anew."
		as_postgres "$bin/pgbench" -h "$STATE/primary" -p "$PRIMARY_PORT" -i -s 2 -q postgres 2>/dev/null
	fi
	note "It listens on 127.0.0.1:$PRIMARY_PORT."

	title "2. One file says what this host is to be: $site"
	shown cat "$site"
	title "3. What would be done"
	shown "$program" plan -f "$site"
	title "4. Do it: pool, datasets, base backup, standby, first snapshot"
	shown "$program" apply -f "$site"
	title "5. Again: nothing is left to do"
	shown "$program" plan -f "$site"

	title "6. Work goes on at the primary, then somebody drops a table"
	as_postgres "$bin/pgbench" -h "$STATE/primary" -p "$PRIMARY_PORT" -c 2 -t 200 -n postgres 2>/dev/null | grep 'actually processed' || true
	local before moment lsn
	before=$(psql_primary -c "$rows")
	note "Before: $before"
	moment=$(psql_primary -c "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')")
	printf '%spostgres=# DROP TABLE pgbench_accounts;%s\n' "$dim" "$plain"
	psql_primary -c "DROP TABLE pgbench_accounts"
	lsn=$(psql_primary -c "SELECT pg_current_wal_insert_lsn()")
	local tries=0
	until [[ $(psql_standby -c "SELECT coalesce(pg_last_wal_replay_lsn() >= '$lsn', false)" 2>/dev/null) == t ]]; do
		((++tries < 600)) || die "the standby does not follow; see $program status -f $site"
		sleep 0.1
	done
	note "The standby has followed: the table is gone there, too."

	title "7. Declare a restore to just before"
	cat >>"$site" <<-END

		restores:
		  - name: before-drop
		    target: {time: "$moment"}
		    port: $RESTORE_PORT
	END
	shown tail -5 "$site"
	shown "$program" plan -f "$site"
	shown "$program" apply -f "$site"

	title "8. The rows"
	local after connect
	shown "$program" status -f "$site"
	connect=$("$program" status -f "$site" -o json | sed -n 's/.*"connect": *"\(host=[^"]*port='"$RESTORE_PORT"'[^"]*\)".*/\1/p' | head -1)
	[[ $connect ]] || die "status names no way to connect to the restore"
	after=$(as_postgres "$bin/psql" -qAtX -c "$rows" "$connect user=postgres dbname=postgres")
	note "Before:   $before"
	note "Restored: $after"
	[[ $before == "$after" ]] || die "the rows differ"

	title "Look around"
	note "psql \"$connect user=postgres dbname=postgres\""
	note "$program status -f $site"
	note "zfs list -r -t all $POOL"
	note "The table back to the primary, which lets its superuser in over its socket only:"
	note "{ echo 'BEGIN;'; pg_dump --table=pgbench_accounts '$connect user=postgres dbname=postgres' && echo 'COMMIT;'; } | (cd / && runuser -u postgres -- psql --no-psqlrc --set=ON_ERROR_STOP=1 -h $STATE/primary -p $PRIMARY_PORT)"
	note "Take the restore out of $site and apply: it is gone, the standby stays."
	note "make demo-down leaves nothing."
}

# stop_server ends the server of a data directory; the second line of the pid
# file says whose it is, since a clone carries another's.
stop_server() {
	local pidfile=$1/postmaster.pid pid
	[[ -s $pidfile && $(sed -n 2p "$pidfile") == "$1" ]] || return 0
	pid=$(head -1 "$pidfile")
	kill -INT "$pid" 2>/dev/null || return 0
	for _ in {1..300}; do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	die "the server $pid in $1 does not stop"
}

# stop_programs ends a watch that somebody started with the demo's program.
stop_programs() {
	local exe pid
	for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe" 2>/dev/null) == "$program"* ]] || continue
		pid=${exe#/proc/}
		kill "${pid%/exe}" 2>/dev/null || true
	done
}

# destroy_pool stops the servers on the pool, then destroys it. Without -f: a
# mount that is still busy is to be waited for, not torn away.
destroy_pool() {
	local dir mounts
	mounts=$(zfs list -H -r -t filesystem -o mountpoint "$POOL")
	while read -r dir; do
		if [[ $dir == /* ]]; then stop_server "$dir/pgdata"; fi
	done <<<"$mounts"
	for _ in {1..150}; do
		zpool destroy "$POOL" 2>/dev/null && break
		sleep 0.2
	done
	if ours; then
		zpool destroy "$POOL" # once more, for its own words
	fi
	# The folder of the pool's own mountpoint, where nobody put anything into it.
	if [[ -d /$POOL ]]; then find "/$POOL" -depth -type d -empty -delete; fi
}

down() {
	local dir
	stop_programs
	if command -v zpool >/dev/null && ours; then
		destroy_pool
	fi
	stop_server "$STATE/primary/data"
	if [[ -e $STATE/ports ]]; then # a folder that prepare made
		rm -rf "$STATE"
		rm -rf "/run/zreconcile/$POOL" "/run/zreconcile/$POOL.lock" "/var/lib/zreconcile/$POOL" "/var/log/zreconcile/$POOL"
		for dir in /run/zreconcile /var/lib/zreconcile /var/log/zreconcile; do
			rmdir "$dir" 2>/dev/null || true # another site's stay
		done
	fi
	printf 'demo: nothing is left, but for the packages that were installed\n'
}

case ${1:-} in
up) up ;;
down) down ;;
*) die "usage: demo.sh up | down" ;;
esac
