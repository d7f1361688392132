#!/usr/bin/env python3
"""Writes tests/data/sampler/distributions.json: what is left of a row of logits after repetition penalty,
temperature, top-k, top-p and min-p, by numpy, step by step as the logits processors of transformers do it
(scores in float32, masks of -inf, softmax anew in each step).

    python3 tools/goldens/sampler_cases.py     needs numpy; run in the root of the project
"""
import itertools
import json
import pathlib

import numpy as np

OUTPUT = pathlib.Path("tests/data/sampler/distributions.json")


def softmax(scores):
    weights = np.exp(scores.astype(np.float64) - scores.max())
    return weights / weights.sum()


def repetition_penalty(scores, seen, penalty):
    scores = scores.copy()
    scores[seen] = np.where(scores[seen] < 0, scores[seen] * np.float32(penalty), scores[seen] / np.float32(penalty))
    return scores


def top_k(scores, k):
    kth = np.sort(scores)[-min(k, scores.size)]
    return np.where(scores < kth, np.float32(-np.inf), scores)


def top_p(scores, p):
    # Among equals the smaller id is the better one, so it must come later in this ascending order.
    order = np.lexsort((-np.arange(scores.size), scores))
    remove = np.cumsum(softmax(scores)[order]) <= 1 - p
    remove[-1] = False
    scores = scores.copy()
    scores[order[remove]] = -np.inf
    return scores


def min_p(scores, p):
    probabilities = softmax(scores)
    return np.where(probabilities < p * probabilities.max(), np.float32(-np.inf), scores)


def distribution(scores, seen, config):
    if config["repetition_penalty"] != 1:
        scores = repetition_penalty(scores, seen, config["repetition_penalty"])
    if config["temperature"] == 0:
        one_hot = np.zeros(scores.size)
        one_hot[np.argmax(scores)] = 1
        return one_hot
    scores = scores / np.float32(config["temperature"])
    if config["top_k"]:
        scores = top_k(scores, config["top_k"])
    if config["top_p"] < 1:
        scores = top_p(scores, config["top_p"])
    if config["min_p"]:
        scores = min_p(scores, config["min_p"])
    return softmax(scores)


def main():
    random = np.random.default_rng(1)
    cases = []
    for temperature, k, p, least, penalty in itertools.product(
            (0, 0.6, 1.5), (0, 3, 12), (1, 0.9, 0.4), (0, 0.1), (1, 1.3, 0.7)):
        if temperature == 0 and (k or p < 1 or least):
            continue
        logits = (random.normal(size=24) * 2.5).astype(np.float32)
        logits[[5, 9, 17]] = np.sort(logits)[-3]  # ties, at the edge of top-3 too
        seen = sorted(int(token) for token in random.choice(24, size=6, replace=False))
        config = {"temperature": temperature, "top_k": k, "top_p": p, "min_p": least,
                  "repetition_penalty": penalty}
        cases.append({"config": config, "seen": seen, "logits": [float(x) for x in logits],
                      "probabilities": [float(x) for x in distribution(logits, seen, config)]})
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUTPUT.write_text('{"note": "written by tools/goldens/sampler_cases.py", "cases": [\n' + lines + "\n]}\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
