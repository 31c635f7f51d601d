#!/bin/sh
# Writes requirements/*.txt anew: the exact versions that pip finds now for what pyproject.toml asks for.
# Run it by hand, then `make setup test`, then commit what changed. Each list is resolved in a fresh environment.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${PYTHON:-python3.11}
wanted() { # the requirements of one part of pyproject.toml, one a line
    "$python" - "$1" <<'PY'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
part = sys.argv[1]
print("\n".join(project["dependencies"] if part == "runtime" else project["optional-dependencies"][part]))
PY
}
lock() { # name, constraints, header
    "$python" -m venv "$work/$1"
    wanted "$1" >"$work/$1.in"
    "$work/$1/bin/pip" install -q --disable-pip-version-check -r "$work/$1.in" -c "$2"
    { echo "# $3 Made by scripts/lock.sh."
      "$work/$1/bin/pip" list --disable-pip-version-check --format freeze --exclude pip --exclude setuptools
    } >"$work/$1.txt"
}

: >"$work/none"
lock runtime "$work/none" "What agenthost needs to run."
lock dev "$work/runtime.txt" "What is needed besides runtime.txt to change agenthost."
lock model "$work/dev.txt" "The extra \`model\`, without the weights (weights.txt)."
lock dump "$work/dev.txt" "The extra \`dump\`."
mkdir -p requirements
mv "$work/runtime.txt" "$work/dev.txt" "$work/model.txt" "$work/dump.txt" requirements/
