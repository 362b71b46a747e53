#!/bin/sh
# Creates .tools/venv with the Python packages that read from outside what Spandrel writes; silent if it is there.
#
# Installs from PyPI, at the versions below: duckdb, pyarrow and deltalake, which read the store, and jsonschema, which
# checks exported traces.
set -eu

requirements="duckdb==2.0.0 pyarrow==26.0.0 deltalake==1.6.6 jsonschema==4.26.0"
venv="$(cd "$(dirname "$0")/.." && pwd)/.tools/venv"
stamp="$venv/installed"

if [ "$(cat "$stamp" 2>/dev/null)" = "$requirements" ]; then
    exit 0
fi

echo "installing Python packages into .tools/venv: $requirements" >&2
# A version of the tests may be running beside this one: one of them installs, the others wait.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
if [ "$(cat "$stamp" 2>/dev/null)" = "$requirements" ]; then
    exit 0
fi
rm -rf "$venv"
python3 -m venv "$venv"
# shellcheck disable=SC2086 # one word is one requirement
"$venv/bin/pip" install --quiet --disable-pip-version-check $requirements
echo "$requirements" >"$stamp"
