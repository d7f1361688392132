"""A model as a GGUF file, version 3, with the names, metadata and row order that llama.cpp's converter gives."""

import struct

from random_model.element_types import ELEMENT_TYPES, to_f32
from random_model.shapes import Tensor, tensors
from random_model.values import write_tensor
from random_model.vocabulary import make_vocabulary

ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
PRE_TOKENIZERS = {"llama": "llama-bpe", "qwen3": "qwen2"}
TOKEN_NORMAL, TOKEN_CONTROL = 1, 3


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def scalar(kind, value):
    layout = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
    return text(value) if kind == STRING else struct.pack(layout[kind], value)


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def array_entry(key, kind, values):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(scalar(kind, value) for value in values)


def model_entries(shape, element_type):
    name = shape.architecture
    return [
        entry("general.architecture", STRING, name),
        entry("general.name", STRING, "random weights"),
        entry("general.file_type", UINT32, element_type.gguf_file_type),
        entry("general.quantization_version", UINT32, 2),
        entry("general.alignment", UINT32, ALIGNMENT),
        entry(f"{name}.block_count", UINT32, shape.n_layers),
        entry(f"{name}.context_length", UINT32, shape.context),
        entry(f"{name}.embedding_length", UINT32, shape.hidden_size),
        entry(f"{name}.feed_forward_length", UINT32, shape.mlp_size),
        entry(f"{name}.attention.head_count", UINT32, shape.n_heads),
        entry(f"{name}.attention.head_count_kv", UINT32, shape.n_kv_heads),
        entry(f"{name}.attention.key_length", UINT32, shape.head_dim),
        entry(f"{name}.attention.value_length", UINT32, shape.head_dim),
        entry(f"{name}.attention.layer_norm_rms_epsilon", FLOAT32, shape.rms_norm_eps),
        entry(f"{name}.rope.dimension_count", UINT32, shape.head_dim),
        entry(f"{name}.rope.freq_base", FLOAT32, shape.rope_theta),
        entry(f"{name}.vocab_size", UINT32, shape.vocab_size),
    ]


def tokenizer_entries(shape):
    vocabulary = make_vocabulary(shape.vocab_size)
    types = [TOKEN_NORMAL] * shape.vocab_size
    for i in vocabulary.special_ids:
        types[i] = TOKEN_CONTROL
    prefix = "tokenizer.ggml."
    return [
        entry(prefix + "model", STRING, "gpt2"),
        entry(prefix + "pre", STRING, PRE_TOKENIZERS[shape.architecture]),
        array_entry(prefix + "tokens", STRING, vocabulary.tokens),
        array_entry(prefix + "token_type", INT32, types),
        array_entry(prefix + "merges", STRING, [" ".join(merge) for merge in vocabulary.merges]),
        entry(prefix + "bos_token_id", UINT32, vocabulary.eos_id),
        entry(prefix + "eos_token_id", UINT32, vocabulary.eos_id),
        entry(prefix + "add_bos_token", BOOL, False),
    ]


def all_tensors(shape):
    if shape.rope_scaling:
        yield Tensor("", "rope_freqs.weight", 0, shape.head_dim // 2)
    yield from tensors(shape)


def stored_type(tensor, element_type):
    """Vectors are always f32."""
    return element_type if tensor.rows else ELEMENT_TYPES["f32"]


def padded(n_bytes):
    return n_bytes + -n_bytes % ALIGNMENT


def tensor_infos(shape, element_type):
    infos, offset = [], 0
    for tensor in all_tensors(shape):
        kind = stored_type(tensor, element_type)
        dimensions = [tensor.cols, tensor.rows] if tensor.rows else [tensor.cols]
        infos.append(text(tensor.gguf_name) + struct.pack("<I", len(dimensions)) +
                     struct.pack(f"<{len(dimensions)}Q", *dimensions) +
                     struct.pack("<IQ", kind.gguf_type, offset))
        offset += padded(kind.bytes_of(tensor.size))
    return infos


def pad(file):
    file.write(bytes(padded(file.tell()) - file.tell()))


def write(path, shape, element_type, seed):
    """Returns the file's bytes."""
    metadata = model_entries(shape, element_type) + tokenizer_entries(shape)
    infos = tensor_infos(shape, element_type)
    with open(path, "xb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(metadata)))
        file.write(b"".join(metadata) + b"".join(infos))
        for tensor in all_tensors(shape):
            pad(file)
            if tensor.gguf_name == "rope_freqs.weight":
                file.write(to_f32(shape.rope_scaling.divisors(shape.rope_theta, shape.head_dim)))
            else:
                kind = stored_type(tensor, element_type)
                write_tensor(file, tensor, shape, kind, seed, interleaved=shape.architecture == "llama")
        return file.tell()
