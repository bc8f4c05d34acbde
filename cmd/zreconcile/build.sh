#!/usr/bin/env bash
# Builds zreconcile, with zreconcile-wal inside, as a file: build.sh FILE. The
# environment gives VERSION and GOARCH. What `go build` alone makes works as well:
# PostgreSQL then calls the whole program, which takes three times as long to start.
set -euo pipefail
file=$(realpath -m "$1")
cd "$(dirname "$0")"

# Builds beside each other have a file each for what is put in; go build wants it in
# the folder of the package.
inside=$(mktemp -d)
trap 'rm -rf "$inside"' EXIT
overlay=$inside/overlay.json
embedded=$PWD/walprogram/zreconcile-wal
printf '{"Replace": {"%s": "%s"}}\n' "$embedded" "$inside/zreconcile-wal" >"$overlay"

export CGO_ENABLED=0
flags="-s -w -X main.version=${VERSION:-}"
go build -trimpath -ldflags "$flags" -o "$inside/zreconcile-wal" ../zreconcile-wal
go build -trimpath -ldflags "$flags" -tags walprogram -overlay "$overlay" -o "$file" .
