#!/bin/sh
# Makes the virtual environment from requirements.lock (hash-checked) and puts this checkout into it.
# Called by make; PYTHON names the interpreter, the argument the folder.
set -eu
venv=$1
python=${PYTHON:-python3}

say() { printf '%s\n' "mailbridge setup: $*" >&2; }

command -v "$python" >/dev/null 2>&1 || { say "no $python here: install Python 3.11 or newer, or run make PYTHON=/path/to/python3"; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "$("$python" --version) is too old: 3.11 or newer is needed (make PYTHON=/path/to/python3.11)"; exit 1; }

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    # Debian and Ubuntu split venv off into a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing python3-venv"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
            "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" >/dev/null
    else
        say "this Python has no venv module: apt-get install python3-venv (as root), then make again"; exit 1
    fi
fi

say "making $venv from requirements.lock (about a minute the first time)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
