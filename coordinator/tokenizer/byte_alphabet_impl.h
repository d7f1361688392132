/* coordinator/tokenizer/byte_alphabet_impl.h - how byte-level vocabularies write a byte: as a character
 * that can be seen (GPT-2's encoder.py, bytes_to_unicode). The 188 bytes that are printable in Latin-1
 * stand for themselves, the other 68 follow from U+0100 in order.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

uint32_t byte_alphabet_character(unsigned char byte);

/* -1: not a character of the alphabet. */
int byte_alphabet_byte(uint32_t code_point);

/* Appends `text` written in the alphabet. */
NODISCARD enum status byte_alphabet_write(const char *text, size_t size, struct bytes *written);

/* Appends the bytes that `text` spells. Text with any other character is appended as it is. */
NODISCARD enum status byte_alphabet_read(const char *text, size_t size, struct bytes *spelled);
