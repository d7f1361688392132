#!/usr/bin/env bash
# caucus supervise: what is run again and what is not, and that nothing is left behind.
set -euo pipefail
. "$(dirname "$0")/harness.sh"

# ends STATUS N_RUNS SENTENCE SCRIPT: a script for sh, run under supervise.
ends() {
    local status=0 expected=$1 n_runs=$2 sentence=$3
    : >"$scratch/runs"
    "$program" supervise --max-restarts 2 --backoff 0.01 -- sh -c "echo run >>$scratch/runs; $4" 2>"$scratch/err" || status=$?
    [ $status = "$expected" ] || fail "$4: exit status $status"
    [ "$(wc -l <"$scratch/runs")" = "$n_runs" ] || fail "$4: $(wc -l <"$scratch/runs") runs"
    [ "$(tail -n 1 "$scratch/err")" = "$sentence" ] || fail "$4: $(cat "$scratch/err")"
}

ends 0 1 "" "exit 0"
ends 3 3 "caucus: sh ended with status 3; given up after 2 restarts" "exit 3"
ends 2 1 "" "exit 2"
ends 126 1 "" "exit 126"
# shellcheck disable=SC2016 # sh's own process
ends 137 3 "caucus: sh was ended by signal 9 (Killed); given up after 2 restarts" 'kill -9 $$'
ends 0 2 "caucus: sh ended with status 1; restart 1 of 2 in 0.01 s" "[ \$(wc -l <$scratch/runs) = 2 ]"

# Nobody survives the command, whatever has become of it: nor does a process that is stopped or heeds no SIGTERM.
ends 137 3 "caucus: sh was ended by signal 9 (Killed); given up after 2 restarts" \
    "trap '' TERM; sleep 1000.25 & (sleep 1000.25 & kill -STOP \$!); kill -9 \$\$"
! pgrep -f "^sleep 1000.25" || fail "a process is left"

# Nor do more than one look at their list shows.
# shellcheck disable=SC2016 # sh's own
ends 0 1 "" 'for i in $(seq 900); do sleep 1000.25 & done'
! pgrep -f "^sleep 1000.25" || fail "one of many processes is left"

# Who becomes an orphan only as others end is told to end, too, before he is made to.
ends 0 1 "" "(sh -c \"trap 'echo told >$scratch/told; exit' TERM; echo >$scratch/waits; while :; do sleep 0.05; done\" &
    sleep 1000.25; true) & while ! [ -e $scratch/waits ]; do sleep 0.05; done"
[ -e "$scratch/told" ] || fail "a late orphan got no SIGTERM"

# Who starts it may have ignored the end of children.
timeout -s KILL 20 env --ignore-signal=CHLD "$program" supervise -- true || fail "SIGCHLD ignored: exit status $?"

# Signals are passed on, and end the supervision.
"$program" supervise -- sh -c "echo run >>$scratch/passed; trap 'exit 5' TERM; sleep 1000.25 & wait" &
supervisor=$!
for ((i = 0; i < 100; i++)); do if [ -e "$scratch/passed" ]; then break; else sleep 0.05; fi; done
sleep 0.1
kill -TERM $supervisor
status=0
wait $supervisor || status=$?
[ $status = 5 ] || fail "SIGTERM: exit status $status"
[ "$(wc -l <"$scratch/passed")" = 1 ] || fail "run again after SIGTERM"
! pgrep -f "^sleep 1000.25" || fail "a process is left after SIGTERM"

# A supervisor that is killed takes the command with it.
"$program" supervise -- sleep 1000.75 &
supervisor=$!
for ((i = 0; i < 100; i++)); do if pgrep -f "^sleep 1000.75" >/dev/null; then break; else sleep 0.05; fi; done
kill -9 $supervisor
wait $supervisor 2>/dev/null || true
for ((i = 0; i < 100; i++)); do if pgrep -f "^sleep 1000.75" >/dev/null; then sleep 0.05; else break; fi; done
! pgrep -f "^sleep 1000.75" || fail "the command outlives the supervisor"

# prints_once EXPECTED SCRIPT: what three attempts print, the last of which succeeds; $n is the attempt's number.
prints_once() {
    rm -f "$scratch/n"
    "$program" supervise --backoff 0.01 -- sh -c "echo >>$scratch/n; n=\$(wc -l <$scratch/n); $2; [ \$n = 3 ]" \
        >"$scratch/out" 2>"$scratch/err" || fail "$2: exit status $?"
    printf '%b' "$1" | cmp - "$scratch/out" || fail "$2: $(cat "$scratch/out")"
}

# shellcheck disable=SC2016 # sh's own
{
    prints_once "a\nc\na\nb\nc\n" 'echo a; [ $n = 1 ] || echo b; [ $n = 2 ] || echo c' # the third as the second
    grep -q "prints something else" "$scratch/err" || fail "another text, and no word of it: $(cat "$scratch/err")"
    prints_once "1 2 3 " 'for i in 1 2 3; do printf "$i "; [ $i -lt $n ] || break; done'
    ! grep -q "prints something else" "$scratch/err" || fail "the same text, and a word: $(cat "$scratch/err")"
    prints_once "text\n" 'echo text'
    prints_once "" :
}
seq 100000 >"$scratch/long"
status=0
"$program" supervise --max-restarts 1 --backoff 0.01 -- sh -c "cat $scratch/long; exit 1" 2>/dev/null >"$scratch/out" || status=$?
[ $status = 1 ] || fail "long output: exit status $status"
cmp "$scratch/long" "$scratch/out" || fail "long output"
status=0
"$program" supervise --backoff 0.01 -- sh -c "cat $scratch/long; exit 1" >/dev/full 2>"$scratch/err" || status=$?
[ $status = 2 ] || fail "a full disk: exit status $status"
[ "$(cat "$scratch/err")" = "caucus: cannot write standard output: No space left on device" ] || fail "$(cat "$scratch/err")"

# A reader who takes his time is no reason not to hear of signals.
mkfifo "$scratch/pipe"
exec 8<>"$scratch/pipe"
"$program" supervise -- cat "$scratch/long" >"$scratch/pipe" &
supervisor=$!
sleep 0.3
kill -TERM $supervisor
status=0
timeout 20 tail --pid=$supervisor -f /dev/null || fail "a reader who takes his time: it hangs"
wait $supervisor || status=$?
[ $status = 143 ] || fail "a reader who takes his time: exit status $status"
exec 8>&-

# Without dashes, too, and with a word on a run that keeps nothing.
prints "a -- --b" supervise --max-restarts 3 --backoff=1 echo a -- --b
ln -s /bin/true "$scratch/caucus"
"$program" supervise "$scratch/caucus" run -p x 2>"$scratch/err"
[ "$(cat "$scratch/err")" = "caucus: without --journal FILE run begins anew when it fails, with its first token" ] ||
    fail "$(cat "$scratch/err")"
"$program" supervise -- "$scratch/caucus" run -p x --journal=file 2>"$scratch/err"
[ ! -s "$scratch/err" ] || fail "$(cat "$scratch/err")"

refuses "name the command to supervise: caucus supervise -- mpirun -n 4 caucus eval ..." supervise
refuses "name the command to supervise: caucus supervise -- mpirun -n 4 caucus eval ..." supervise --
refuses "--backoff: -1 is out of range; it must be from 0 to 60" supervise --backoff -1 -- true
status=0
"$program" supervise -- "$scratch/nothing" 2>"$scratch/err" || status=$?
[ $status = 127 ] || fail "a command that is not there: exit status $status"
[ "$(cat "$scratch/err")" = "caucus: cannot run $scratch/nothing: No such file or directory" ] || fail "$(cat "$scratch/err")"
