#!/bin/sh
# Installs the Debian packages that the checks in .ci/run need beside Node and npm, as far as they are missing.
# Starts no service: servers are started by the tests and benchmarks that use them, on ports of their own.
set -eu

missing=''
# need <program> <package>
need() {
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need kcat kcat
need mvn maven
need javac default-jdk-headless
need redis-server redis-server
need nats-server nats-server
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"

if [ -z "$missing" ]; then
  exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
  as_root() { "$@"; }
else
  as_root() { sudo "$@"; }
fi

# Exit status 101 of policy-rc.d tells Debian's package scripts to start nothing. One that is there already is
# the machine's own decision and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
fi

as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086 # one word per package
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
