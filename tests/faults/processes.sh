# shellcheck shell=bash
# The processes below a process.
below() {
    local child children=()
    { read -ra children <"/proc/$1/task/$1/children"; } 2>/dev/null || true
    for child in "${children[@]}"; do
        echo "$child"
        below "$child" 2>/dev/null
    done
}
