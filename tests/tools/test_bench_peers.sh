#!/usr/bin/env bash
# tools/bench-peers against peers that answer as llama-bench does: pairs, medians, ratios, and what is said where the
# peer lacks depths.
set -euo pipefail
. "$(dirname "$0")/../cli/harness.sh"

# A caucus and a peer whose rates change from run to run: the peer's are 10, 20, 30 …, ours 40, 40, 40 …
cat >"$scratch/peer" <<'PEER'
#!/usr/bin/env python3
import json, pathlib, re, sys
here = pathlib.Path(sys.argv[0])
kind = here.name
if "--help" in sys.argv:
    print("  -p, --n-prompt <n>\n  -gp <pp,tg>\n  -fa, --flash-attn <0|1>" + ("\n  -d, --n-depth <n>" if kind == "new" else ""))
    sys.exit()
with open(here.parent / "calls", "a") as file:
    print(kind, *sys.argv[1:], file=file)
count = here.with_suffix(".count")
n = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(n))
rate = 40 if kind == "ours" else 10 * n
options = dict(zip(sys.argv[1::1], sys.argv[2::1]))
record = lambda p, g, d, **more: {"n_prompt": p, "n_gen": g, "avg_ts": rate, **({} if kind == "old" else {"n_depth": d}), **more}
split = lambda text: [int(x) for x in text.split(",") if x != "0"]
records = [record(*pair, d) for d in map(int, options.get("-d", "0").split(","))
           for pair in [(p, 0) for p in split(options["-p"])] + [(0, g) for g in split(options["-n"])]]
for i, word in enumerate(sys.argv):
    if word == "-gp":
        p, g = map(int, sys.argv[i + 1].split(","))
        records.append(record(p, g, 0, test=f"tg{g}@pp{p}"))
print("loading\n" + json.dumps(records))
PEER
chmod +x "$scratch/peer"
for name in old new ours; do cp "$scratch/peer" "$scratch/$name"; done

compare() {
    tools/bench-peers -m x.gguf --caucus "ours=$scratch/ours bench --thing" "$@" 2>"$scratch/err"
}

# Rounds turn around: old ours | ours old | old ours. Ratios 40/10, 40/20, 40/30.
compare --llama-bench "$scratch/old" -p 8 -n 4 -d 0,64 --rounds 3 -t 2 >"$scratch/out" || fail "$(cat "$scratch/err")"
[ "$(cut -d' ' -f1 "$scratch/calls" | tr '\n' ' ')" = "old ours ours old old ours " ] || fail "$(cat "$scratch/calls")"
grep -qx "old -t 2 -fa 1 -m x.gguf -r 1 -o json -p 8 -n 4 -gp 64,4" "$scratch/calls" || fail "$(cat "$scratch/calls")"
grep -qx "ours bench --thing -m x.gguf -r 1 -o json -p 0,8 -n 0,4 -d 0,64" "$scratch/calls" || fail "$(cat "$scratch/calls")"
grep -qF '| x.gguf | pp8 | 20.00 (10.00–30.00) | ours | 40.00 (40.00–40.00) | 2.00 (1.33–4.00) |' "$scratch/out" ||
    fail "$(cat "$scratch/out")"
grep -qF '| x.gguf | tg4 @ d64 | 20.00 (10.00–30.00) | ours |' "$scratch/out" || fail "$(cat "$scratch/out")"
grep -qF '| x.gguf | pp8 @ d64 | – | ours | 40.00 (40.00–40.00) | – |' "$scratch/out" || fail "$(cat "$scratch/out")"
grep -qF 'llama-bench has no -d: its prompt tests at a depth are left out' "$scratch/out" || fail "$(cat "$scratch/out")"

# Without a peer, caucus against caucus.
rm "$scratch"/*.count
tools/bench-peers -m x.gguf --caucus "one=$scratch/new bench" --caucus "two=$scratch/ours bench" -p 0 -n 4 --rounds 2 \
    >"$scratch/out" 2>"$scratch/err" || fail "$(cat "$scratch/err")"
grep -qF '| x.gguf | tg4 | 15.00 (10.00–20.00) | two | 40.00 (40.00–40.00) | 3.00 (2.00–4.00) |' "$scratch/out" ||
    fail "$(cat "$scratch/out")"
if compare >"$scratch/out"; then fail "a comparison of one"; fi
grep -qF 'name a --llama-bench, or two with --caucus' "$scratch/err" || fail "$(cat "$scratch/err")"

# A peer with -d needs no excuse; JSON has every round.
rm "$scratch"/*.count
compare --llama-bench "$scratch/new" -p 8 -n 4 -d 0,64 --rounds 2 -o json >"$scratch/out" || fail "$(cat "$scratch/err")"
/usr/bin/python3 - "$scratch/out" <<'PYTHON' || fail "$(cat "$scratch/out")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["notes"] == [] and [row["test"] for row in report["rows"]] == ["pp8", "tg4", "pp8 @ d64", "tg4 @ d64"]
assert all(row["ratio"] == {"median": 3, "least": 2, "greatest": 4, "values": [4, 2]} for row in report["rows"])
PYTHON

# The program itself on one side.
tools/make-model tiny-qwen3 "$scratch/tiny.gguf" --type q8_0 >"$scratch/made"
tools/bench-peers --llama-bench "$scratch/old" -m "$scratch/tiny.gguf" -p 4 -n 2 -d 0,32 --rounds 1 \
    --caucus "one=$program bench -t 1" --caucus "two=mpirun -n 2 $program bench -t 1" >"$scratch/out" 2>"$scratch/err" ||
    fail "$(cat "$scratch/err")"
[ "$(grep -c '^| tiny.gguf |' "$scratch/out")" = 8 ] || fail "$(cat "$scratch/out")"

for wrong in "-p 0 -n 0" "-p 1,,2" "--caucus nothing" "--rounds 0" "--llama-bench $scratch/none"; do
    # shellcheck disable=SC2086 # several arguments
    tools/bench-peers --llama-bench "$scratch/old" -m x.gguf $wrong >"$scratch/out" 2>"$scratch/err" && fail "$wrong is accepted"
    grep -q '^bench-peers: ' "$scratch/err" || fail "$wrong: $(cat "$scratch/err")"
done
