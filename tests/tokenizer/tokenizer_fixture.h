/* tests/tokenizer/tokenizer_fixture.h - opening tokenizers and comparing tokens, every failure a failed
 * assertion. */
#pragma once

#include <jansson.h>

#include "base/bytes.h"
#include "coordinator/tokenizer/tokenizer.h"

/* A file below tests/data, whole. */
struct bytes fixture_read(const char *name);

/* A folder, tokenizer.json or .gguf below tests/data; NULL never comes back. */
struct tokenizer *fixture_open(const char *name);

/* From the text of a tokenizer.json. Single quotes stand for double ones. */
struct tokenizer *fixture_parse(const char *json);

/* The same is refused in a sentence that contains `expected`. */
void fixture_refused(const char *json, const char *expected);

/* Encodes and compares; `n` ids. */
void fixture_check_ids(const struct tokenizer *tokenizer, const char *text, size_t size,
                       struct tokenizer_encode_options options, const int32_t *ids, size_t n);

/* decode(encode(text)) == text. */
void fixture_check_round_trip(const struct tokenizer *tokenizer, const char *text, size_t size);

/* A text of `n` random code points (no surrogates) from the generator's `stream`; ranges differ. */
struct bytes fixture_random_text(uint64_t stream, size_t n);

/* The ids of a JSON array. */
struct token_list fixture_ids(const json_t *array);
