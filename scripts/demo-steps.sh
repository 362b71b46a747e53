# shellcheck shell=bash
# What both demos do: build, start the collector in a directory of its own, show results, stop it. To be sourced.
#
# Sets $work (a new directory, kept for the reader), $data (the tables in it) and $spandrel (the program).

# Ports of the default configuration, and what they are for.
# shellcheck disable=SC2034 # read by the scripts that source this one
demo_ports=("4317 OTLP/gRPC" "4318 OTLP/HTTP" "8888 metrics" "13133 health")
started_pids=()

heading() { printf '\n== %s\n\n' "$*"; }

fail() {
    echo "demo: $*" >&2
    exit 1
}

is_listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

require_free_ports() {
    local port purpose
    while read -r port purpose; do
        if is_listening "$port"; then
            fail "port $port on 127.0.0.1 is taken, and the demo needs it for $purpose: stop what listens there and run again"
        fi
    done < <(printf '%s\n' "$@")
}

build_spandrel() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer, https://rustup.rs"
    heading "Building spandrel (the first time takes minutes)"
    cargo build --locked --workspace --bins
    spandrel=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug/spandrel
}

make_work_directory() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/spandrel-demo.XXXXXX")
    data=$work/data
}

# start NAME PROGRAM ARGUMENT...: in the background, until the demo ends. Sets $started_pid; output is $work/NAME.log.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    started_pid=$!
    started_pids+=("$started_pid")
}

# Stops what was started, the latest first, and waits until it has ended.
stop_started() {
    local i
    for ((i = ${#started_pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${started_pids[i]}" 2>/dev/null || continue
        wait "${started_pids[i]}" || true
    done
    started_pids=()
}

# start_collector ARGUMENT...: runs `spandrel run` and returns when all of its components run.
start_collector() {
    heading "Starting the collector"
    start collector "$spandrel" run --data "$data" "$@"
    local pid=$started_pid
    for _ in $(seq 150); do
        if [[ "$(health)" == *" 200 "* ]]; then
            echo "spandrel run, pid $pid, listens on 127.0.0.1:4317 (OTLP/gRPC) and :4318 (OTLP/HTTP), writes to $data"
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$work/collector.log" >&2
    fail "the collector does not answer on 127.0.0.1:13133; its whole log is $work/collector.log"
}

# The status line of the health check; empty if nothing answers.
health() {
    local line
    {
        exec 3<>/dev/tcp/127.0.0.1/13133 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -r -t 2 line <&3 && echo "$line"
    } 2>/dev/null || true
}

sql() { "$spandrel" sql --data "$data" -c "$1"; }

show_results() {
    heading "Where the time of the slowest operations went"
    "$spandrel" matrix --data "$data" --top 5

    heading "Why the slow reservations are slower than the others, and whose doing that is"
    # A live run may hold none that was recorded from start to end; then this says so.
    "$spandrel" why --data "$data" --operation 'POST /reservations' || true

    heading "What all requests together spent their time on"
    sql "SELECT layer, state, round(sum(ns) / 1e6, 1) AS total_ms, count(DISTINCT trace_id) AS requests
         FROM attribution WHERE is_request AND view = 'self' AND state <> 'unknown'
         GROUP BY layer, state ORDER BY total_ms DESC LIMIT 10"

    heading "The slowest request that a runtime profile covers: what it did, what it waited for, and where in the code"
    local slowest
    slowest=$("$spandrel" sql --data "$data" --format csv -c "SELECT trace_id FROM span_quality
        WHERE is_request AND unknown_ns = 0 ORDER BY duration_ns DESC LIMIT 1" | tail -n 1)
    "$spandrel" why --data "$data" "$slowest" || true

    heading "Is every nanosecond accounted for? (spans_off must be 0)"
    sql "SELECT count(*) AS spans, sum(q.duration_ns) AS span_ns, sum(a.self_ns) AS self_ns, sum(a.root_ns) AS root_ns,
                sum(CASE WHEN q.duration_ns = coalesce(a.self_ns, 0) AND q.duration_ns = coalesce(a.root_ns, 0)
                         THEN 0 ELSE 1 END) AS spans_off,
                round(100.0 * sum(q.exact_ns) / sum(q.recorded_ns), 1) AS known_percent_of_recorded_time
         FROM span_quality AS q
         LEFT JOIN (SELECT process_id, trace_id, span_id, sum(ns) FILTER (WHERE view = 'self') AS self_ns,
                           sum(ns) FILTER (WHERE view = 'root') AS root_ns
                    FROM attribution GROUP BY process_id, trace_id, span_id) AS a
         ON q.process_id = a.process_id AND q.trace_id = a.trace_id AND q.span_id = a.span_id"
}

say_where_to_look_next() {
    heading "Where to look next"
    cat <<END
The tables are in $data, as Delta tables of Parquet files that any engine reads. Ask them more:
  $spandrel sql --data $data
  $spandrel matrix --data $data --top 20
  $spandrel why --data $data --operation 'GET /catalog'
docs/tables.md says what every column means, docs/architecture.md how it comes to be.
Delete the demo with: rm -r $work
END
}
