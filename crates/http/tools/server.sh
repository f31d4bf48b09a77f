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
    : >"$scratch/serve.log"
    "$SERVER_BINARY" serve >>"$scratch/serve.log" 2>&1 &
    SERVER_PID=$!
    # shellcheck disable=SC2064 # The values of now.
    trap "kill $SERVER_PID 2>/dev/null && wait $SERVER_PID; cp '$scratch/serve.log' target/serve.log; rm -rf '$scratch'" EXIT
    local line
    # It says so once it is ready; until then `tail` waits for the line, or for the server's end.
    line=$(tail --pid="$SERVER_PID" --lines=+1 --follow "$scratch/serve.log" 2>/dev/null |
        grep --max-count=1 '^serving: ' || true)
    SERVER_URL=$(sed -n 's/^serving: \(http:[^,]*\),.*/\1/p' <<<"$line")
    [[ -n $SERVER_URL ]] || fail "the server did not start: $(cat "$scratch/serve.log")"
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

# Ends it in order, and sees that it was alive until then and says that all was well.
serve_end() {
    kill -TERM "$SERVER_PID" || fail "the server died before it was ended: see target/serve.log"
    wait "$SERVER_PID" || fail "the server ended with $?: see target/serve.log"
}
