"""Reference decode under the LessIsMore policy (arXiv 2508.07101), numpy, float64.

Prefills a prompt densely, then decodes with the tokens forced, and writes the logits and every set
chosen. Written from the rule alone, as plainly as possible; the same forward without the policy is
held against transformers before anything is written.
"""

import json
from dataclasses import dataclass, field

import numpy as np
import torch
from safetensors.numpy import load_file

import oracle
from sample_text import stories_tokens

MODEL = "stories260K"
N_PREFILL, N_TOKENS = 64, 112
LOGITS_EVERY = 8  # decode steps per stored row
CASES = [{"budget": budget, "select_layers": layers} for budget in (24, 32) for layers in ([2], [1, 3])]
RECENT_RATIO, SINKS = 0.25, 4


@dataclass
class Policy:
    budget: int
    select_layers: list
    chosen: list = field(default_factory=list)  # per decode step: {layer: set}
    margin: float = np.inf  # see set_margin
    recent_ratio: float = RECENT_RATIO
    sinks: int = SINKS

    def split(self):
        """(k_mid, n_sink, n_rec)"""
        k_mid = int(np.floor(self.budget * (1 - self.recent_ratio)))
        n_sink = min(self.sinks, self.budget - k_mid)
        return k_mid, n_sink, self.budget - k_mid - n_sink

    def rank(self, scores):
        """[n_heads, n_cached] -> each head's candidates, best first, and the scores in that order."""
        _, n_sink, n_rec = self.split()
        candidates = np.arange(n_sink, scores.shape[1] - n_rec)
        order = np.argsort(-scores[:, candidates], axis=1, kind="stable")  # ties: the lower token
        ranked = candidates[order]
        return ranked, np.take_along_axis(scores, ranked, axis=1)

    def unite(self, ranked):
        """Round by round over the heads, the first k_mid distinct tokens."""
        k_mid = self.split()[0]
        united = dict.fromkeys(ranked[:, :k_mid].T.flat)
        return sorted(list(united)[:k_mid])

    def select(self, scores):
        _, n_sink, n_rec = self.split()
        n_cached = scores.shape[1]
        ranked, ranked_scores = self.rank(scores)
        united = self.unite(ranked)
        self.margin = min(self.margin, self.set_margin(ranked, ranked_scores, united))
        chosen = [*range(n_sink), *map(int, united), *range(n_cached - n_rec, n_cached)]
        if len(set(chosen)) != self.budget:
            raise ValueError(f"the set has {len(set(chosen))} tokens, not {self.budget}")
        return chosen

    def set_margin(self, ranked, ranked_scores, united):
        """The smallest gap between neighbours in one head's order whose exchange changes the set."""
        k_mid, margin = self.split()[0], np.inf
        gaps = ranked_scores[:, :k_mid] - ranked_scores[:, 1 : k_mid + 1]
        for head, place in np.argwhere(gaps < 0.05):
            other = ranked.copy()
            other[head, [place, place + 1]] = ranked[head, [place + 1, place]]
            if self.unite(other) != united:
                margin = min(margin, gaps[head, place])
        return margin


class Llama:
    """One sequence, one token at a time; keys and values of all tokens are kept."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {n: w.astype(np.float64) for n, w in load_file(folder / "model.safetensors").items()}
        self.n_heads, self.n_kv_heads = (self.config[f"num_{k}_heads"] for k in ("attention", "key_value"))
        self.head_dim = self.config["head_dim"]
        self.cache = [([], []) for _ in range(self.config["num_hidden_layers"])]

    def norm(self, x, name):
        rms = np.sqrt((x * x).mean() + self.config["rms_norm_eps"])
        return x / rms * self.weights[name]

    def rotate(self, heads, position):
        half = self.head_dim // 2
        angle = position * self.config["rope_theta"] ** (-np.arange(half) / half)
        a, b = heads[:, :half], heads[:, half:]
        return np.hstack([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)])

    def scores(self, layer, x):
        """Appends the token to the cache; [n_heads, n_cached] scores and [n_heads, n_cached, head_dim] values."""
        keys, values = self.cache[layer]
        q, k, v = ((self.weights[f"model.layers.{layer}.self_attn.{n}_proj.weight"] @ x)
                   .reshape(-1, self.head_dim) for n in "qkv")
        position = len(keys)
        keys.append(self.rotate(k, position))
        values.append(v)
        group = self.n_heads // self.n_kv_heads
        k_all, v_all = (np.repeat(np.stack(c, axis=1), group, axis=0) for c in (keys, values))
        q = self.rotate(q, position)
        return np.einsum("hd,htd->ht", q, k_all) / np.sqrt(self.head_dim), v_all

    def attend(self, scores, values, tokens):
        scores, values = scores[:, tokens], values[:, tokens]
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("ht,htd->hd", weights, values).reshape(-1)

    def mlp(self, layer, x):
        gate, up, down = (self.weights[f"model.layers.{layer}.mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
        g = gate @ x
        return down @ (g / (1 + np.exp(-g)) * (up @ x))

    def step(self, token, policy=None):
        """The logits after `token`; under a policy where one is given and the cache exceeds its budget."""
        x = self.weights["model.embed_tokens.weight"][token]
        chosen = {}
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            scores, values = self.scores(layer, self.norm(x, name + ".input_layernorm.weight"))
            every = list(range(scores.shape[1]))
            sparse = policy and len(every) > policy.budget
            attended = every
            if sparse and layer in policy.select_layers:
                chosen[layer] = policy.select(scores)  # and attends densely itself
            elif sparse and chosen:
                attended = list(chosen.values())[-1]
            x = x + self.weights[name + ".self_attn.o_proj.weight"] @ self.attend(scores, values, attended)
            x = x + self.mlp(layer, self.norm(x, name + ".post_attention_layernorm.weight"))
        if policy:
            policy.chosen.append(chosen)
        return self.weights["model.embed_tokens.weight"] @ self.norm(x, "model.norm.weight")


def run(token_ids, policy):
    model = Llama(oracle.MODELS / MODEL)
    return np.array([model.step(token, policy if i >= N_PREFILL else None) for i, token in enumerate(token_ids)])


def write_case(token_ids, dense, case):
    policy = Policy(**case)
    rows = run(token_ids, policy)
    k_mid, n_sink, n_rec = policy.split()
    layers = "_".join(map(str, case["select_layers"]))
    name = f"lessismore_{MODEL}_k{case['budget']}_l{layers}"
    positions = list(range(N_PREFILL - 1, N_TOKENS, LOGITS_EVERY))
    golden = {
        "note": "numpy float64; sets of step i are those of position prompt_tokens + i, by select layer",
        "model": MODEL, "token_ids": token_ids, "prompt_tokens": N_PREFILL,
        "budget": policy.budget, "recent_ratio": policy.recent_ratio, "sinks": policy.sinks,
        "select_layers": policy.select_layers, "k_mid": k_mid, "n_sink": n_sink, "n_recent": n_rec,
        "margin": float(f"{policy.margin:.3g}"),
        "sets": [{str(layer): chosen for layer, chosen in step.items()} for step in policy.chosen],
        "positions": positions,
        "argmax": [int(rows[p].argmax()) for p in positions],
        "logits": [oracle.seven_digits(rows[p]) for p in positions]}
    oracle.write_json(oracle.GOLDEN / f"{name}.json", golden)
    moved = abs(rows - dense)[N_PREFILL:].max()
    print(f"{name}: margin {policy.margin:.1e}, differs from dense by {moved:.2f}", flush=True)


def main():
    token_ids = stories_tokens(N_TOKENS)
    dense = run(token_ids, None)
    with torch.no_grad():
        expected = oracle.logits(oracle.load(oracle.MODELS / MODEL), token_ids)
    print(f"dense: off transformers by {abs(dense - expected).max():.1e}")
    if abs(dense - expected).max() > 1e-9:
        raise ValueError("the dense forward is not the model")
    for case in CASES:
        write_case(token_ids, dense, case)


if __name__ == "__main__":
    main()
