#!/usr/bin/env bash
# hosts.sh itself: hosts are apart and reach each other, cables can be pulled, and nothing is left behind.
set -euo pipefail
hosts=$(realpath "$(dirname "$0")")/hosts.sh
"$hosts" can || exit 77

fail() {
    echo "FAILED: $*"
    exit 1
}

# Names, shared memory and networks of their own; the command's folder, arguments and exit status.
cd /usr
# shellcheck disable=SC2016 # expanded on host a
output=$("$hosts" run 3 bash -c '
    hostname; "$HOSTS" exec c hostname; "$HOSTS" exec b pwd; "$HOSTS" exec b printf "%s|" "two words" "$"
    touch /dev/shm/mine; "$HOSTS" exec b ls /dev/shm; getent hosts b
    state() { ip -brief link show eth0 | awk "{ print \$2 }"; }
    state; "$HOSTS" link a down; state
    "$HOSTS" link a up; "$HOSTS" exec b sleep 1000 & sleep 0.3; "$HOSTS" off b
    wait $! || echo "killed: $?"; exit 7' 2>/dev/null | tr '\n' ' '; echo "${PIPESTATUS[0]}")
[ "$output" = "a c /usr two words|$|10.0.0.2        b UP DOWN killed: 137 7" ] || fail "'$output'"

# However a run ends, its processes go, and nothing can be seen of its network meanwhile.
interfaces=$(ip -brief link | wc -l)
"$hosts" run 2 sleep 1009 &
sleep 0.5
[ "$(ip -brief link | wc -l)" = "$interfaces" ] || fail "interfaces outside: $(ip -brief link)"
kill -KILL $!
wait $! 2>/dev/null || true
for ((i = 0; i < 50; i++)); do
    pgrep -f '^sleep 1009$' >/dev/null || break
    sleep 0.1
done
! pgrep -f '^sleep 1009$' >/dev/null || fail "a killed run leaves its processes"

for wrong in "run 0 true" "run 27 true" "run 2" "exec a true" "anything"; do
    # shellcheck disable=SC2086 # several arguments
    ! "$hosts" $wrong 2>/dev/null || fail "$wrong is accepted"
done
