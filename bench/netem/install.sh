#!/usr/bin/env bash
# Brings what the matrix needs beside what the tests do: Janus, to compare with. Its service is
# not started. Without the right to install packages it prints the command that somebody with the
# right has to run, and fails.
set -euo pipefail
cd "$(dirname "$0")"
. ../apt.sh
command -v janus >/dev/null ||
  install_packages "The matrix compares with Janus, which is not installed." janus janus
