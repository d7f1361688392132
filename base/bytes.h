/* base/bytes.h - a growing byte string.
 *
 * Zero-initialise it ({0}), append, free. `data` is always NUL-terminated once something was appended,
 * and may hold NULs inside.
 *
 * Memory:  `data` is owned; bytes_free gives it back.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

#include "base/status.h"

struct bytes {
    char *data;
    size_t size;     /* without the terminating NUL */
    size_t capacity; /* allocated, with the NUL */
};

NODISCARD enum status bytes_append(struct bytes *bytes, const void *data, size_t size);
NODISCARD enum status bytes_append_text(struct bytes *bytes, const char *text);
NODISCARD enum status bytes_printf(struct bytes *bytes, const char *format, ...) PRINTF_LIKE(2, 3);

/* Makes room for `size` bytes in all without changing the content. */
NODISCARD enum status bytes_reserve(struct bytes *bytes, size_t size);

/* Removes the first `size` bytes. */
void bytes_drop_front(struct bytes *bytes, size_t size);
void bytes_clear(struct bytes *bytes); /* size 0, memory kept */
void bytes_free(struct bytes *bytes);  /* back to {0} */
