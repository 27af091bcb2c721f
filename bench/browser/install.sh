#!/usr/bin/env bash
# Brings what the tests need beside Go: a C compiler (the race detector), Chromium,
# Firefox, npm for the official client SDK, which goes into node_modules here, nginx with its
# module for streams, coturn's client, and small tools. What is there already stays as it is,
# and no service is started. Without the right to install packages it prints the command that
# somebody with the right has to run, and fails.
set -euo pipefail
cd "$(dirname "$0")"
. ../apt.sh
PATH=$PATH:/usr/sbin:/sbin # where nginx and sysctl are

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v ip >/dev/null || missing+=(iproute2)
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
  command -v google-chrome >/dev/null || missing+=(chromium)
command -v firefox-esr >/dev/null || command -v firefox >/dev/null || missing+=(firefox-esr)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v nginx >/dev/null || missing+=(nginx)
# Where nginx is not Debian's, the module may be part of it.
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || nginx -V 2>&1 | grep -qE -- '--with-stream( |$)' ||
  missing+=(libnginx-mod-stream)
command -v turnutils_uclient >/dev/null || missing+=(coturn)
command -v nft >/dev/null || missing+=(nftables)
command -v strace >/dev/null || missing+=(strace)
command -v sysctl >/dev/null || missing+=(procps)
command -v systemd-analyze >/dev/null || missing+=(systemd)

if [ ${#missing[@]} -gt 0 ]; then
  services=
  for name in nginx coturn; do [[ " ${missing[*]} " != *" $name "* ]] || services+="$name "; done
  install_packages "The tests need programs that are not installed." "$services" "${missing[@]}"
fi

# The copy of the lock file says which version node_modules holds.
if ! cmp -s package-lock.json node_modules/.tsubame-lock; then
  echo "installing the client SDK"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.tsubame-lock
fi
