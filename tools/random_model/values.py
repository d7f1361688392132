"""Random values of a tensor, piece by piece: normal, of standard deviation 1/sqrt(columns), so that what flows
through the layers keeps its size; norms are 1.

A piece depends on the seed, the tensor's name and the piece's number alone, so pieces are made on all cores.
"""

import collections
import concurrent.futures
import os
import zlib

import numpy as np

PIECE_ELEMENTS = 1 << 20


def interleave(rows, head_dim):
    """Half-split RoPE order to the interleaved one that GGUF has for Llama: row i of a head's two halves become
    neighbours."""
    heads = len(rows) // head_dim
    return rows.reshape(heads, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def make_piece(tensor, seed, piece, n_rows, encode, interleaved_head_dim):
    stream = np.random.SFC64(np.random.SeedSequence([seed, zlib.crc32(tensor.hf_name.encode()), piece]))
    values = np.random.Generator(stream).standard_normal((n_rows, tensor.cols), dtype=np.float32)
    values *= np.float32(tensor.cols ** -0.5)
    if interleaved_head_dim:
        values = interleave(values, interleaved_head_dim)
    return encode(values)


def write_matrix(file, tensor, seed, head_dim, encode, interleaved):
    """Pieces are whole heads. A few are made ahead of the one being written."""
    piece_rows = max(PIECE_ELEMENTS // tensor.cols // head_dim, 1) * head_dim
    order = head_dim if interleaved and tensor.rotated_heads else 0
    n_threads = os.cpu_count() or 1
    pending = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(n_threads) as pool:
        for piece, first in enumerate(range(0, tensor.rows, piece_rows)):
            n_rows = min(piece_rows, tensor.rows - first)
            pending.append(pool.submit(make_piece, tensor, seed, piece, n_rows, encode, order))
            if len(pending) > 2 * n_threads:
                file.write(pending.popleft().result())
        for made in pending:
            file.write(made.result())


def write_tensor(file, tensor, shape, element_type, seed, interleaved=False):
    """A vector as float32 where the type is quantised is the caller's choice of `element_type`."""
    if tensor.rows == 0:
        file.write(element_type.encode(np.ones(tensor.cols, dtype=np.float32)))
    else:
        write_matrix(file, tensor, seed, shape.head_dim, element_type.encode, interleaved)
