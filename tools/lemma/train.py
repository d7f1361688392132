#!/usr/bin/env python3
"""Trains the lemma model: a small Qwen3 that solves lemma chains (chains.py) by a long derivation.

    python3 tools/lemma/train.py --compile --out build-lemma/model

writes a Hugging Face folder. It needs torch, tokenizers and safetensors, a GPU, and some cores that make the
problems. Every problem is fresh. They grow harder as they are learnt: first `+` alone, as modular arithmetic
does not come with three operators from the start; then all three; then longer and longer chains.

A run that was cut goes on with --resume FOLDER: weights and the stage of the problems are those of the folder, the
optimiser starts anew.
"""
import argparse
import collections
import dataclasses
import json
import math
import multiprocessing
import os
import pathlib
import random
import re
import string
import time

import numpy
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

import chains

# --- Tokens: a name is one token, as are every digit and every sign -----------------------------------------

QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = ("{%- for message in messages %}"
          "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endfor %}"
          "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")
BEFORE_PROMPT = f"{IM_START}user\n"
FIRST_WORD = "given"  # the one whose letters do not pair from the left: gi v en
AFTER_PROMPT = f"{IM_END}\n{IM_START}assistant\n"

# The tokens of a step, `af+kq=zt:4+7->zt=1;`, by what it takes to know them.
STEP_TOKENS = 14
STEP_PARTS = {"equation": [0, 2, 3, 4], "operator": [1], "milestone": [8], "result": [12],
              "frame": [5, 6, 7, 9, 10, 11, 13]}
BEFORE_STEPS = 2  # <think> and a line end


def make_tokenizer():
    """Byte-level BPE as Qwen's, whose merges are all pairs of letters and the arrow."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(a, b) for a in string.ascii_lowercase for b in string.ascii_lowercase] + [("-", ">")]
    vocabulary = {piece: i for i, piece in enumerate(alphabet + [a + b for a, b in merges])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in (END_OF_TEXT, IM_START, IM_END)])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>")])
    return tokenizer


class Encoder:
    """Turns problems into token ids as the tokenizer does, but ten times as fast."""
    PIECE = re.compile(r"<[^>]+>|[a-z]{2}|->|.", re.DOTALL)

    def __init__(self, tokenizer):
        self.ids = {tokenizer.decode([i], skip_special_tokens=False): i
                    for i in range(tokenizer.get_vocab_size())}
        self.before_prompt, self.after_prompt, self.end = (
            tokenizer.encode(text).ids for text in (BEFORE_PROMPT + FIRST_WORD, AFTER_PROMPT, IM_END))
        self.check(tokenizer)

    def pieces(self, text):
        return [self.ids[piece] for piece in self.PIECE.findall(text)]

    def encode(self, problem):
        """The ids of the whole dialogue and how many of them are given."""
        given = self.before_prompt + self.pieces(problem.prompt.removeprefix(FIRST_WORD)) + self.after_prompt
        return given + self.pieces(problem.response) + self.end, len(given)

    def check(self, tokenizer):
        problem = chains.draw_problem(random.Random(1), 300, 100)
        text = BEFORE_PROMPT + problem.prompt + AFTER_PROMPT + problem.response + IM_END
        if self.encode(problem)[0] != tokenizer.encode(text).ids:
            raise RuntimeError("the encoder disagrees with the tokenizer")


# --- Model: Qwen3 with the names of Hugging Face's tensors --------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Shape:
    vocab_size: int
    hidden_size: int = 256
    intermediate_size: int = 768
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 64
    max_position_embeddings: int = 8192
    rope_theta: float = 100000.0
    rms_norm_eps: float = 1e-6


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out, bias=False)


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return (x * cos + torch.cat((-second, first), -1) * sin).to(x.dtype)


def attend_densely(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.head_dim = shape.head_dim
        n_query, n_kv = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
        self.q_proj, self.o_proj = linear(shape.hidden_size, n_query), linear(n_query, shape.hidden_size)
        self.k_proj, self.v_proj = linear(shape.hidden_size, n_kv), linear(shape.hidden_size, n_kv)
        self.q_norm, self.k_norm = (RMSNorm(shape.head_dim, shape.rms_norm_eps) for _ in range(2))

    def forward(self, x, cos, sin, attend):
        q, k, v = (project(x).unflatten(-1, (-1, self.head_dim))
                   for project in (self.q_proj, self.k_proj, self.v_proj))
        q = rotate(self.q_norm(q).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(k).transpose(1, 2), cos, sin)
        x = attend(q, k, v.transpose(1, 2))
        return self.o_proj(x.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj, self.up_proj = (linear(shape.hidden_size, shape.intermediate_size) for _ in range(2))
        self.down_proj = linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = (
            RMSNorm(shape.hidden_size, shape.rms_norm_eps) for _ in range(2))
        self.self_attn, self.mlp = Attention(shape), FeedForward(shape)

    def forward(self, x, cos, sin, attend):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                adds_to_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * len(self.layers) if adds_to_residual else 1))
        frequencies = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angles = torch.outer(torch.arange(shape.max_position_embeddings), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos().bfloat16(), persistent=False)
        self.register_buffer("sin", angles.sin().bfloat16(), persistent=False)

    def forward(self, ids, first, attends=None):
        """Logits of the tokens that follow positions first.., [n_sequences, n_tokens - first, vocab_size].

        `attends` has a function for each layer that attends in it; without, all do so densely.
        """
        x = self.embed_tokens(ids)
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        for layer, attend in zip(self.layers, attends or [attend_densely] * len(self.layers)):
            x = layer(x, cos, sin, attend)
        return F.linear(self.norm(x[:, first:]), self.embed_tokens.weight)


# --- Problems: what is asked next, and batches made ahead by other processes --------------------------------

class Curriculum:
    """Which problems are asked next: harder ones as soon as those at hand are solved."""
    WINDOW = 20  # batches over which accuracy is judged

    def __init__(self, most_steps, longest, operators=1):
        self.most_steps, self.longest, self.operators, self.level = most_steps, longest, operators, 0
        self.recent = collections.deque(maxlen=self.WINDOW)

    def draw(self, rng):
        """(steps, distractors, operators) of a batch; lengths are even in their logarithm, the longest frequent."""
        steps = self.longest if rng.random() < 0.2 else max(2, round(self.longest ** rng.uniform(0.3, 1)))
        return steps, rng.choice([0, steps // 4, steps // 2]), "+-*"[:self.operators]

    def observe(self, level, accuracy):
        """Takes in the accuracies of the parts of a step in a batch drawn at `level`.

        Every part must be known before problems grow: what was not learnt among few equations is not among many.
        Batches drawn before the last rise were already on their way then, and do not count.
        """
        if level != self.level:
            return
        self.recent.append(accuracy)
        if len(self.recent) < self.WINDOW:
            return
        mean = {part: sum(batch[part] for batch in self.recent) / self.WINDOW for part in accuracy}
        if self.operators < 3 and mean["result"] > 0.97:
            self.operators += 1
            self.rise()
        elif self.operators == 3 and self.longest < self.most_steps and min(mean.values()) > 0.97:
            self.longest = min(self.most_steps, int(self.longest * 1.2) + 1)
            self.rise()

    def rise(self):
        self.level += 1
        self.recent.clear()


def make_batch(encoder, seed, n_tokens, steps, distractors, operators):
    """ids [n_sequences, length], about `n_tokens` in all, and how many of each sequence are given."""
    rng, rows, n_given = random.Random(seed), [], 0
    while len(rows) < 2 or (len(rows) + 1) * len(rows[0]) <= n_tokens:
        ids, n_given = encoder.encode(chains.draw_problem(rng, steps, distractors, operators))
        rows.append(ids)
    return numpy.array(rows, dtype=numpy.int16), n_given


class Batches:
    """Made ahead by other processes, without end. Batch i depends on the seed, i and the curriculum alone."""
    AHEAD = 32

    def __init__(self, encoder, seed, n_tokens, n_workers):
        self.pool = multiprocessing.get_context("fork").Pool(n_workers)
        self.encoder, self.seed, self.n_tokens = encoder, seed, n_tokens
        self.rng, self.n_drawn, self.queue = random.Random(f"draw {seed}"), 0, collections.deque()

    def next(self, curriculum):
        """ids, how many of each sequence are given, and the level at which the batch was drawn."""
        while len(self.queue) <= self.AHEAD:
            problems = curriculum.draw(self.rng)
            task = (self.encoder, f"batch {self.seed} {self.n_drawn}", self.n_tokens, *problems)
            self.queue.append((self.pool.apply_async(make_batch, task), curriculum.level))
            self.n_drawn += 1
        result, level = self.queue.popleft()
        ids, n_given = result.get()
        return torch.from_numpy(ids), n_given, level


# --- Training -----------------------------------------------------------------------------------------------

def learning_rate(update, settings):
    """Warm-up, a plateau, and a cosine down to a hundredth."""
    warm = min(1, (update + 1) / 200)
    decay_start = settings.updates * (1 - settings.decay)
    done = max(0, update - decay_start) / max(1, settings.updates - decay_start)
    return settings.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def half_precision(device):
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def make_optimizer(model, settings):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0}],
                             lr=settings.lr, betas=(0.9, 0.98), fused=True)


def split_parts(per_token):
    """Means over the parts of a step and over what follows the derivation, from [n_sequences, n_response]."""
    n_steps = (per_token.shape[1] - BEFORE_STEPS) // STEP_TOKENS
    after_steps = BEFORE_STEPS + n_steps * STEP_TOKENS
    slots = per_token[:, BEFORE_STEPS:after_steps].reshape(-1, STEP_TOKENS).float().mean(0)
    parts = {part: slots[which].mean() for part, which in STEP_PARTS.items()}
    return {**parts, "answer": per_token[:, after_steps:].float().mean()}


def losses_of(model, ids, n_given, attends=None):
    """The loss; cross entropy and hit of every token of the responses, [n_sequences, n_response]."""
    target = ids[:, n_given:]
    with half_precision(ids.device.type):
        logits = model(ids[:, :-1], n_given - 1, attends)
    losses = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    parts = split_parts(losses)  # what is hard is one token in fourteen: give it four times the weight
    loss = losses.mean() + 3 / STEP_TOKENS * (parts["operator"] + parts["milestone"] + parts["result"])
    return loss, losses.detach(), logits.detach().argmax(-1) == target


def update_weights(model, optimizer):
    """By the gradients that have come together, which start anew."""
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def describe(losses, hits):
    accuracy = split_parts(hits)
    return " ".join(f"{part} {loss.item():.1e}/{accuracy[part].item():.4f}"
                    for part, loss in split_parts(losses).items())


def train(model, encoder, batches, curriculum, settings):
    optimizer, started, n_tokens = make_optimizer(model, settings), time.time(), 0
    for update in range(settings.updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(update, settings)
        ids, n_given, level = batches.next(curriculum)
        loss, losses, hits = losses_of(model, ids.to(settings.device).long(), n_given)
        loss.backward()
        update_weights(model, optimizer)
        curriculum.observe(level, {part: share.item() for part, share in split_parts(hits).items()})
        n_tokens += ids.numel()
        if (update + 1) % 100 == 0:
            seconds = time.time() - started
            print(f"{update + 1} {seconds:.0f}s {n_tokens / seconds / 1e3:.0f}K/s operators {curriculum.operators}"
                  f" longest {curriculum.longest} length {ids.shape[1]} | {describe(losses, hits)}", flush=True)
        if (update + 1) % settings.save_every == 0:
            save_weights(model, curriculum, settings.out)
            report(model, encoder, settings, 64)


# --- Judging ------------------------------------------------------------------------------------------------

@torch.no_grad()
def evaluate(model, encoder, seed, steps, count, device, make_attends=None, rows=None):
    """Of `count` fresh problems the shares of right tokens, of right answers, of problems right in every token.

    The model reads the true derivation and its best guess at every token is compared. Where all are right it would
    have written the same derivation by itself. `make_attends(n_given)` tells how it attends, if not densely; then
    `rows` of the problems go at once.
    """
    rng, hits = random.Random(f"evaluate {seed} {steps}"), []
    problems = [encoder.encode(chains.draw_problem(rng, steps, steps // 4)) for _ in range(count)]
    n_given = problems[0][1]
    ids = torch.tensor([ids for ids, _ in problems])
    for batch in ids.split(rows or max(2, 65536 // ids.shape[1])):
        batch = batch.to(device)
        with half_precision(device):
            best = model(batch[:, :-1], n_given - 1, make_attends and make_attends(n_given)).argmax(-1)
        hits.append(best == batch[:, n_given:])
    hits = torch.cat(hits).float()
    digit = -2  # the answer ends in its digit and the end of the turn
    return {"tokens": hits.mean().item(), "answers": hits[:, digit].mean().item(),
            "exact": hits.all(1).float().mean().item()}


def report(model, encoder, settings, count):
    scores = {steps: evaluate(model, encoder, settings.seed, steps, count, settings.device)
              for steps in settings.judge_steps}
    for steps, score in scores.items():
        print(f"{steps:5} steps: exact {score['exact']:.4f} answers {score['answers']:.4f}"
              f" tokens {score['tokens']:.6f} of {count} problems", flush=True)


# --- Saving -------------------------------------------------------------------------------------------------

def save_weights(model, curriculum, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"model." + name: weight.detach().bfloat16().cpu() for name, weight in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={
        "format": "pt", "longest": str(curriculum.longest), "operators": str(curriculum.operators)})


def load_weights(model, curriculum, folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {name.removeprefix("model."): file.get_tensor(name) for name in file.keys()}
    model.load_state_dict(tensors)  # copies into the float32 weights
    curriculum.longest, curriculum.operators = int(metadata["longest"]), int(metadata["operators"])


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def save_settings(shape, tokenizer, folder):
    """All of the folder but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    end_of_text, im_end = tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(IM_END)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "bos_token": None, "eos_token": IM_END,
        "pad_token": END_OF_TEXT, "model_max_length": shape.max_position_embeddings,
        "clean_up_tokenization_spaces": False, "chat_template": CHATML})
    write_json(folder / "config.json", {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **dataclasses.asdict(shape),
        "hidden_act": "silu", "attention_bias": False, "rope_scaling": None, "use_sliding_window": False,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "bos_token_id": end_of_text,
        "eos_token_id": im_end})
    write_json(folder / "generation_config.json", {
        "do_sample": False, "bos_token_id": end_of_text, "eos_token_id": [im_end, end_of_text],
        "pad_token_id": end_of_text})


# --- Command ------------------------------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, metavar="FOLDER", help="where the model is written")
    add("--resume", type=pathlib.Path, metavar="FOLDER", help="go on from the model there")
    add("--updates", type=int, default=9000, help="of the weights, in all (default: %(default)s)")
    add("--decay", type=float, default=0.6, help="share of them in which the rate falls (default: %(default)s)")
    add("--lr", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    add("--tokens", type=int, default=65536, help="in a batch (default: %(default)s)")
    add("--first-steps", type=int, default=8, help="of the longest problem at first (default: %(default)s)")
    add("--most-steps", type=int, default=320, help="of a problem, in training (default: %(default)s)")
    add("--seed", type=int, default=1, help="of weights and problems (default: %(default)s)")
    add("--save-every", type=int, default=1000, help="updates between saved models (default: %(default)s)")
    add("--judge-steps", type=int, nargs="+", default=[8, 32, 64, 128, 256], help="lengths that are judged")
    add("--judge-count", type=int, default=1000, help="problems of each at the end (default: %(default)s)")
    add("--hidden", type=int, default=256, help="hidden size (default: %(default)s)")
    add("--layers", type=int, default=8, help="(default: %(default)s)")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="processes that make problems")
    add("--compile", action="store_true", help="compile the layers: faster after about a minute")
    settings = parser.parse_args()
    settings.device = "cuda" if torch.cuda.is_available() else "cpu"
    return settings


def main():
    settings = parse_arguments()
    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape, and ours change all the time
    tokenizer = make_tokenizer()
    encoder = Encoder(tokenizer)
    batches = Batches(encoder, settings.seed, settings.tokens, settings.workers)  # forks: before the GPU is used
    shape = Shape(tokenizer.get_vocab_size(), hidden_size=settings.hidden, num_hidden_layers=settings.layers,
                  intermediate_size=3 * settings.hidden)
    model, curriculum = Model(shape).to(settings.device), Curriculum(settings.most_steps, settings.first_steps)
    if settings.resume:
        load_weights(model, curriculum, settings.resume)
    if settings.compile:
        for layer in model.layers:
            layer.compile(dynamic=True)
    print(f"{sum(p.numel() for p in model.parameters())} parameters on {settings.device}", flush=True)
    save_settings(shape, tokenizer, settings.out)
    train(model, encoder, batches, curriculum, settings)
    save_weights(model, curriculum, settings.out)
    load_weights(model, curriculum, settings.out)  # judge what was saved, rounded to bf16
    report(model, encoder, settings, settings.judge_count)


if __name__ == "__main__":
    main()
