/* modelfile/json_fields_impl.h - typed and bounded access to the fields of a JSON object.
 *
 * Every getter leaves *value alone where the field is missing or null, so the caller's default stands;
 * a value of the wrong kind or out of range is a sentence with file, field and value.
 *
 * Memory:  fields_parse makes a tree that fields_free gives back; texts live as long as it.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct json_t;

struct json_fields {
    struct json_t *object;
    const char *path;    /* the file, for sentences */
    const char *section; /* the enclosing field, for sentences; "" at the top */
};

/* A document that is one object, nested no deeper than 64 levels and without repeated keys. */
NODISCARD enum status fields_parse(const char *text, size_t size, const char *path,
                                   struct json_fields *root_out);
void fields_free(struct json_fields *root);

/* Whether the field is there and not null; whether it is there and null. */
bool fields_have(const struct json_fields *fields, const char *key);
bool fields_have_null(const struct json_fields *fields, const char *key);

NODISCARD enum status fields_int(const struct json_fields *fields, const char *key, int64_t min, int64_t max,
                                 int64_t *value);
NODISCARD enum status fields_real(const struct json_fields *fields, const char *key, double min, double max,
                                  double *value);
NODISCARD enum status fields_bool(const struct json_fields *fields, const char *key, bool *value);
NODISCARD enum status fields_text(const struct json_fields *fields, const char *key, const char **value);

/* A field that is an object itself; child->object is NULL where the field is missing or null. `key` must
 * outlive `child`. */
NODISCARD enum status fields_object(const struct json_fields *fields, const char *key,
                                    struct json_fields *child);

/* Arrays: elements counted, or -1 where the field is missing, null or no array. */
int64_t fields_array_count(const struct json_fields *fields, const char *key);
NODISCARD enum status fields_array_int(const struct json_fields *fields, const char *key, int64_t index,
                                       int64_t min, int64_t max, int64_t *value_out);
NODISCARD enum status fields_array_text(const struct json_fields *fields, const char *key, int64_t index,
                                        const char **value_out);

/* All fields in the order of the file: start with NULL; returns NULL after the last. */
void *fields_next(const struct json_fields *fields, void *iterator, const char **key_out);
size_t fields_count(const struct json_fields *fields);

/* The sentences for a field that is missing, or whose value is not supported. */
NODISCARD enum status fields_missing(const struct json_fields *fields, const char *key);
NODISCARD enum status fields_unsupported(const struct json_fields *fields, const char *key);
