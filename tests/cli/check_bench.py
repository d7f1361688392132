"""check_bench.py FORMAT N_RANKS: reads what test_bench.sh made bench print, and says what is wrong with it."""

import csv, json, math, sys
form, n_ranks = sys.argv[1], int(sys.argv[2])
text = sys.stdin.read()
if form == "md":
    lines = [line for line in text.splitlines() if line.startswith("|")]
    titles, rule, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert all(set(cell) <= {"-", ":"} for cell in rule)
    assert text.splitlines()[-1].startswith("build: caucus ")
    rows = [dict(zip(titles, row, strict=True)) for row in rows]
    assert [row["test"] for row in rows] == ["pp8", "tg4", "pp6+tg3", "pp8 @ d40", "tg4 @ d40", "pp6+tg3 @ d40"] * 2
    assert all(row["ranks"] == str(n_ranks) and float(row["t/s"].split(" ± ")[0]) > 0 for row in rows)
    assert [row["policy"] + row["budget"] for row in rows] == ["full"] * 6 + ["lessismore16"] * 6
    sys.exit()
if form == "csv":
    records = list(csv.DictReader(text.splitlines(), strict=True))
    numbers = [field for field in records[0] if records[0][field].replace(".", "").replace("e-", "").isdigit()]
    assert {"n_prompt", "n_gen", "n_depth", "avg_ns", "stddev_ts", "model_size", "n_ranks"} <= set(numbers)
    records = [{k: None if v == "" else float(v) if k not in ("version",) and v.replace(".", "").replace(
        "e-", "").isdigit() else v for k, v in record.items()} for record in records]
elif form == "json":
    records = json.loads(text)
else:
    records = [json.loads(line) for line in text.splitlines()]
assert len(records) == 12
assert [r["test"] for r in records[:3]] == ["pp8", "tg4", "pp6+tg3"]
for r in records:
    assert r["n_ranks"] == n_ranks and r["n_threads"] == 1 and r["model_n_params"] == 260032
    assert r["model_size"] == 4 * 260032 and r["model_type"] == "llama 0.26M F32"
    assert r["avg_ns"] > 0 and r["avg_ts"] > 0 and r["stddev_ns"] >= 0 and r["read_gb_per_s"] > 0
    assert r["resident_bytes_max"] > r["resident_overhead_bytes"] > 0
    if form != "csv":
        assert len(r["samples_ns"]) == len(r["samples_ts"]) == 2
        mean = sum(r["samples_ts"]) / 2
        assert math.isclose(r["avg_ts"], mean, rel_tol=1e-6)
        tokens = r["n_prompt"] + r["n_gen"]
        assert all(math.isclose(1e9 * tokens / ns, ts, rel_tol=1e-3)
                   for ns, ts in zip(r["samples_ns"], r["samples_ts"], strict=True))
    if r["n_prompt"] > 0:
        assert r["bytes_per_token"] is None and r["read_share"] is None
        continue
    # f16 keys and values of 5 layers x 4 KV heads x 8; positions depth … depth + 3, the token's own included.
    lengths = [r["n_depth"] + i + 1 for i in range(4)]
    dense = 3 if r["policy"] == "lessismore" else 5
    read = sum(dense * n + (5 - dense) * min(n, 16) for n in lengths) / 4
    assert math.isclose(r["kv_bytes_per_token"], 2 * 2 * 8 * 4 * read), (r["kv_bytes_per_token"], read)
    norms, row = 11 * 64 * 4, 64 * 4
    assert r["weight_bytes_per_token"] == 4 * 260032 + (n_ranks - 1) * norms + n_ranks * row
    assert math.isclose(r["bytes_per_token"], r["weight_bytes_per_token"] + r["kv_bytes_per_token"])
    assert math.isclose(r["gb_per_s"] / r["read_gb_per_s"], r["read_share"], rel_tol=1e-6)
