/* coordinator/tokenizer/json_part_impl.h - reading fields of a JSON document, each fault a sentence that
 * names file, place and field.
 *
 * Memory:  texts belong to the document.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* An object of the document and how to call it, for example "tokenizer.json" and "model". */
struct json_part {
    const json_t *json;
    const char *path;
    const char *name;
};

/* Parses at most JSON_MAX_BYTES; anything but an object is refused. Given back with json_decref. */
NODISCARD enum status json_part_parse(const char *data, size_t size, const char *path, json_t **json_out);

/* A field that is absent or null leaves the output as it is; one of another type is refused. */
NODISCARD enum status json_part_bool(const struct json_part *part, const char *field, bool *value);
NODISCARD enum status json_part_integer(const struct json_part *part, const char *field, int64_t *value);
NODISCARD enum status json_part_text(const struct json_part *part, const char *field, const char **value);
NODISCARD enum status json_part_array(const struct json_part *part, const char *field, json_t **value);
NODISCARD enum status json_part_object(const struct json_part *part, const char *field, json_t **value);

/* The same for a field that must be there. */
NODISCARD enum status json_part_need_text(const struct json_part *part, const char *field,
                                          const char **value);

/* A text of exactly one character. */
NODISCARD enum status json_part_need_character(const struct json_part *part, const char *field,
                                               const char **value);

/* Lists the steps of `root` in order: itself, or what its (nested) Sequences hold under `children`.
 * At most `limit` steps; each has a "type". `root` NULL or null: none. */
NODISCARD enum status json_part_steps(const struct json_part *root, const char *children, size_t limit,
                                      struct json_part *steps_out, size_t *n_out);

/* The "type" of a step. */
const char *json_part_type(const struct json_part *step);
