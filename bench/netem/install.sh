#!/usr/bin/env bash
# Brings what the matrix needs beside what the tests do: Janus, to compare with. Its service is
# not started. Without the right to install packages it prints the command that somebody with the
# right has to run, and fails.
set -euo pipefail
command -v janus >/dev/null && exit 0

command="apt-get update && apt-get install -y --no-install-recommends janus"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "The matrix compares with Janus, which is not installed. Run this first, with the right to do so:" >&2
  echo "  sudo sh -c '$command'" >&2
  echo "It starts as a service then; the matrix does not need that (systemctl disable --now janus)." >&2
  exit 1
fi
echo "installing: janus"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# Packages start their services when they are installed, unless this file says not to. A policy
# that is there already stays, and holds.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy" "$log"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
else
  trap 'rm -f "$log"' EXIT
fi
if ! sh -c "$command" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
