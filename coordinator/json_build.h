/* coordinator/json_build.h - JSON values from parts, any of which may be missing because memory ended: NULL
 * is what could not be made, and makes NULL of all that it would be part of. One check at the end is enough.
 *
 * Memory:  each takes what it is given, and frees it where the whole cannot be made.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* `object` with one field more. */
json_t *json_with(json_t *object, const char *key, json_t *value);

/* `array` with one element more. */
json_t *json_appended(json_t *array, json_t *value);

/* `object` with the fields of `more` that it lacks. */
json_t *json_merged(json_t *object, json_t *more);

/* A string of any bytes: what is not UTF-8 becomes U+FFFD. */
json_t *json_lossy_text(const char *text, size_t size);
