/* base/utf8.h - UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, at most U+10FFFF.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the character at `text`, of which `size` >= 1 bytes can be read. Returns its length (1-4) and
 * sets *code_point; returns 0 where the bytes are not a character (or are cut short). */
size_t utf8_decode(const char *text, size_t size, uint32_t *code_point_out);

/* Writes the character (1-4 bytes, no NUL) and returns its length; 0 for what is no character. */
size_t utf8_encode(uint32_t code_point, char text[4]);

bool utf8_is_valid(const char *text, size_t size);

/* How many bytes at the end of `text` may be the beginning of a character that is still to be completed
 * (0-3). What stands before them can be printed. */
size_t utf8_incomplete_tail(const char *text, size_t size);

/* Foreign text for a sentence: copies the characters that fit, control characters and broken bytes as '?', so
 * that nothing in it can steer a terminal. `copy` gets its NUL and is returned. */
const char *utf8_printable(const char *text, size_t size, size_t room, char copy[]);
