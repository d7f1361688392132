"""Writes the GGUF files and the goldens of the quantised ones.

A quantised golden is the oracle's answer with the file's own dequantised values as weights and activations
rounded as caucus rounds them: it tests arithmetic, not the quality of the quantisation. The other files hold the weights of the folder they
were made from, and share its golden.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import gguf_file
import oracle
import small_llama
import tiny_models
from random_weights import random_weights

EXACT = [("small_llama", Type.F32), ("small_llama", Type.F16), ("small_llama", Type.BF16),
         ("tiny_qwen2", Type.F16), ("tiny_qwen3_moe", Type.F32), ("tiny_llama3_short", Type.BF16)]
QUANTISED = [Type.Q8_0, Type.Q4_0]
# Where f32 rounds an activation the other way the logits jump by percents: a text without such a near tie.
QUANTISED_TOKENS, ROUNDING_MARGIN = 12, 5e-5
VERSION_2 = ["tiny_qwen2"]

# Two heads of 32 to each of four KV heads, and MLP blocks of 32: most ranks' columns begin inside a super-block.
WIDE = tiny_models.Shape(num_attention_heads=8, num_key_value_heads=4, head_dim=32, mlp_size=256, tied=True,
                         vocab_size=160, hidden_size=256, num_hidden_layers=1)
# The last as llama.cpp mixes types in what it calls Q4_K_M.
SUPER_BLOCKS = {"q4_k": (Type.Q4_K, {}), "q5_k": (Type.Q5_K, {}), "q6_k": (Type.Q6_K, {}),
                "q4_k_m": (Type.Q4_K, {"attn_v": Type.Q6_K, "ffn_down": Type.Q6_K, "token_embd": Type.Q6_K})}


def write(name, tensor_type):
    """Returns the file's path, its tensors, and how far they are from the folder's."""
    folder = oracle.MODELS / name
    path = oracle.MODELS / f"{name}.{tensor_type.name.lower()}.gguf"
    gguf_file.write(path, folder, tensor_type)
    if name in VERSION_2:
        gguf_file.make_version_2(path)
    stored = gguf_file.read(path, folder)
    original = gguf_file.stack_experts(gguf_file.hf_tensors(folder))
    worst = max(abs(stored[n] - original[n]).max() for n in original)
    print(f"{path.name}: {path.stat().st_size} bytes, weights off by {worst:.1e}", flush=True)
    return path, stored, worst


def quantised_golden(path, stored, folder, shape, is_quantised):
    model = oracle.load(folder)
    weights = {n: torch.from_numpy(np.array(w)) for n, w in stored.items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights)
    margins = oracle.round_inputs(model, is_quantised)
    for seed in range(1000):
        margins.clear()
        ids = tiny_models.tokens(QUANTISED_TOKENS, seed, shape.vocab_size)
        rows = oracle.logits(model, ids)
        if min(margins) > ROUNDING_MARGIN:
            break
    else:
        raise ValueError("no text without a near tie in rounding")
    print(f"{path.stem}: tokens of seed {seed}, nearest tie {min(margins):.1e} steps away")
    oracle.write_golden(path.stem, path.name, ids, rows,
                        note=oracle.NOTE + "; weights dequantised from the file, activations in 8 bits")


def all_but_o(layer):
    """The columns of small_llama's o are dealt by heads, which are narrower than a block: it is held as f32."""
    return not layer.endswith("o_proj")


def write_wide_llama(folder):
    """One layer whose rows are one super-block; only the GGUF files of it are kept."""
    config = tiny_models.config_json("llama", "LlamaForCausalLM", WIDE)
    tiny_models.write_config(folder, config, new_spelling=False)
    weights = random_weights(WIDE, 7, torch.float32)
    halved = {name: w / 2 if w.ndim == 2 else w for name, w in weights.items()}  # the sums are four times as long
    tiny_models.save_tensors(halved, folder / "model.safetensors")


def super_blocks():
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "wide_llama"
        write_wide_llama(folder)
        for kind, (tensor_type, exceptions) in SUPER_BLOCKS.items():
            path = oracle.MODELS / f"wide_llama.{kind}.gguf"
            gguf_file.write(path, folder, tensor_type, exceptions)
            print(f"{path.name}: {path.stat().st_size} bytes", flush=True)
            quantised_golden(path, gguf_file.read(path, folder), folder, WIDE, lambda layer: True)


def main():
    for name, tensor_type in EXACT:
        worst = write(name, tensor_type)[2]
        if worst > 3e-8:  # half of f16's smallest step: tiny_qwen2 has bf16 values below it
            raise ValueError(f"{name} does not keep its weights in {tensor_type.name}")
    for tensor_type in QUANTISED:
        path, stored, _ = write("small_llama", tensor_type)
        quantised_golden(path, stored, small_llama.FOLDER, small_llama.SHAPE, all_but_o)
    super_blocks()


if __name__ == "__main__":
    main()
