"""A model as a Hugging Face folder: config.json, model.safetensors, tokenizer.json."""

import json
import struct

from random_model.shapes import tensors
from random_model.values import write_tensor
from random_model.vocabulary import make_vocabulary

CLASSES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def config(shape, element_type, eos_id):
    scaling = shape.rope_scaling and {
        "rope_type": "llama3", "factor": shape.rope_scaling.factor,
        "low_freq_factor": shape.rope_scaling.low_freq_factor,
        "high_freq_factor": shape.rope_scaling.high_freq_factor,
        "original_max_position_embeddings": shape.rope_scaling.original_context}
    return {
        "architectures": [CLASSES[shape.architecture]], "model_type": shape.architecture,
        "vocab_size": shape.vocab_size, "hidden_size": shape.hidden_size, "intermediate_size": shape.mlp_size,
        "num_hidden_layers": shape.n_layers, "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads, "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context, "rope_theta": shape.rope_theta, "rope_scaling": scaling,
        "rms_norm_eps": shape.rms_norm_eps, "hidden_act": "silu", "attention_bias": False,
        "tie_word_embeddings": shape.tied, "torch_dtype": element_type.torch_name, "eos_token_id": eos_id}


def tokenizer(vocabulary):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    specials = [{"id": i, "content": vocabulary.tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True} for i in vocabulary.special_ids]
    n_plain = vocabulary.special_ids[0]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": specials, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(vocabulary.tokens[:n_plain])},
                  "merges": [" ".join(merge) for merge in vocabulary.merges]}}


def safetensors_header(shape, element_type):
    entries, end = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors(shape):
        begin, end = end, end + element_type.bytes_of(tensor.size)
        entries[tensor.hf_name] = {"dtype": element_type.safetensors_name, "data_offsets": [begin, end],
                                   "shape": [tensor.rows, tensor.cols] if tensor.rows else [tensor.cols]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def write(folder, shape, element_type, seed):
    """Returns the bytes of the tensors' file."""
    folder.mkdir(parents=True)
    vocabulary = make_vocabulary(shape.vocab_size)
    (folder / "config.json").write_text(json.dumps(config(shape, element_type, vocabulary.eos_id), indent=2) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(vocabulary), ensure_ascii=False) + "\n")
    header = safetensors_header(shape, element_type)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in tensors(shape):
            write_tensor(file, tensor, shape, element_type, seed)
        return file.tell()
