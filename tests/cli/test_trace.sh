#!/usr/bin/env bash
# caucus trace: what is recorded is the same on any number of ranks, the answer is that of run, and files can be drawn.
set -euo pipefail
. "$(dirname "$0")/harness.sh"
model=models/lemma
export OMP_NUM_THREADS=1
problem="given gx=0,vb=6. hx*ei=hi;wb-hw=ei;hw+fx=wb;hi+fx=jg;gl+gx=kc;ei+hw=hx;kc+fx=kn;jg*gx=mb;vb+gx=fx;fx+vb=hw; find mb"
n_prompt=$("$program" run -m $model -p "$problem" -n 1 --json | sed 's/.*"prompt_ids": \[\([^]]*\)\].*/\1/' | tr ',' '\n' | wc -l)

# record NAME RANKS ARGUMENT...: 60 tokens of the problem's derivation; all of them with -n in the arguments.
record() {
    local name=$1 ranks=$2
    shift 2
    mpirun -n "$ranks" "$program" trace -m $model -p "$problem" --output "$scratch/$name.trace" "$@" \
        >"$scratch/$name.text" 2>"$scratch/err" || fail "trace $*: $(cat "$scratch/err")"
}

same() {
    cmp "$scratch/$1.trace" "$scratch/$2.trace" || fail "$1 and $2 are different traces"
}

# The whole derivation of eight steps, and its answer, on one rank and on two.
record whole_1 1
record whole_2 2
same whole_1 whole_2
"$program" run -m $model -p "$problem" | cmp - "$scratch/whole_1.text" || fail "trace answers otherwise than run"
[ "$(tail -n 1 "$scratch/whole_1.text")" = "mb=0" ] || fail "the answer is $(tail -n 1 "$scratch/whole_1.text")"

for policy in lessismore quest h2o raas; do
    for ranks in 1 2 6; do # of 4 KV heads
        record "$policy$ranks" $ranks --policy $policy --budget 64 -n 60
    done
    same ${policy}1 ${policy}2
    same ${policy}1 ${policy}6
done
record streaming1 1 --policy streaming --budget 64 -n 60
record streaming3 3 --policy streaming --budget 64 -n 60
same streaming1 streaming3
record full 1 -n 60

check() {
    /usr/bin/python3 tests/cli/check_trace.py "$@"
}
check streaming 64 4 "$n_prompt" 59 <"$scratch/streaming1.trace" || fail "the sets of streaming"
check full 2048 4 "$n_prompt" 59 <"$scratch/full.trace" || fail "the sets of full"
record seldom 2 -n 60 --policy streaming --budget 64 --trace-every 8
check streaming 64 4 "$n_prompt" 8 <"$scratch/seldom.trace" || fail "every eighth step"

# Pictures: at once or later, from a file or a pipe.
record drawn 1 --policy lessismore --budget 64 -n 60 --svg "$scratch/1.svg" --html "$scratch/1.html"
same drawn lessismore1
"$program" trace --draw "$scratch/drawn.trace" --svg "$scratch/2.svg" --html "$scratch/2.html"
"$program" trace --draw - --svg "$scratch/3.svg" <"$scratch/drawn.trace"
"$program" trace --draw "$scratch/drawn.trace" --svg - >"$scratch/4.svg"
cmp "$scratch/1.svg" "$scratch/4.svg" || fail "a picture on standard output differs"
cmp "$scratch/1.svg" "$scratch/2.svg" || fail "a picture drawn later differs"
cmp "$scratch/1.svg" "$scratch/3.svg" || fail "a picture drawn from a pipe differs"
cmp "$scratch/1.html" "$scratch/2.html" || fail "pages differ"
grep -q "What each step attended to: lessismore, budget 64</text>" "$scratch/1.svg" || fail "no title"
grep -q "those that attend to everything are left out: 0–3</text>" "$scratch/1.svg" || fail "no caption of layers"
/usr/bin/python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$scratch/1.svg" || fail "no XML"
"$program" trace --draw "$scratch/drawn.trace" --svg "$scratch/layer.svg" --layer 5 --kv-head 2 --shade heads
grep -q "KV head 2 of layer 5</text>" "$scratch/layer.svg" || fail "no caption of a layer"

# A torn tail is told of, and what comes before it is drawn.
size=$(stat -c %s "$scratch/drawn.trace")
head -c $((size - 5)) "$scratch/drawn.trace" >"$scratch/torn.trace"
"$program" trace --draw "$scratch/torn.trace" --svg "$scratch/torn.svg" 2>"$scratch/err" || fail "a torn trace"
grep -qE "^caucus: $scratch/torn.trace ends within a record: its last [0-9]+ bytes are left out$" "$scratch/err" ||
    fail "torn: $(cat "$scratch/err")"
grep -q "58 decode steps" "$scratch/torn.svg" || fail "a torn trace has not one step less"

refuses_together "name the file to record in with --output FILE (standard output has the answer), or draw one with --draw FILE" trace -m $model -p x
refuses "standard output has the answer: name a file to draw to, or draw to - with --draw FILE when it is recorded" \
    trace -m $model -p x --output "$scratch/no.trace" --svg -
refuses "--svg and --html cannot both be standard output" trace --draw "$scratch/drawn.trace" --svg - --html -
refuses "--draw: name what to draw to with --svg FILE or --html FILE" trace --draw x
refuses "--draw reads a trace that is there: leave out --prompt, --file and --output" trace --draw x --svg y -p z
refuses "--prompt: one is wanted; only run and tokenize take several" trace -m $model -p x -p y --output z
refuses "cannot open none.trace: No such file or directory" trace --draw none.trace --svg "$scratch/none.svg"
refuses "README.md cannot be read as a trace: it is malformed" \
    trace --draw README.md --svg "$scratch/none.svg"
refuses "--layer 8: $scratch/full.trace has layers 0 to 7" trace --draw "$scratch/full.trace" --svg x.svg --layer 8
refuses_together "cannot write $scratch/no/x.trace: No such file or directory" \
    trace -m $model -p x --output "$scratch/no/x.trace"
