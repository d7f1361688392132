/* worker/rope.h - the angles of rotary position embedding.
 *
 * Frequencies follow transformers' modeling_rope_utils.py (plain, linear, llama3, YaRN), computed in
 * double; a file that brings its own divisors (GGUF's rope_freqs) multiplies them in.
 *
 * Memory:  the table is taken from the caller's arena.
 * Threads: read-only after create.
 * Ranks:   local; the same values everywhere. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "modelfile/model_spec.h"

struct rope {
    int32_t head_dim;
    double attention_factor;   /* multiplies cosine and sine */
    const double *frequencies; /* [head_dim / 2], radians per position */
};

/* divisors [head_dim / 2] or NULL. */
NODISCARD enum status rope_create(const struct rope_spec *spec, int32_t head_dim, const float *divisors,
                                  struct arena *memory, struct rope *rope_out);

/* cos_sin [head_dim]: the cosines of all pairs, then the sines, for the kernels' rope(). */
void rope_angles(const struct rope *rope, int64_t position, float *cos_sin);
