/* tests/modelfile/model_fixture.h - scratch folders, and writers of small models, good and bad.
 *
 * Memory:  paths and buffers returned are owned by the fixture or the caller as said at each.
 * Threads: one.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum { SCRATCH_PATH_MAX = 512 };

/* A new empty folder; removed with all it holds by scratch_remove. */
void scratch_create(char folder[SCRATCH_PATH_MAX]);
void scratch_remove(const char *folder);
/* A test whose *state is the path of such a folder, its own. */
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, scratch_set_up, scratch_tear_down)
int scratch_set_up(void **state);
int scratch_tear_down(void **state);

void scratch_write(const char *folder, const char *name, const void *data, size_t size);
void scratch_write_text(const char *folder, const char *name, const char *text);
/* Copies a file of tests/data; `source` is relative to it. */
void scratch_copy(const char *folder, const char *source, const char *name);

struct bytes read_test_data(const char *source);

/* Asserts that `status` is `expected` and that its sentence has all of the words (NULL ends them). */
void expect_refusal(enum status status, enum status expected, ...);

/* The byte at `index` of the data that the writers give a tensor, whose name gives the seed. */
uint64_t pattern_seed(const char *name);
unsigned char pattern_byte(uint64_t seed, uint64_t index);

/* Writes safetensors files: add tensors, then finish. */
struct safetensors_writer {
    struct bytes header; /* JSON so far, without the closing brace */
    struct bytes data;
};
void safetensors_add(struct safetensors_writer *writer, const char *name, const char *dtype, size_t bytes,
                     int n_dims, const int64_t *shape);
/* The whole file; the writer is empty again. */
struct bytes safetensors_finish(struct safetensors_writer *writer);

/* Writes GGUF files: keys, then tensors, then finish. */
struct gguf_writer {
    struct bytes values, tensors, data;
    uint64_t n_values, n_tensors;
    uint32_t version; /* 3 unless set */
};
void gguf_add_number(struct gguf_writer *writer, const char *key, uint32_t kind, const void *value,
                     size_t size);
void gguf_add_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_add_f32(struct gguf_writer *writer, const char *key, float value);
void gguf_add_text(struct gguf_writer *writer, const char *key, const char *value);
/* An array of numbers; `bytes` in all. */
void gguf_add_array(struct gguf_writer *writer, const char *key, uint32_t kind, uint64_t count,
                    const void *data, size_t bytes);
void gguf_add_texts(struct gguf_writer *writer, const char *key, uint64_t count, const char *const *texts);
/* `shape` is outermost first, as everywhere but in the file. */
void gguf_add_tensor(struct gguf_writer *writer, const char *name, uint32_t type, size_t bytes, int n_dims,
                     const int64_t *shape);
struct bytes gguf_finish(struct gguf_writer *writer);

struct gguf_number {
    const char *key; /* without the architecture */
    uint32_t value;
};
/* A writer that has the architecture, these numbers of it, and its epsilon. */
struct gguf_writer gguf_begin(const char *architecture, const struct gguf_number *numbers, size_t n,
                              float epsilon);

/* Writes m.gguf: a Llama with one layer, hidden 96, 2 heads of 32 on 1 KV head, MLP 64, 40 tokens and
 * frequency divisors; matrices of a ggml type, the biases if asked for of three. */
void write_gguf_llama(const char *folder, uint32_t type, size_t block_elements, size_t block_bytes,
                      bool biases);
/* Writes m.gguf: a Qwen3-MoE with one layer, hidden 32, 3 experts of 64, mostly in Q8_0. */
void write_gguf_experts(const char *folder);
