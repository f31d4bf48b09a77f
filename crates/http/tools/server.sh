# A real server on a fresh state directory, for the tools beside this file. It is sourced.

# Starts one: serve_begin DIRECTORY [LINE OF [serve]...]. Sets SERVER_URL and SERVER_PID. It ends with
# the script, whichever way that ends.
serve_begin() {
    local scratch=$1
    shift
    cargo build --quiet --locked --package worker-runtime
    SERVER_BINARY=${CARGO_TARGET_DIR:-target}/debug/worker-runtime
    export WORKER_RUNTIME_STATE=$scratch/state WORKER_RUNTIME_CONFIG=$scratch/config.toml
    mkdir "$scratch/project"
    {
        printf '[serve]\nbind = "127.0.0.1:0"\n'
        printf '%s\n' "$@"
        printf '[mounts]\nproject = "%s"\n' "$scratch/project"
        printf '[backends.agent]\nkind = "exec"\nmode = "lines"\nargv = ["python3", "%s"]\n' "$TOOLS/agent.py"
    } >"$WORKER_RUNTIME_CONFIG"
    SERVER_LOG=$scratch/serve.log
    : >"$SERVER_LOG"
    "$SERVER_BINARY" serve >>"$SERVER_LOG" 2>&1 &
    SERVER_PID=$!
    # shellcheck disable=SC2064 # The value of now: the variable is gone at the exit.
    trap "serve_clean '$scratch'" EXIT
    local line
    # It says so once it is ready; until then `tail` waits for the line, or for the server's end.
    line=$(tail --pid="$SERVER_PID" --lines=+1 --follow "$SERVER_LOG" 2>/dev/null |
        grep --max-count=1 '^serving: ' || true)
    SERVER_URL=$(sed -n 's/^serving: \(http:[^,]*\),.*/\1/p' <<<"$line")
    [[ -n $SERVER_URL ]] || fail "the server did not start: $(cat "$SERVER_LOG")"
}

# At the exit, however it came; what the server said is kept. Nothing here changes the exit's status.
serve_clean() {
    if [[ -n $SERVER_PID ]]; then
        kill "$SERVER_PID" 2>/dev/null || true
        wait "$SERVER_PID" || true
    fi
    mkdir -p target && cp "$SERVER_LOG" target/serve.log || true
    rm -rf "$1"
}

# An access token of a scope: token_of SCOPE sets ACCESS_TOKEN.
token_of() {
    if [[ $1 == admin ]]; then
        ACCESS_TOKEN=$(cat "$WORKER_RUNTIME_STATE/access-token")
    else
        ACCESS_TOKEN=$("$SERVER_BINARY" token create --name "$1" --scope "$1" --output json |
            python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
    fi
}

# Ends it in order, and sees that it was alive until then and ended well.
serve_end() {
    local pid=$SERVER_PID
    kill -TERM "$pid" || fail "the server died before it was ended: see target/serve.log"
    SERVER_PID=
    wait "$pid" || fail "the server ended with $?: see target/serve.log"
    # A task that panics takes only itself down.
    ! grep 'panicked' "$SERVER_LOG" || fail "the server panicked: see target/serve.log"
}
