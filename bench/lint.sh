#!/usr/bin/env bash
# Runs staticcheck, at a version that is fixed here so that everybody sees the same
# findings. It is built once into bin/; where it cannot be had (no network, say) the
# check goes on without it and says so.
set -uo pipefail
cd "$(dirname "$0")/.."
version=v0.8.2
tool=bin/tools/staticcheck-$version
if [ ! -x "$tool" ]; then
  mkdir -p bin/tools
  dir=$(mktemp -d)
  if GOBIN=$dir timeout 120 go install "honnef.co/go/tools/cmd/staticcheck@$version" >"$dir/log" 2>&1; then
    mv "$dir/staticcheck" "$tool"
  else
    echo "staticcheck $version cannot be installed here; go vet has to do"
    rm -rf "$dir"
    exit 0
  fi
  rm -rf "$dir"
fi
exec "$tool" "$@"
