#!/usr/bin/env bash
# Checks docker-compose.yml as `docker compose config` does, without Docker: the reference loader of the Compose
# Specification validates it against the official schema and resolves it; then every file that it names must exist.
set -euo pipefail
cd "$(dirname "$0")/.."

loader=github.com/compose-spec/compose-go/v2/cmd@v2.16.2

command -v go >/dev/null || { echo "compose-check: go is missing: install Go 1.26 or newer, https://go.dev/dl" >&2; exit 1; }
resolved=$(go run "$loader" docker-compose.yml)

# Bind mounts and build contexts are resolved to absolute paths, Dockerfiles are relative to their context.
missing=0
while read -r path; do
    if [ ! -e "$path" ]; then
        echo "compose-check: docker-compose.yml names $path, which does not exist" >&2
        missing=1
    fi
done < <(awk '
    $1 == "context:" { context = $2; print context }
    $1 == "dockerfile:" { print context "/" $2 }
    $1 == "source:" && $2 ~ /^\// { print $2 }
' <<<"$resolved")
[ "$missing" -eq 0 ] || exit 1
echo "compose-check: docker-compose.yml conforms to the Compose Specification, and the files that it names exist"
