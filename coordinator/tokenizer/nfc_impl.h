/* coordinator/tokenizer/nfc_impl.h - Unicode's Normalization Form C (Unicode Standard Annex 15).
 *
 * Memory:  works on the caller's bytes.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* True only where `text` is in NFC for certain; quick, and right for most text. */
bool nfc_is_certain(const char *text, size_t size);

/* Brings valid UTF-8 to NFC in place, in linear time. */
NODISCARD enum status nfc_normalize(struct bytes *text);
