"""Holds the goldens that came with a model (golden_logits.json in its folder) against the oracle."""

import json

import numpy as np

import oracle


def difference(folder, **config_changes):
    golden = json.loads((folder / "golden_logits.json").read_text())
    rows = oracle.logits(oracle.load(folder, **config_changes), golden["token_ids"])
    return np.abs(rows - np.array(golden["logits"])).max(), np.abs(rows).max()


def correct_mistral():
    """tiny_mistral says sliding_window 8, yet its own golden was made without: write one with."""
    folder = oracle.MODELS / "tiny_mistral"
    token_ids = json.loads((folder / "golden_logits.json").read_text())["token_ids"]
    oracle.write_golden("tiny_mistral", "tiny_mistral", token_ids, oracle.logits(oracle.load(folder), token_ids))


def main():
    for name in ("tiny_qwen3", "tiny_llama3", "tiny_mistral"):
        worst, largest = difference(oracle.MODELS / name)
        print(f"{name}: off by {worst:.1e}; largest logit {largest:.2f}")
    without = difference(oracle.MODELS / "tiny_mistral", sliding_window=None)[0]
    print(f"tiny_mistral without its sliding window: off by {without:.1e}")
    correct_mistral()


if __name__ == "__main__":
    main()
