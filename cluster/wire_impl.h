/* cluster/wire_impl.h - step plans as protobuf. Only wire.c knows protobuf-c.
 *
 * Memory:  both directions work in a wire_memory of fixed capacity, so that no message, however hostile, can
 *          make a step allocate. A decoded plan lives in it, at its beginning, until the next use.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"
#include "cluster/step_plan.h"

struct wire_memory {
    unsigned char *data;
    size_t capacity;
    size_t used;
};

/* Enough for any plan within the limits: its message, and the memory to decode it or to encode it in. */
size_t wire_message_bytes(const struct step_limits *limits);
size_t wire_decode_bytes(const struct step_limits *limits);
size_t wire_encode_bytes(int32_t n_spans);

/* `data` may be taken over by the caller, to be freed with free(3). */
NODISCARD enum status wire_memory_create(size_t capacity, struct wire_memory *memory_out);
void wire_memory_free(struct wire_memory *memory);

/* Replaces the content of `message_out`; allocates only where that is too small. */
NODISCARD enum status wire_encode(struct wire_memory *memory, const struct step_plan *plan,
                                  struct bytes *message_out);

/* What is well-formed, of this version and not too large; what it says is for step_plan_check. */
NODISCARD enum status wire_decode(struct wire_memory *memory, const void *message, size_t size,
                                  const struct step_limits *limits, struct step_plan **plan_out);
