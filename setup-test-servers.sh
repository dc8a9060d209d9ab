#!/bin/sh
# Installs by apt the real tools and servers that the test suite runs against. Quick when all are there.
# Needs root on Debian or Ubuntu. Elsewhere it says what is missing: the tests that need it will fail, not be
# skipped. With CI=true something missing at the end is an error here already.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
packages="" reasons=""

say() { printf '%s\n' "test servers: $*" >&2; }

# need PACKAGE WHAT-FOR COMMAND...: wanted unless the command succeeds
need() {
    package=$1 why=$2
    shift 2
    if "$@" >/dev/null 2>&1; then return; fi
    case " $packages " in *" $package "*) return ;; esac
    packages="$packages $package"
    reasons="$reasons
  $package: $why"
}

look() {
    packages="" reasons=""
    need systemd "checks the units and hands sockets to the daemon (tests/real)" command -v systemd-analyze
    need systemd "checks the units and hands sockets to the daemon (tests/real)" command -v systemd-socket-activate
    need libseccomp2 "runs the daemon under the filters of its unit (tests/real)" sh -c 'ldconfig -p | grep -q libseccomp.so.2'
}

look
[ -n "$packages" ] || exit 0
say "missing:$reasons"

if ! command -v apt-get >/dev/null 2>&1; then
    say "not installed: there is no apt-get here"
elif [ "$(id -u)" != 0 ]; then
    say "not installed: only root may. Run: sudo sh ./setup-test-servers.sh"
else
    say "installing$packages"
    apt-get -o DPkg::Lock::Timeout=300 update -qq || say "apt-get update failed; trying with what is known"
    # Word splitting is meant: one package a word.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        $packages >/dev/null || say "apt-get install failed"
    look
    [ -n "$packages" ] || exit 0
    say "still missing:$reasons"
fi
[ "${CI:-}" != true ] || exit 1
