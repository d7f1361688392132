"""How values are stored: float types, ggml's blocks of 32 (Q8_0, Q4_0), and its super-blocks of 256."""

import dataclasses
from collections.abc import Callable

import numpy as np

from random_model.k_types import SUPER_BLOCK, to_q4_k, to_q5_k, to_q6_k

BLOCK = 32


def to_f32(values):
    return values.astype("<f4")


def to_f16(values):
    return values.astype("<f2")


def to_bf16(values):
    """Rounded to nearest, ties to even. The values are finite."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")


def to_q8_0(values):
    """An f16 scale, the largest magnitude / 127, and 32 int8."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.maximum(blocks.max(axis=1), -blocks.min(axis=1)) / np.float32(127)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.empty(len(blocks), dtype=[("d", "<f2"), ("q", "i1", BLOCK)])
    out["d"] = scale
    out["q"] = np.rint(blocks * inverse[:, None])
    return out


def to_q4_0(values):
    """An f16 scale, the value of largest magnitude / -8, and 32 nibbles offset by 8: those of the first half are
    the low ones."""
    blocks = values.reshape(-1, BLOCK)
    high, low = blocks.max(axis=1), blocks.min(axis=1)
    scale = np.where(high > -low, high, low) / np.float32(-8)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    quants = np.minimum(blocks * inverse[:, None] + np.float32(8.5), 15).astype(np.uint8)
    out = np.empty(len(blocks), dtype=[("d", "<f2"), ("q", "u1", BLOCK // 2)])
    out["d"] = scale
    out["q"] = quants[:, :BLOCK // 2] | quants[:, BLOCK // 2:] << 4
    return out


@dataclasses.dataclass(frozen=True)
class ElementType:
    encode: Callable  # float32 array -> array of the same values as stored
    block_elements: int
    block_bytes: int
    gguf_type: int  # of a tensor
    gguf_file_type: int  # of a file that is mostly this
    safetensors_name: str | None  # also how config.json says it
    torch_name: str | None

    def bytes_of(self, n_elements):
        return n_elements // self.block_elements * self.block_bytes


ELEMENT_TYPES = {
    "f32": ElementType(to_f32, 1, 4, 0, 0, "F32", "float32"),
    "f16": ElementType(to_f16, 1, 2, 1, 1, "F16", "float16"),
    "bf16": ElementType(to_bf16, 1, 2, 30, 32, "BF16", "bfloat16"),
    "q8_0": ElementType(to_q8_0, BLOCK, 34, 8, 7, None, None),
    "q4_0": ElementType(to_q4_0, BLOCK, 18, 2, 2, None, None),
    "q4_k": ElementType(to_q4_k, SUPER_BLOCK, 144, 12, 14, None, None),
    "q5_k": ElementType(to_q5_k, SUPER_BLOCK, 176, 13, 16, None, None),
    "q6_k": ElementType(to_q6_k, SUPER_BLOCK, 210, 14, 18, None, None),
}
