"""Random weights for tiny models, large enough that attention is uneven and every tensor matters."""

import numpy as np
import torch


def tensor_shapes(config):
    """Names and shapes as Hugging Face stores them, in the order of the layers."""
    c = config
    q_size, kv_size = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    yield "model.embed_tokens.weight", (c.vocab_size, c.hidden_size)
    for i in range(c.num_hidden_layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (c.hidden_size,)
        for name, rows, cols in (("q", q_size, c.hidden_size), ("k", kv_size, c.hidden_size),
                                 ("v", kv_size, c.hidden_size), ("o", c.hidden_size, q_size)):
            yield f"{layer}self_attn.{name}_proj.weight", (rows, cols)
            if name in c.biases:
                yield f"{layer}self_attn.{name}_proj.bias", (rows,)
        if c.qk_norm:
            yield layer + "self_attn.q_norm.weight", (c.head_dim,)
            yield layer + "self_attn.k_norm.weight", (c.head_dim,)
        yield layer + "post_attention_layernorm.weight", (c.hidden_size,)
        yield from mlp_shapes(layer + "mlp.", c)
    yield "model.norm.weight", (c.hidden_size,)
    if not c.tied:
        yield "lm_head.weight", (c.vocab_size, c.hidden_size)


def mlp_shapes(prefix, c):
    parts, width = [prefix], c.mlp_size
    if c.n_experts:
        yield prefix + "gate.weight", (c.n_experts, c.hidden_size)
        parts = [f"{prefix}experts.{e}." for e in range(c.n_experts)]
    for part in parts:
        yield part + "gate_proj.weight", (width, c.hidden_size)
        yield part + "up_proj.weight", (width, c.hidden_size)
        yield part + "down_proj.weight", (c.hidden_size, width)


def draw(rng, name, shape):
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return rng.uniform(0.8, 2.0, shape)
    if name.endswith("norm.weight"):
        return rng.uniform(0.5, 1.5, shape)
    spread = 0.12
    if name.endswith(".bias"):
        spread = 0.3
    elif name.endswith("mlp.gate.weight"):
        spread = 0.4  # a decided router: near ties would test rounding, not routing
    elif "q_proj" in name or "k_proj" in name:
        spread = 0.2
    return rng.standard_normal(shape) * spread


def random_weights(config, seed, dtype):
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for name, shape in tensor_shapes(config):
        weights[name] = torch.from_numpy(draw(rng, name, shape)).to(dtype)
    return weights
