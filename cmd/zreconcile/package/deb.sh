#!/usr/bin/env bash
# Makes DIST/zreconcile_VERSION_ARCH.deb: deb.sh NFPM. The environment gives VERSION,
# as git describe says it, DIST and GOARCH; `make deb` calls it so. Of one commit it
# makes the same package, byte for byte.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../../.."
nfpm=$1

ARCH=${GOARCH:-$(go env GOARCH)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export ARCH SOURCE_DATE_EPOCH

# debian_version orders as git does (manual page deb-version): 1.2.0~rc.1 < 1.2.0
# < 1.2.0+5.gabc1234, and what has no tag comes before all that have one.
debian_version() {
	case $1 in
	v[0-9]*) sed -E 's/^v//; s/-dirty$/+dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/g' <<<"$1" ;;
	*) echo "0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${1//-/+}" ;;
	esac
}
mkdir -p "$DIST"
DIST=$(realpath "$DIST")
DEB_VERSION=$(debian_version "$VERSION")
STAGE=$DIST/deb-$ARCH
deb=$DIST/zreconcile_$DEB_VERSION-1_$ARCH.deb
doc=$STAGE/usr/share/doc/zreconcile
export DEB_VERSION STAGE

rm -rf "$STAGE"
mkdir -p "$STAGE/etc/zreconcile" "$STAGE/usr/share/man/man1" "$STAGE/usr/share/man/man5" "$doc/examples/prometheus" "$doc/examples/grafana"

GOARCH=$ARCH cmd/zreconcile/build.sh "$STAGE/usr/bin/zreconcile"
unset GOARCH # what follows runs here
install -D -m 644 -t "$STAGE/usr/lib/systemd/system" examples/systemd/*.service
install -D -m 644 -t "$STAGE/usr/share/zreconcile" schema/site.schema.json

go test ./cmd/zreconcile -run '^TestManualPages$' -count=1 -args -man="$STAGE/usr/share/man/man1" >&2
mv "$STAGE"/usr/share/man/man1/*.5 "$STAGE/usr/share/man/man5/"
find "$STAGE/usr/share/man" -type f -exec gzip -9n {} +

native=$STAGE/usr/bin/zreconcile
if [[ $ARCH != "$(go env GOHOSTARCH)" ]]; then
	native=$DIST/zreconcile-native
	go build -o "$native" ./cmd/zreconcile
fi
completion() { "$native" completion "$1" | install -D -m 644 /dev/stdin "$STAGE/usr/share/$2"; }
completion bash bash-completion/completions/zreconcile
completion zsh zsh/vendor-completions/_zreconcile
completion fish fish/vendor_completions.d/zreconcile.fish

install -m 644 examples/*.yaml "$doc/examples/"
install -m 644 examples/prometheus/alerts.yaml "$doc/examples/prometheus/"
install -m 644 examples/grafana/zreconcile.json "$doc/examples/grafana/"
install -m 644 cmd/zreconcile/package/copyright "$doc/"
install -D -m 644 cmd/zreconcile/package/lintian-overrides "$STAGE/usr/share/lintian/overrides/zreconcile"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
{
	printf 'zreconcile (%s-1) stable; urgency=medium\n\n  * zreconcile %s; what is new is in changelog.gz.\n\n' "$DEB_VERSION" "$VERSION"
	printf ' -- The zreconcile authors <zreconcile@users.noreply.github.com>  %s\n' "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.Debian.gz"

# The licenses of what the program is made of, Go's own first.
licenses() {
	local module version dir
	printf 'go %s\n\n' "$(go env GOVERSION)"
	cat "$(go env GOROOT)/LICENSE"
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/zreconcile | sort -u |
		while read -r module version dir; do
			printf '\n%s\n%s %s\n\n' "$(printf -- '-%.0s' {1..72})" "$module" "$version"
			find "$dir" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) | sort | xargs -d '\n' cat
		done
}
licenses | gzip -9n >"$doc/licenses.gz"

"$nfpm" package --config cmd/zreconcile/package/nfpm.yaml --packager deb --target "$deb" >&2
rm -rf "$STAGE" "$DIST/zreconcile-native"
echo "$deb"
