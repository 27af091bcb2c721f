#!/usr/bin/env bash
# Brings what the tests need beside Go: a C compiler (the race detector), Chromium,
# Firefox, and npm for the official client SDK, which goes into node_modules here. What is
# there already stays as it is. Without the right to install packages it prints
# the command that somebody with the right has to run, and fails.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v ip >/dev/null || missing+=(iproute2)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
  command -v google-chrome >/dev/null || missing+=(chromium)
command -v firefox-esr >/dev/null || command -v firefox >/dev/null || missing+=(firefox-esr)
command -v npm >/dev/null || missing+=(nodejs npm)

if [ ${#missing[@]} -gt 0 ]; then
  command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests need programs that are not installed. Run this first, with the right to do so:" >&2
    echo "  sudo sh -c '$command'" >&2
    exit 1
  fi
  echo "installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  if ! sh -c "$command" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
fi

# The copy of the lock file says which version node_modules holds.
if ! cmp -s package-lock.json node_modules/.tsubame-lock; then
  echo "installing the client SDK"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.tsubame-lock
fi
