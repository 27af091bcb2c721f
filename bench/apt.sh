# For the install scripts beside it, which source it.

# install_packages WHY SERVICES PACKAGE... installs packages by apt, without starting a service.
# Without the right to install it says WHY, prints the command that somebody with the right has to
# run, with a word about the SERVICES among them that start then, and fails.
install_packages() {
  local why=$1 services=$2
  shift 2
  local command="apt-get update && apt-get install -y --no-install-recommends $*"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$why Run this first, with the right to do so:" >&2
    echo "  sudo sh -c '$command'" >&2
    [ -z "$services" ] ||
      echo "Started as services then: $services. Nothing here needs that (systemctl disable --now)." >&2
    return 1
  fi
  echo "installing: $*"
  (
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # Packages start their services when they are installed, unless this file says not to. The
    # programs only are needed. A policy that is there already stays, and holds.
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
  )
}
