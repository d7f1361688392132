"""The shapes of published models. A new one is a line in SHAPES."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
    """RoPE scaling of Llama 3.1 and later."""
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: int = 8192

    def divisors(self, theta, head_dim):
        """What each RoPE frequency is divided by: GGUF's rope_freqs."""
        turns = self.original_context / (2 * math.pi * theta ** (np.arange(0, head_dim, 2) / head_dim))
        kept = np.clip((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor), 0, 1)
        return (1 / ((1 - kept) / self.factor + kept)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Shape:
    architecture: str  # "llama" or "qwen3", as in config.json and in GGUF
    hidden_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    mlp_size: int
    vocab_size: int
    tied: bool
    context: int
    rope_theta: float
    rope_scaling: Llama3Scaling | None = None

    @property
    def rms_norm_eps(self):
        return 1e-6 if self.architecture == "qwen3" else 1e-5

    @property
    def qk_norm(self):
        return self.architecture == "qwen3"


@dataclasses.dataclass(frozen=True)
class Tensor:
    hf_name: str
    gguf_name: str
    rows: int  # 0: a vector
    cols: int
    rotated_heads: int = 0  # heads whose rows GGUF interleaves, where the architecture is llama

    @property
    def size(self):
        return max(self.rows, 1) * self.cols


def tensors(shape):
    """All of a model, in the order in which they are written."""
    hidden, q, kv = shape.hidden_size, shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    yield Tensor("model.embed_tokens.weight", "token_embd.weight", shape.vocab_size, hidden)
    for i in range(shape.n_layers):
        hf, gguf = f"model.layers.{i}.", f"blk.{i}."
        yield Tensor(hf + "input_layernorm.weight", gguf + "attn_norm.weight", 0, hidden)
        yield Tensor(hf + "self_attn.q_proj.weight", gguf + "attn_q.weight", q, hidden, shape.n_heads)
        yield Tensor(hf + "self_attn.k_proj.weight", gguf + "attn_k.weight", kv, hidden, shape.n_kv_heads)
        yield Tensor(hf + "self_attn.v_proj.weight", gguf + "attn_v.weight", kv, hidden)
        yield Tensor(hf + "self_attn.o_proj.weight", gguf + "attn_output.weight", hidden, q)
        if shape.qk_norm:
            yield Tensor(hf + "self_attn.q_norm.weight", gguf + "attn_q_norm.weight", 0, shape.head_dim)
            yield Tensor(hf + "self_attn.k_norm.weight", gguf + "attn_k_norm.weight", 0, shape.head_dim)
        yield Tensor(hf + "post_attention_layernorm.weight", gguf + "ffn_norm.weight", 0, hidden)
        yield Tensor(hf + "mlp.gate_proj.weight", gguf + "ffn_gate.weight", shape.mlp_size, hidden)
        yield Tensor(hf + "mlp.up_proj.weight", gguf + "ffn_up.weight", shape.mlp_size, hidden)
        yield Tensor(hf + "mlp.down_proj.weight", gguf + "ffn_down.weight", hidden, shape.mlp_size)
    yield Tensor("model.norm.weight", "output_norm.weight", 0, hidden)
    if not shape.tied:
        yield Tensor("lm_head.weight", "output.weight", shape.vocab_size, hidden)


#       architecture hidden layers heads KV  dim   MLP   vocab  tied  context  theta  scaling
SHAPES = {
    "llama-3.2-1b": Shape("llama", 2048, 16, 32, 8, 64, 8192, 128256, True, 131072, 5e5, Llama3Scaling(32.0)),
    "llama-3.2-3b": Shape("llama", 3072, 28, 24, 8, 128, 8192, 128256, True, 131072, 5e5, Llama3Scaling(32.0)),
    "llama-3.1-8b": Shape("llama", 4096, 32, 32, 8, 128, 14336, 128256, False, 131072, 5e5, Llama3Scaling(8.0)),
    "qwen3-0.6b": Shape("qwen3", 1024, 28, 16, 8, 128, 3072, 151936, True, 40960, 1e6),
    "qwen3-1.7b": Shape("qwen3", 2048, 28, 16, 8, 128, 6144, 151936, True, 40960, 1e6),
    "qwen3-4b": Shape("qwen3", 2560, 36, 32, 8, 128, 9728, 151936, True, 40960, 1e6),
    "qwen3-8b": Shape("qwen3", 4096, 36, 32, 8, 128, 12288, 151936, False, 40960, 1e6),
    # Of nobody's model: small enough for tests, the wide one wide enough for super-blocks.
    "tiny-llama": Shape("llama", 64, 2, 4, 2, 32, 192, 1024, True, 1024, 1e4, Llama3Scaling(8.0)),
    "wide-llama": Shape("llama", 256, 1, 8, 4, 32, 256, 1024, True, 1024, 1e4, Llama3Scaling(8.0)),
    "tiny-qwen3": Shape("qwen3", 64, 2, 4, 2, 32, 192, 1024, False, 1024, 1e6),
}
