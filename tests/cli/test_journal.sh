#!/usr/bin/env bash
# caucus run --journal: whatever is in the journal, the text is that of a run without one; what is no journal of this run
# is refused and left alone.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
export OMP_NUM_THREADS=1
run=(run -m models/lemma -t 1 -p "a=3;b=a+4;c=b*2;c?" -n 120 --ignore-eos)
journal=$scratch/journal

# cut_at N: the first N tokens of a whole journal, and the beginning of a line that was torn.
cut_at() {
    /usr/bin/python3 - "$scratch/whole" "$1" >"$journal" <<'END'
import json, sys
header, *lines = open(sys.argv[1])
ids, n = [], int(sys.argv[2])
for line in map(json.loads, lines):
    assert line["first"] == len(ids)
    ids += line["ids"]
assert len(ids) == 120
print(header, end="")
for first in range(0, n, 50):
    print(json.dumps(line | {"first": first, "ids": ids[first : min(n, first + 50)]}))
print('{"answer":"', end="")
END
}

# same RANKS OPTION...: the text with a journal, begun anew and gone on with.
same() {
    local ranks=$1
    shift
    "$program" "${run[@]}" "$@" >"$scratch/text"
    rm -f "$scratch/whole"
    "$program" "${run[@]}" "$@" --journal "$scratch/whole" | cmp - "$scratch/text" || fail "$*: anew"
    cut_at 7
    mpirun -n "$ranks" "$program" "${run[@]}" "$@" --journal "$journal" | cmp - "$scratch/text" || fail "$*: from 7"
    cut_at 119
    "$program" "${run[@]}" "$@" --journal "$journal" | cmp - "$scratch/text" || fail "$*: from 119"
}

same 2 --temperature 0.9 --top-p 0.9 --repetition-penalty 1.1 --seed 7
same 3 --policy lessismore --budget 64 --temperature 1
same 2 --policy lessismore --budget 64 --correct-every 7

# A whole one is not computed again, and holds the stop string that ended it.
"$program" "${run[@]}" --stop "b=7" >"$scratch/text"
"$program" "${run[@]}" --stop "b=7" --journal "$scratch/stopped" | cmp - "$scratch/text"
"$program" "${run[@]}" --stop "b=7" --journal "$scratch/stopped" -v 2>"$scratch/err" | cmp - "$scratch/text"
grep -q "^prefill 0.0 tok/s · decode 0.0 tok/s" "$scratch/err" || fail "computed again: $(cat "$scratch/err")"

# Several answers, one of them whole; as JSON; a prompt that is read once.
several=(run -m models/lemma -t 1 -p "a=3;b=a+4;b?" -p "a=3;b=a+4;b?" -p "a=5;a?" -n 60 --temperature 1)
"$program" "${several[@]}" >"$scratch/text"
"$program" "${several[@]}" --journal "$scratch/several" | cmp - "$scratch/text"
sed -i '$d' "$scratch/several"
"$program" "${several[@]}" --journal "$scratch/several" | cmp - "$scratch/text"
echo "a=5;a?" | "$program" run -m models/lemma -t 1 -n 20 --json --journal "$scratch/json" >"$scratch/out"
echo "a=5;a?" | "$program" run -m models/lemma -t 1 -n 20 --json --journal "$scratch/json" >"$scratch/again"
/usr/bin/python3 -c 'import json, sys
a, b = (json.load(open(path)) for path in sys.argv[1:])
assert all(a[key] == b[key] for key in ("prompt_ids", "generated_ids", "text", "finish_reason")), (a, b)' \
    "$scratch/out" "$scratch/again"

# Another run's journal, before the model is loaded but for the prompt's.
rm -f "$scratch/whole"
"$program" "${run[@]}" --journal "$scratch/whole" >"$scratch/text"
cp "$scratch/whole" "$journal"
refuses_together "$journal was begun with seed \"0\", not \"1\"; choose another --journal" "${run[@]}" --seed 1 --journal "$journal"
refuses "$journal was begun with max-tokens 120, not 121; choose another --journal" "${run[@]}" -n 121 --journal "$journal"
refuses "$journal was begun with policy \"full\", not \"quest\"; choose another --journal" \
    "${run[@]}" --policy quest --journal "$journal"
refuses "$journal was begun with options \"\", not \"emulate=1\"; choose another --journal" \
    "${run[@]}" --emulate 1 --journal "$journal"
"$program" "${run[@]}" -p "a=1;a?" --journal "$journal" >"$scratch/out" 2>"$scratch/err" && fail "another prompt is taken"
grep -qE "^caucus: $journal was begun with prompts \"[0-9a-f]{16}\", not \"[0-9a-f]{16}\"; choose another --journal$" \
    "$scratch/err" || fail "$(cat "$scratch/err")"
[ ! -s "$scratch/out" ] || fail "text of another prompt"
cmp "$scratch/whole" "$journal" || fail "another run's journal was changed"

# What is no journal.
refuses "tests/cli/harness.sh is no journal of caucus; choose another --journal" "${run[@]}" --journal tests/cli/harness.sh
refuses "cannot write $scratch: Is a directory" "${run[@]}" --journal "$scratch"
refuses "cannot write $scratch/none/journal: No such file or directory" "${run[@]}" --journal "$scratch/none/journal"
refuses "/dev/full is not a regular file" "${run[@]}" --journal /dev/full
refuses "--journal must be a file: it is what run goes on from" "${run[@]}" --journal -
ln -s "$scratch/loop" "$scratch/loop"
refuses "cannot write $scratch/loop: Too many levels of symbolic links" "${run[@]}" --journal "$scratch/loop"
mkfifo "$scratch/pipe"
refuses "$scratch/pipe is not a regular file" "${run[@]}" --journal "$scratch/pipe"
exec 9>>"$journal"
flock 9
refuses "$journal is being written by another caucus run, or by one that is still ending" "${run[@]}" --journal "$journal"
exec 9>&-

# Damage: a line, an order, and a token that this model does not draw there.
cut_at 100
sed '3s/ids/idz/' "$journal" >"$scratch/damaged"
refuses "$scratch/damaged:3: this is no line of a journal" "${run[@]}" --journal "$scratch/damaged"
sed '2d' "$journal" >"$scratch/damaged"
refuses "$scratch/damaged:2: the tokens before 50 are not in the lines before" "${run[@]}" --journal "$scratch/damaged"
for policy in full emulate; do
    rm -f "$scratch/whole"
    "$program" "${run[@]}" --policy $policy --emulate 1 --journal "$scratch/whole" >/dev/null
    cut_at 100
    sed '2s/"ids": \[\([0-9]*\), [0-9]*/"ids": [\1, 77/' "$journal" >"$scratch/damaged"
    "$program" "${run[@]}" --policy $policy --emulate 1 --journal "$scratch/damaged" >/dev/null 2>"$scratch/err" && fail "a false token"
    grep -qE "^caucus: $scratch/damaged: token 1 of the answer is 77, but [0-9]+ is drawn there: the file is damaged, or comes from another build$" \
        "$scratch/err" || fail "$(cat "$scratch/err")"
done

# A fault other than death: the journal has all that was printed, not only what it was time to write.
rm -f "$scratch/whole"
"$program" "${run[@]}" --journal "$scratch/whole" 2>"$scratch/err" | head -c 50 >"$scratch/out" &&
    fail "nobody reads, and that is no fault"
[ "$(cat "$scratch/err")" = "caucus: cannot write the answer: Broken pipe" ] || fail "$(cat "$scratch/err")"
ids=$(sed -n 's/.*"ids":\[\(.*\)]}$/\1/p' "$scratch/whole" | tr ',\n' '  ')
"$program" tokenize -m models/lemma --decode -p "$ids" | head -c 50 | cmp - "$scratch/out" || fail "kept: $ids"

# What does not go together.
refuses "--logprobs and --journal cannot be given together: it keeps tokens, not probabilities" \
    "${run[@]}" --json --logprobs 1 --journal "$journal"
refuses "--probe and --journal cannot be given together: steps of an earlier run are not probed" \
    "${run[@]}" --probe recall --journal "$journal"
refuses "--interactive and --journal cannot be given together" run -m models/lemma -i --journal "$journal"
refuses "--journal: 'eval' does not take this option; 'run' does" eval -m models/lemma --journal "$journal"
