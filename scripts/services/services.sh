#!/usr/bin/env bash
# Local PostgreSQL and Redis for tests: real servers on free loopback ports, all their files in one directory.
#
#   services.sh install      install the Debian packages that are missing; prints what it installs
#   services.sh start DIR    start both in DIR (created); prints the lines of DIR/env, to be sourced or parsed
#   services.sh stop DIR     stop both by pid and delete their data
set -euo pipefail

usage() {
    sed -n '4,6s/^# *//p' "$0" >&2
    exit 2
}

fail() {
    echo "services: $*" >&2
    exit 1
}

# The data directory is deleted on failure, so the reason is shown rather than pointed to.
fail_with_log() {
    tail -n 20 "$2" >&2 || true
    fail "$1"
}

# Debian keeps PostgreSQL's programs out of PATH; the newest version wins.
postgres_bin() {
    local candidate
    candidate=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -n "$candidate" ] && [ -x "$candidate/initdb" ]; then
        echo "$candidate"
    elif command -v initdb >/dev/null; then
        dirname "$(readlink -f "$(command -v initdb)")"
    else
        return 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# initdb and postgres refuse to run as root.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

install_packages() {
    local missing=()
    postgres_bin >/dev/null || missing+=(postgresql)
    command -v redis-server >/dev/null || missing+=(redis-server)
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    command -v apt-get >/dev/null || fail "no apt-get here: install ${missing[*]} by hand"
    echo "services: installing Debian packages: ${missing[*]}" >&2
    keep_packaged_services_stopped
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    if [ -d /run/systemd/system ]; then as_root systemctl disable --now "${missing[@]}" >&2; fi
}

# While packages are configured, policy-rc.d forbids starting the servers that they bring along.
keep_packaged_services_stopped() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then return; fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    trap "as_root rm -f $policy" EXIT
}

free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port found"
}

start_postgres() {
    local dir=$1 port=$2 bin
    bin=$(postgres_bin) || fail "PostgreSQL is missing: run '$0 install'"
    mkdir -p "$dir/postgres"
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$dir/postgres"; fi
    cd "$dir/postgres"
    as_postgres "$bin/initdb" -D "$dir/postgres/data" -U shop --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 ||
        fail_with_log "initdb failed" "$dir/initdb.log"
    cat >>"$dir/postgres/data/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 100
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
fsync = off
EOF
    as_postgres "$bin/pg_ctl" start -D "$dir/postgres/data" -l "$dir/postgres/log" -w -t 30 >/dev/null ||
        fail_with_log "PostgreSQL did not start" "$dir/postgres/log"
}

start_redis() {
    local dir=$1 port=$2 tries=50
    command -v redis-server >/dev/null || fail "Redis is missing: run '$0 install'"
    mkdir -p "$dir/redis"
    redis-server --port "$port" --bind 127.0.0.1 --dir "$dir/redis" --save "" --appendonly no \
        --pidfile "$dir/redis/pid" --logfile "$dir/redis/log" --daemonize yes >/dev/null
    until [ -s "$dir/redis/pid" ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ]; then fail_with_log "Redis did not start" "$dir/redis/log"; fi
        sleep 0.1
    done
}

start_services() {
    local dir postgres_port redis_port
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    if [ -e "$dir/env" ]; then fail "$dir is in use: run '$0 stop $dir' first"; fi
    if [ "$(id -u)" -eq 0 ]; then chmod o+x "$dir"; fi
    trap "stop_services '$dir'" ERR EXIT
    postgres_port=$(free_port)
    redis_port=$(free_port)
    start_postgres "$dir" "$postgres_port"
    start_redis "$dir" "$redis_port"
    trap - ERR EXIT
    cat >"$dir/env" <<EOF
SHOP_POSTGRES_DSN=postgres://shop@127.0.0.1:$postgres_port/postgres?sslmode=disable
SHOP_REDIS_ADDR=127.0.0.1:$redis_port
SHOP_POSTGRES_PID=$(head -n 1 "$dir/postgres/data/postmaster.pid")
SHOP_REDIS_PID=$(cat "$dir/redis/pid")
EOF
    cat "$dir/env"
}

stop_services() {
    local dir=$1 pid_file pid
    for pid_file in "$dir/postgres/data/postmaster.pid" "$dir/redis/pid"; do
        if [ ! -s "$pid_file" ]; then continue; fi
        pid=$(head -n 1 "$pid_file")
        kill -INT "$pid" 2>/dev/null || continue # SIGINT: both end at once, disconnecting their clients.
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    done
    rm -rf "$dir/postgres" "$dir/redis" "$dir/env" "$dir/initdb.log"
}

case "${1-}" in
install) install_packages ;;
start) [ $# -eq 2 ] || usage; start_services "$2" ;;
stop) [ $# -eq 2 ] || usage; stop_services "$2" ;;
*) usage ;;
esac
