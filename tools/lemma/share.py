#!/usr/bin/env python3
"""Trains a lemma model on until its layers can share one set of tokens, as policy lessismore has them do.

    python3 tools/lemma/share.py --from build-lemma/model --out build-lemma/shared

takes a folder that train.py wrote and writes another. It needs what train.py needs.

LessIsMore lives on global locality: what a late layer looks for is what the heads of an early layer rank highest.
Large reasoning models have it. A small one that was only ever trained densely has no reason to, and its last layer
looks for tokens that nobody before it ranked. Two things change that:

- Half of every batch is attended to as under lessismore (docs/policies.md): prompts densely, responses by shared
  sets, with budgets and the second select layer drawn anew. The other half stays dense. This alone teaches next to
  nothing, as the choice has no gradient.
- So a ranking loss, over the dense half, tells the heads of the select layers what the layers behind them attend to.
  It only looks at tokens that sets must choose, neither first nor latest, and so leaves the heads' own work alone.
  It fades out, since it costs the last of exactness.
"""
import argparse
import dataclasses
import math
import os
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import train
from train import attend_densely

# --- Attention under lessismore -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Policy:
    """Options of lessismore, by the names of the command line."""
    budget: int
    select_layers: tuple = (2, 5)
    recent_ratio: float = 0.25
    sinks: int = 4

    def readers(self, n_layers):
        """Pairs of a select layer and the layers that read its set."""
        ends = (*self.select_layers[1:], n_layers)
        return [(layer, range(layer + 1, end)) for layer, end in zip(self.select_layers, ends) if layer + 1 < end]

    def parts(self):
        """How many tokens of a set are chosen, first, and latest."""
        n_chosen = math.floor(self.budget * (1 - self.recent_ratio))
        n_sinks = min(self.sinks, self.budget - n_chosen)
        return n_chosen, n_sinks, self.budget - n_chosen - n_sinks


def scores_by_head(q, k, rows):
    """Of each query head, [n_sequences, n_rows, n_tokens]."""
    group = q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        yield q[:, head, rows].float() @ k[:, head // group].float().mT / math.sqrt(q.shape[3])


def agree(q, k, rows, candidates, n_chosen):
    """Which candidates the heads together choose for the queries `rows`, [n_sequences, n_rows, n_tokens].

    Every head ranks its best n_chosen; read aloud in turn, the first n_chosen distinct ones are chosen.
    """
    n_heads = q.shape[1]
    heard = torch.full((len(q), *candidates.shape), torch.inf, device=q.device)  # when a token is heard first
    for head, scores in enumerate(scores_by_head(q, k, rows)):
        ranked = scores.masked_fill_(~candidates, -torch.inf).topk(n_chosen).indices
        turns = torch.arange(head, n_chosen * n_heads, n_heads, device=q.device, dtype=heard.dtype)
        own = torch.full_like(heard, torch.inf).scatter_(2, ranked, turns.expand(ranked.shape))
        heard = torch.minimum(heard, own)
    return heard <= heard.kthvalue(n_chosen, keepdim=True).values


@torch.no_grad()
def shared_set(q, k, n_given, policy):
    """What every query may attend to, [n_sequences, 1, n_tokens, n_tokens]; None where all is within the budget."""
    n_tokens, (n_chosen, n_sinks, n_latest) = q.shape[2], policy.parts()
    first = max(n_given, policy.budget)  # the prompt is read densely
    if first >= n_tokens:
        return None
    token = torch.arange(n_tokens, device=q.device)
    causal = token <= token[:, None]
    latest = token > token[first:, None] - n_latest
    mask = causal.repeat(len(q), 1, 1)
    mask[:, first:] &= (token < n_sinks) | latest
    if n_chosen:
        with torch.autocast(q.device.type, enabled=False):
            mask[:, first:] |= agree(q, k, slice(first, None), (token >= n_sinks) & ~latest, n_chosen)
    return mask.unsqueeze(1)


class SharedSets:
    """How the layers of one pass attend, in the order of the layers."""

    def __init__(self, policy, n_given):
        self.policy, self.n_given, self.mask = policy, n_given, None

    def attends(self, n_layers):
        return [self.choose if layer in self.policy.select_layers else self.read for layer in range(n_layers)]

    def choose(self, q, k, v):
        self.mask = shared_set(q, k, self.n_given, self.policy)
        return attend_densely(q, k, v)

    def read(self, q, k, v):
        if self.mask is None:
            return attend_densely(q, k, v)
        group = q.shape[1] // k.shape[1]
        k, v = (x.repeat_interleave(group, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)


# --- What early layers are to rank --------------------------------------------------------------------------

LITTLE = 0.1  # weight below which attention is not taken to look for a token


class Listening:
    """Dense attention of one pass that keeps the queries and keys of each layer."""

    def __init__(self):
        self.heard = []

    def attends(self, n_layers):
        return [self.attend] * n_layers

    def attend(self, q, k, v):
        self.heard.append((q, k))
        return attend_densely(q, k, v)


@torch.no_grad()
def what_is_read(layers, rows, causal, candidates):
    """The weight of every candidate under the head that attends to it most; 0 where that is little."""
    most = None
    for q, k in layers:
        for scores in scores_by_head(q, k, rows):
            weights = scores.masked_fill_(~causal, -torch.inf).softmax(-1)
            most = weights if most is None else torch.maximum(most, weights)
    return most * (candidates & (most > LITTLE))


def ranking_loss(heard, n_given, policy):
    """How far down the heads of the select layers rank what the layers behind them read, in nats a token read."""
    n_tokens, (_, n_sinks, n_latest) = heard[0][0].shape[2], policy.parts()
    rows, token = slice(n_given, None), torch.arange(n_tokens, device=heard[0][0].device)
    causal = token <= token[rows, None]
    candidates = (token >= n_sinks) & (token <= token[rows, None] - n_latest)
    total = 0
    for layer, readers in policy.readers(len(heard)):
        read = what_is_read([heard[reader] for reader in readers], rows, causal, candidates)
        ranked = torch.stack([scores.masked_fill(~candidates, -1e4).log_softmax(-1)
                              for scores in scores_by_head(*heard[layer], rows)]).logsumexp(0)
        total = total - (read * ranked).sum() / read.sum().clamp(min=1)
    return total


# --- Training -----------------------------------------------------------------------------------------------

LARGEST_PASS = 1 << 26  # entries of a mask: what a pass of shared sets may have, by memory


def draw_policy(rng, settings, n_layers):
    """Budgets are even in their logarithm; at times the second select layer is another one."""
    first, second = settings.select_layers
    if rng.random() < settings.vary:
        second = rng.randrange(first + 1, n_layers - 1)
    return Policy(budget=round(64 * 8 ** rng.random()), select_layers=(first, second))


def rows_at_once(n_tokens):
    return max(1, LARGEST_PASS // n_tokens ** 2)


def train_on(model, ids, n_given, ranking_weight, settings, rng):
    """Gradients of a batch, half dense and half shared. The hits of the shared half and the ranking loss."""
    (dense, shared), n_layers = ids.chunk(2), len(model.layers)
    listening = Listening()
    loss = train.losses_of(model, dense, n_given, listening.attends(n_layers))[0]
    ranking = ranking_loss(listening.heard, n_given, draw_policy(rng, settings, n_layers))
    (0.5 * loss + ranking_weight * ranking).backward()
    hits = []
    for rows in shared.split(rows_at_once(ids.shape[1])):
        attends = SharedSets(draw_policy(rng, settings, n_layers), n_given).attends(n_layers)
        loss, _, hit = train.losses_of(model, rows, n_given, attends)
        (0.5 * len(rows) / len(shared) * loss).backward()
        hits.append(hit)
    return torch.cat(hits), ranking.detach()


def learning_rate(update, done, settings):
    """Warm-up, then a cosine down to a hundredth over the time there is."""
    return settings.lr * min(1, (update + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def weight_of_ranking(done, settings):
    """Falls to 0 over three fifths of the time: it shows the way, but costs the last of exactness."""
    return settings.ranking * max(0, 1 - done / 0.6)


def share(model, encoder, batches, curriculum, settings):
    optimizer, rng = train.make_optimizer(model, settings), random.Random(f"policies {settings.seed}")
    started, update, recent = time.time(), 0, []
    while (done := (time.time() - started) / (60 * settings.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(update, done, settings)
        ids, n_given, _ = batches.next(curriculum)
        hits, ranking = train_on(model, ids.to(settings.device).long(), n_given, weight_of_ranking(done, settings),
                                 settings, rng)
        train.update_weights(model, optimizer)
        recent.append({"ranking loss": ranking.item(), **train.split_parts(hits)})
        update += 1
        if len(recent) == 100:
            means = ", ".join(f"{part} {sum(one[part] for one in recent) / len(recent):.4f}" for part in recent[0])
            print(f"{update} {time.time() - started:.0f}s with shared sets: {means}", flush=True)
            recent.clear()
        if update % settings.save_every == 0:
            train.save_weights(model, curriculum, settings.out)
            judge(model, encoder, settings, 64, 8)


# --- Judging ------------------------------------------------------------------------------------------------

def judge(model, encoder, settings, n_dense, n_shared):
    n_layers = len(model.layers)
    train.report(model, encoder, settings, n_dense)
    for steps in settings.share_steps:
        for budget in settings.budgets:
            policy = Policy(budget, tuple(settings.select_layers))
            score = train.evaluate(model, encoder, settings.seed, steps, n_shared, settings.device,
                                   lambda n_given, policy=policy: SharedSets(policy, n_given).attends(n_layers),
                                   rows_at_once(22 * steps))
            print(f"{steps:5} steps, lessismore {budget:4}: exact {score['exact']:.4f} answers {score['answers']:.4f}"
                  f" tokens {score['tokens']:.6f} of {n_shared} problems", flush=True)


# --- Command ------------------------------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--from", dest="source", type=pathlib.Path, required=True, metavar="FOLDER", help="the model to begin with")
    add("--out", type=pathlib.Path, required=True, metavar="FOLDER", help="where the model is written")
    add("--minutes", type=float, default=8, help="of training (default: %(default)s)")
    add("--lr", type=float, default=5e-4, help="highest learning rate (default: %(default)s)")
    add("--ranking", type=float, default=0.3, help="weight of the ranking loss at first (default: %(default)s)")
    add("--tokens", type=int, default=32768, help="in a batch (default: %(default)s)")
    add("--seed", type=int, default=1, help="of problems and policies (default: %(default)s)")
    add("--save-every", type=int, default=500, help="updates between saved models (default: %(default)s)")
    add("--most-steps", type=int, default=320, help="of a problem, in training (default: %(default)s)")
    add("--judge-steps", type=int, nargs="+", default=[8, 32, 64, 128, 256], help="lengths that are judged densely")
    add("--judge-count", type=int, default=1000, help="problems of each at the end (default: %(default)s)")
    add("--select-layers", type=int, nargs=2, default=[2, 5], help="(default: 2 5)")
    add("--vary", type=float, default=0.5, help="share of policies with another second one (default: %(default)s)")
    add("--share-steps", type=int, nargs="+", default=[160, 256], help="lengths judged so (default: 160 256)")
    add("--share-count", type=int, default=50, help="problems of each (default: %(default)s)")
    add("--budgets", type=int, nargs="+", default=[64, 128, 256, 512], help="tokens of a set (default: 64 to 512)")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="processes that make problems")
    settings = parser.parse_args()
    settings.device = "cuda" if torch.cuda.is_available() else "cpu"
    return settings


def main():
    settings = parse_arguments()
    torch.manual_seed(settings.seed)
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)  # as in train.py
    tokenizer = train.make_tokenizer()
    encoder = train.Encoder(tokenizer)
    batches = train.Batches(encoder, f"share {settings.seed}", settings.tokens, settings.workers)
    shape = train.Shape(tokenizer.get_vocab_size())
    model, curriculum = train.Model(shape).to(settings.device), train.Curriculum(settings.most_steps, 8)
    train.load_weights(model, curriculum, settings.source)
    curriculum.longest = min(curriculum.longest, settings.most_steps)
    train.save_settings(shape, tokenizer, settings.out)
    share(model, encoder, batches, curriculum, settings)
    train.save_weights(model, curriculum, settings.out)
    train.load_weights(model, curriculum, settings.out)  # judge what was saved, rounded to bf16
    judge(model, encoder, settings, settings.judge_count, settings.share_count)


if __name__ == "__main__":
    main()
