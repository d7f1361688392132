"""Writes the tiny Hugging Face models (random weights, vocab 256, hidden 64, 2 layers) and their goldens.

One model per architecture, per RoPE scaling, per float type and per spelling of config.json. Models
that differ in config.json alone share one weight file through a relative symbolic link.
"""

import json
import os
from dataclasses import dataclass

import huggingface_hub
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import oracle
from random_weights import random_weights


@dataclass(frozen=True)
class Shape:
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 16
    mlp_size: int = 96
    n_experts: int = 0
    biases: str = ""
    qk_norm: bool = False
    tied: bool = False
    vocab_size: int = 256
    hidden_size: int = 64
    num_hidden_layers: int = 2


LLAMA = Shape()
LLAMA_BIASED = Shape(num_key_value_heads=4, biases="qkvo", tied=True)
QWEN2 = Shape(biases="qkv", tied=True)
QWEN3 = Shape(num_attention_heads=8, num_key_value_heads=4, qk_norm=True, tied=True)
QWEN3_MOE = Shape(n_experts=8, mlp_size=32, qk_norm=True)

SHORT, LONG = 24, 160
# Around the original context of 64, and up to the end.
LONG_POSITIONS = [0, 1, 31, 47, 62, 63, 64, 65, 66, *range(72, 160, 6)]


def config_json(model_type, architecture, shape, **fields):
    """The older spelling, before transformers 5."""
    return {
        "architectures": [architecture], "model_type": model_type, "hidden_act": "silu",
        "vocab_size": shape.vocab_size, "hidden_size": shape.hidden_size,
        "intermediate_size": shape.mlp_size, "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": shape.tied, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "bfloat16", **fields}


def llama(**fields):
    return config_json("llama", "LlamaForCausalLM", LLAMA, **fields)


def qwen3_moe(norm_topk_prob):
    return config_json("qwen3_moe", "Qwen3MoeForCausalLM", QWEN3_MOE, head_dim=16, intermediate_size=128,
                       moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2,
                       norm_topk_prob=norm_topk_prob, decoder_sparse_step=1, mlp_only_layers=[],
                       use_sliding_window=False, sliding_window=None, rope_theta=1000000.0)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
# Every optional field of YaRN, none at its default.
YARN_FIELDS = {"beta_fast": 8.0, "beta_slow": 2.0, "mscale": 1.0, "mscale_all_dim": 3.0, "truncate": False}
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}


def write_config(folder, config, new_spelling):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2) + "\n")
    if new_spelling:
        transformers.AutoConfig.from_pretrained(folder).save_pretrained(folder)


def save_tensors(tensors, path):
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


def write_weights(name, shape, seed, dtype=torch.bfloat16):
    save_tensors(random_weights(shape, seed, dtype), oracle.MODELS / name / "model.safetensors")


def link_weights(name, target):
    link = oracle.MODELS / name / "model.safetensors"
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.join("..", target, "model.safetensors"))


def write_shards(name, shape, seed, shard_bytes):
    folder = oracle.MODELS / name
    weights = random_weights(shape, seed, torch.bfloat16)
    split = huggingface_hub.split_torch_state_dict_into_shards(weights, max_shard_size=shard_bytes)
    for file, names in split.filename_to_tensors.items():
        save_tensors({n: weights[n] for n in names}, folder / file)
    index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return len(split.filename_to_tensors)


def tokens(count, seed, vocab_size=256):
    return np.random.Generator(np.random.PCG64(seed)).integers(0, vocab_size, count).tolist()


def smallest_lead(rows):
    """How far the best logit is ahead of the second, at worst."""
    best = np.sort(rows, axis=-1)[:, -2:]
    return float((best[:, 1] - best[:, 0]).min())


def golden(name, ids, positions=None, matters=()):
    """Writes the golden. `matters` are changes of the configuration that the logits must notice."""
    model = oracle.load(oracle.MODELS / name)
    with torch.no_grad():
        plain = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    rows = oracle.logits(model, ids)
    stored = rows if positions is None else rows[positions]
    print(f"{name}: float32 off by {abs(plain - rows).max():.1e}, lead {smallest_lead(stored):.1e}", flush=True)
    for change in matters:
        other = oracle.logits(oracle.load(oracle.MODELS / name, **change), ids)
        moved = abs(other - rows).max()
        print(f"    {change} would move them by {moved:.2f}", flush=True)
        if moved < 0.05:
            raise ValueError(f"{name} does not depend on {list(change)}")
    oracle.write_golden(name, name, ids, stored, positions)


def rope(rope_type="default", rope_theta=10000.0, **fields):
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": rope_theta, **fields}}


def llama_variants():
    """Folder: (config, whether in the newer spelling)."""
    long = {"head_dim": 16, "max_position_embeddings": 256}
    mistral = "mistral", "MistralForCausalLM", LLAMA
    return {
        "tiny_llama_linear": (llama(rope_scaling={"type": "linear", "factor": 2.0}), False),
        "tiny_llama3_short": (llama(rope_scaling=LLAMA3_ROPE, **long), False),
        "tiny_llama3_yarn": (llama(rope_scaling=YARN, **long), False),
        "tiny_llama3_yarn_fields": (llama(rope_scaling=YARN | YARN_FIELDS, **long), True),
        "tiny_mistral_full": (config_json(*mistral, sliding_window=None), False),
        "tiny_mistral_window": (config_json(*mistral, sliding_window=8), True),
    }


def llama_family():
    """One weight file; config.json says what is different."""
    for name, (config, new_spelling) in llama_variants().items():
        write_config(oracle.MODELS / name, config, new_spelling)
        if name != "tiny_llama_linear":
            link_weights(name, "tiny_llama_linear")
    write_weights("tiny_llama_linear", LLAMA, seed=1)
    golden("tiny_llama_linear", tokens(SHORT, 24), matters=[rope()])
    golden("tiny_mistral_full", tokens(SHORT, 24), matters=[{"sliding_window": 8}])
    golden("tiny_mistral_window", tokens(SHORT, 24), matters=[{"sliding_window": None}])
    long_tokens = tokens(LONG, 29)
    golden("tiny_llama3_short", long_tokens, LONG_POSITIONS, matters=[rope(), rope(**YARN)])
    golden("tiny_llama3_yarn", long_tokens, LONG_POSITIONS, matters=[rope(), rope("linear", factor=4.0)])
    one_less = [{k: v for k, v in YARN_FIELDS.items() if k != left_out} for left_out in YARN_FIELDS]
    golden("tiny_llama3_yarn_fields", long_tokens, LONG_POSITIONS,
           matters=[rope(**YARN, **fields) for fields in one_less])


def llama_biased():
    config = config_json("llama", "LlamaForCausalLM", LLAMA_BIASED, attention_bias=True, mlp_bias=False,
                         torch_dtype="float16")
    write_config(oracle.MODELS / "tiny_llama_f16", config, new_spelling=False)
    write_weights("tiny_llama_f16", LLAMA_BIASED, seed=2, dtype=torch.float16)
    golden("tiny_llama_f16", tokens(SHORT, 13))


def qwen2_family():
    """The window of 4 is switched off by use_sliding_window, as in every released Qwen2."""
    config = config_json("qwen2", "Qwen2ForCausalLM", QWEN2, use_sliding_window=False, sliding_window=4,
                         max_window_layers=1, rope_theta=1000000.0)
    for name in ("tiny_qwen2", "tiny_qwen2_sharded"):
        write_config(oracle.MODELS / name, config, new_spelling=False)
    write_weights("tiny_qwen2", QWEN2, seed=3)
    shards = write_shards("tiny_qwen2_sharded", QWEN2, seed=3, shard_bytes=64000)
    if shards != 3:
        raise ValueError(f"tiny_qwen2_sharded has {shards} shards, not 3")
    ids = tokens(SHORT, 14)
    golden("tiny_qwen2", ids)
    one, many = (oracle.logits(oracle.load(oracle.MODELS / n), ids) for n in ("tiny_qwen2", "tiny_qwen2_sharded"))
    if (one != many).any():
        raise ValueError("tiny_qwen2_sharded does not equal tiny_qwen2")


def qwen3_family():
    """Heads of 16 where hidden / heads is 8; the same model in both spellings of config.json."""
    config = config_json("qwen3", "Qwen3ForCausalLM", QWEN3, head_dim=16, rope_theta=1000000.0,
                         rope_scaling=None, use_sliding_window=False, sliding_window=None)
    write_config(oracle.MODELS / "tiny_qwen3_tf5", config, new_spelling=True)
    write_config(oracle.MODELS / "tiny_qwen3_tf4", config, new_spelling=False)
    write_weights("tiny_qwen3_tf5", QWEN3, seed=4)
    link_weights("tiny_qwen3_tf4", "tiny_qwen3_tf5")
    golden("tiny_qwen3_tf5", tokens(SHORT, 15), matters=[rope(rope_theta=100.0)])


def qwen3_moe_family():
    write_config(oracle.MODELS / "tiny_qwen3_moe", qwen3_moe(True), new_spelling=False)
    write_config(oracle.MODELS / "tiny_qwen3_moe_raw", qwen3_moe(False), new_spelling=True)
    write_weights("tiny_qwen3_moe", QWEN3_MOE, seed=5)
    link_weights("tiny_qwen3_moe_raw", "tiny_qwen3_moe")
    ids = tokens(SHORT, 16)
    for name, other in (("tiny_qwen3_moe", False), ("tiny_qwen3_moe_raw", True)):
        golden(name, ids, matters=[{"norm_topk_prob": other}])
    print(f"tiny_qwen3_moe: last expert chosen leads the first not chosen by {routing_lead(ids):.1e}")


def routing_lead(ids):
    """In router logits, at worst: where it is tiny, rounding would choose another expert."""
    model, leads = oracle.load(oracle.MODELS / "tiny_qwen3_moe"), []

    def watch(router, inputs, outputs):
        best = outputs[0].sort(dim=-1, descending=True).values
        leads.append(float((best[:, 1] - best[:, 2]).min()))

    for layer in model.model.layers:
        layer.mlp.gate.register_forward_hook(watch)
    oracle.logits(model, ids)
    return min(leads)


def main():
    llama_family()
    llama_biased()
    qwen2_family()
    qwen3_family()
    qwen3_moe_family()


if __name__ == "__main__":
    main()
