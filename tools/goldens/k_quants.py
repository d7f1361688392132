"""ggml's K types: a plain quantiser to super-blocks of 256. The gguf package only reads them.

Scales cover a block's range evenly; llama.cpp searches for better ones, but writes the same layout.
"""

import numpy as np
from gguf import GGMLQuantizationType as Type

SUPER_BLOCK = 256


def halves(values):
    return values.astype(np.float16)


def levels(values, steps):
    """values / steps, 0 where a step is 0."""
    return np.divide(values, steps, out=np.zeros_like(values), where=steps != 0)


def shared_steps(steps, most):
    """Steps of the blocks as integers up to `most` times one f16 for the super-block."""
    shared = halves(np.abs(steps).max(axis=1) / most)
    return shared, np.rint(levels(steps, shared.astype(np.float32)[:, None])).astype(np.int64)


def pack_six_bits(scales, mins):
    """Eight scales and eight mins in twelve bytes."""
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = mins[:, :4] | mins[:, 4:] >> 4 << 6
    return np.concatenate([first, second, scales[:, 4:] & 15 | (mins[:, 4:] & 15) << 4], axis=1)


def with_mins(blocks, bits):
    """Q4_K and Q5_K: value * (d * scale) - min_d * min in blocks of 32."""
    parts = blocks.reshape(-1, 8, 32)
    lowest = np.minimum(parts.min(axis=2), 0)
    d, scales = shared_steps((parts.max(axis=2) - lowest) / (2**bits - 1), 63)
    min_d, mins = shared_steps(-lowest, 63)
    step = d.astype(np.float32)[:, None] * scales
    offset = min_d.astype(np.float32)[:, None] * mins
    values = np.rint(levels(parts + offset[:, :, None], np.broadcast_to(step[:, :, None], parts.shape)))
    values = np.clip(values, 0, 2**bits - 1).astype(np.int64)
    pairs = values.reshape(-1, 4, 2, 32)
    nibbles = (pairs[:, :, 0] & 15 | (pairs[:, :, 1] & 15) << 4).reshape(-1, 128)
    fifth = ((values >> 4) << np.arange(8)[:, None]).sum(axis=1)
    planes = [fifth] if bits == 5 else []
    head = np.stack([d, min_d], axis=1).view(np.uint8)
    return [head, pack_six_bits(scales, mins), *planes, nibbles]


def six_bits(blocks):
    """Q6_K: (value - 32) * (d * scale) in blocks of 16."""
    parts = blocks.reshape(-1, 16, 16)
    d, scales = shared_steps(np.abs(parts).max(axis=2) / 31, 127)
    step = (d.astype(np.float32)[:, None] * scales)[:, :, None]
    values = np.clip(np.rint(levels(parts, np.broadcast_to(step, parts.shape))), -32, 31).astype(np.int64) + 32
    quarters = values.reshape(-1, 2, 4, 32)  # of each half
    nibbles = np.concatenate([quarters[:, :, i] & 15 | (quarters[:, :, i + 2] & 15) << 4 for i in (0, 1)], axis=2)
    high = ((quarters >> 4) << (2 * np.arange(4))[:, None]).sum(axis=2)
    return [nibbles.reshape(-1, 128), high.reshape(-1, 64), scales, d[:, None].view(np.uint8)]


def quantize(values, tensor_type):
    """[rows, cols] -> [rows, bytes]."""
    blocks = values.astype(np.float32).reshape(-1, SUPER_BLOCK)
    parts = six_bits(blocks) if tensor_type == Type.Q6_K else with_mins(blocks, 4 if tensor_type == Type.Q4_K else 5)
    stored = np.concatenate([part.astype(np.uint8, casting="unsafe") for part in parts], axis=1)
    return stored.reshape(len(values), -1)


TYPES = (Type.Q4_K, Type.Q5_K, Type.Q6_K)
