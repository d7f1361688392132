"""What ggml calls K types: super-blocks of 256 values whose blocks have scales of 6 or 8 bits, in units of the
super-block's own."""

import numpy as np

SUPER_BLOCK = 256


def ratio(values, units):
    """values / units, and 0 where a unit is 0."""
    return np.divide(values, units, out=np.zeros_like(values), where=units != 0)


def in_units(values, largest):
    """Values [n, blocks] of at least 0 in units [n, 1] of f16, of which each row's greatest is `largest`; and these
    units."""
    units = (values.max(axis=1, keepdims=True) / np.float32(largest)).astype("<f2").astype(np.float32)
    return np.clip(np.rint(ratio(values, units)), 0, largest).astype(np.uint8), units


def pack_scales(scales, mins):
    """Eight scales and eight mins of 6 bits in twelve bytes: the first four of each whole, with the high bits of the
    others above them, then the low bits of the others."""
    return np.concatenate([scales[:, :4] | scales[:, 4:] >> 4 << 6, mins[:, :4] | mins[:, 4:] >> 4 << 6,
                           scales[:, 4:] & 15 | mins[:, 4:] << 4], axis=1)


def pack_nibbles(quants):
    """Every 32 bytes hold 64 columns: the low nibbles, then the high ones."""
    halves = (quants & 15).reshape(-1, 4, 2, 32)
    return (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(-1, 128)


def fifth_bits(quants):
    """Bit b of byte j belongs to column 32 b + j."""
    return np.packbits((quants >> 4).reshape(-1, 8, 32), axis=1, bitorder="little").reshape(-1, 32)


def with_mins(values, largest):
    """Eight blocks: value = d * scale * quant - min_d * min, quants from 0 to `largest`."""
    blocks = values.reshape(-1, 8, 32)
    low = np.minimum(blocks.min(axis=2), 0)
    scales, d = in_units((blocks.max(axis=2) - low) / np.float32(largest), 63)
    mins, min_d = in_units(-low, 63)
    shifted = blocks + (min_d * mins)[:, :, None]
    quants = np.clip(np.rint(ratio(shifted, (d * scales)[:, :, None])), 0, largest).astype(np.uint8)
    return quants.reshape(-1, SUPER_BLOCK), pack_scales(scales, mins), d[:, 0], min_d[:, 0]


def to_q4_k(values):
    quants, scales, d, min_d = with_mins(values, 15)
    out = np.empty(len(quants), dtype=[("d", "<f2"), ("min_d", "<f2"), ("scales", "u1", 12), ("q", "u1", 128)])
    out["d"], out["min_d"], out["scales"], out["q"] = d, min_d, scales, pack_nibbles(quants)
    return out


def to_q5_k(values):
    quants, scales, d, min_d = with_mins(values, 31)
    out = np.empty(len(quants), dtype=[("d", "<f2"), ("min_d", "<f2"), ("scales", "u1", 12), ("bits", "u1", 32),
                                       ("q", "u1", 128)])
    out["d"], out["min_d"], out["scales"] = d, min_d, scales
    out["bits"], out["q"] = fifth_bits(quants), pack_nibbles(quants)
    return out


def to_q6_k(values):
    """Sixteen blocks: value = d * scale * (quant - 32). 128 columns are 64 bytes of nibbles and 32 of high bits, of
    which four columns that are 32 apart share a byte."""
    blocks = values.reshape(-1, 16, 16)
    scales, d = in_units(np.abs(blocks).max(axis=2) / np.float32(31), 127)
    quants = np.clip(np.rint(ratio(blocks, (d * scales)[:, :, None])), -32, 31).astype(np.int8).view(np.uint8) + 32
    quarters = quants.reshape(-1, 2, 4, 32)
    high = quarters >> 4
    out = np.empty(len(quants), dtype=[("q", "u1", (2, 2, 32)), ("bits", "u1", (2, 32)), ("scales", "i1", 16),
                                       ("d", "<f2")])
    out["q"] = quarters[:, :, :2] & 15 | quarters[:, :, 2:] << 4
    out["bits"] = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    out["scales"], out["d"] = scales, d[:, 0]
    return out
