"""Writes a Hugging Face model of ours as GGUF, and reads one back as Hugging Face tensors.

Follows llama.cpp's convert_hf_to_gguf.py: names, metadata, the row order of q and k, 3-D experts,
rope_freqs for llama3 scaling; vectors are always F32.
"""

import json
import math
import re
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file

import k_quants

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe"}
FILE_TYPES = {Type.F32: gguf.LlamaFileType.ALL_F32, Type.F16: gguf.LlamaFileType.MOSTLY_F16,
              Type.BF16: gguf.LlamaFileType.MOSTLY_BF16, Type.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
              Type.Q4_0: gguf.LlamaFileType.MOSTLY_Q4_0, Type.Q4_K: gguf.LlamaFileType.MOSTLY_Q4_K_M,
              Type.Q5_K: gguf.LlamaFileType.MOSTLY_Q5_K_M, Type.Q6_K: gguf.LlamaFileType.MOSTLY_Q6_K}
NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
LAYER_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "mlp.experts.gate_proj": "ffn_gate_exps", "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps"}


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", stem)
    if layer:
        return f"blk.{layer[1]}.{LAYER_NAMES[layer[2]]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def interleave(rows, n_heads):
    """Half-split RoPE order to the interleaved one that GGUF has for Llama: row i of a head's two halves
    become neighbours."""
    half = len(rows) // n_heads // 2
    return rows.reshape(n_heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape)


def half_split(rows, n_heads):
    half = len(rows) // n_heads // 2
    return rows.reshape(n_heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def reorder(config, name, tensor, order):
    if config["model_type"] in ("llama", "mistral"):
        if ".q_proj." in name:
            return order(tensor, config["num_attention_heads"])
        if ".k_proj." in name:
            return order(tensor, config["num_key_value_heads"])
    return tensor


def hf_tensors(folder):
    return {n: t.float().numpy() for n, t in load_file(folder / "model.safetensors").items()}


def stack_experts(tensors):
    """…experts.3.up_proj.weight, one per expert -> …experts.up_proj.weight [n_experts, rows, cols]."""
    stacked = {}
    for name, tensor in tensors.items():
        stacked.setdefault(re.sub(r"experts\.\d+\.", "experts.", name), []).append(tensor)
    return {name: np.stack(parts) if "experts." in name else parts[0] for name, parts in stacked.items()}


def llama3_rope_freqs(config):
    """What each RoPE frequency is divided by."""
    rope, head_dim = config["rope_scaling"], config["head_dim"]
    turns = rope["original_max_position_embeddings"] / (
        2 * math.pi * config["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim))
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - kept) / rope["factor"] + kept)).astype(np.float32)


def add_metadata(writer, name, config, tensor_type):
    writer.add_type("model")
    writer.add_name(name)
    writer.add_license("mit")
    writer.add_file_type(FILE_TYPES[tensor_type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    if writer.arch == "llama":
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    if writer.arch == "qwen3moe":
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
        writer.add_expert_count(config["num_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])


def add_tokenizer(writer, folder):
    """Byte-level BPE with Qwen2's pre-tokenizer; the model `no_vocab` where the folder has none."""
    if not (folder / "tokenizer.json").exists():
        writer.add_tokenizer_model("no_vocab")
        return
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    added = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = {i: token for token, i in tokenizer["model"]["vocab"].items()} | added
    ids = {token: i for i, token in tokens.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([tokens[i] for i in range(len(tokens))])
    writer.add_token_types([gguf.TokenType.CONTROL if i in added else gguf.TokenType.NORMAL
                            for i in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(ids[settings["eos_token"]])
    writer.add_pad_token_id(ids[settings["pad_token"]])
    writer.add_bos_token_id(ids[settings["pad_token"]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(settings["chat_template"])


def quantize(tensor, tensor_type):
    return (k_quants if tensor_type in k_quants.TYPES else gguf.quants).quantize(tensor, tensor_type)


def write(path, folder, tensor_type, exceptions=None):
    """`exceptions`: other types for the matrices whose GGUF name contains the key."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, ARCHITECTURES[config["model_type"]])
    add_metadata(writer, folder.name, config, tensor_type)
    add_tokenizer(writer, folder)
    if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_rope_freqs(config))
    for name, tensor in stack_experts(hf_tensors(folder)).items():
        tensor = reorder(config, name, tensor, interleave)
        is_float = tensor.ndim == 1 or ".mlp.gate." in name  # vectors and the router
        others = [other for part, other in (exceptions or {}).items() if part in gguf_name(name)]
        stored = Type.F32 if is_float else (others or [tensor_type])[0]
        writer.add_tensor(gguf_name(name), quantize(tensor, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_version_2(path):
    """Versions 2 and 3 have one layout; only the number differs."""
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", 2))


def read(path, folder):
    """The file's tensors under the names of the folder's model, dequantised, float32."""
    config = json.loads((folder / "config.json").read_text())
    stored = {t.name: t for t in gguf.GGUFReader(path).tensors}
    tensors = {}
    for name in stack_experts(hf_tensors(folder)):
        tensor = stored[gguf_name(name)]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        tensors[name] = reorder(config, name, values.astype(np.float32), half_split)
    return tensors
