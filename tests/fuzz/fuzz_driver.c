/* fuzz_driver CORPUS_DIRECTORY MUTATIONS: what libFuzzer does, without its guidance and without clang.
 * Replays each file of the corpus, then so many seeded mutations of them; the same inputs on every run. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILES = 256, MAX_FILE_BYTES = 1 << 22, SEED = 1 };

struct corpus {
    struct bytes files[MAX_FILES];
    size_t n;
};

/* An endless row of random numbers. */
struct dice {
    uint64_t stream;
    uint64_t drawn;
};

static size_t roll(struct dice *dice, size_t sides) {
    return (size_t)(rng_uniform(SEED, dice->stream, dice->drawn++) * (double)sides);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum status read_corpus(const char *directory, struct corpus *corpus) {
    struct dirent **entries = NULL;
    const int n_entries = scandir(directory, &entries, NULL, by_name);
    if (n_entries < 0) return FAIL(STATUS_IO, "cannot read the corpus %s", directory);
    enum status status = STATUS_OK;
    for (int i = 0; i < n_entries; i++) {
        char path[FILE_PATH_MAX];
        const bool wanted = status == STATUS_OK && entries[i]->d_name[0] != '.' && corpus->n < MAX_FILES;
        if (wanted) status = file_join(directory, entries[i]->d_name, path);
        if (wanted && status == STATUS_OK)
            status = file_read_all(path, MAX_FILE_BYTES, &corpus->files[corpus->n++]);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* A copy of exactly its size, so that reading one byte too far is seen. */
static void try_input(const void *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return;
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Values at which lengths and counts go wrong. */
static void poke_integer(struct dice *dice, struct bytes *input) {
    static const uint64_t values[] = {0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    const size_t width = (size_t)1 << roll(dice, 4);
    if (input->size < width) return;
    memcpy(input->data + roll(dice, input->size - width + 1), &values[roll(dice, 8)], width);
}

static void swap_bits(struct dice *dice, struct bytes *input) {
    if (input->size) input->data[roll(dice, input->size)] ^= (char)(1 << roll(dice, 8));
}

static void cut_short(struct dice *dice, struct bytes *input) {
    if (input->size) input->size = roll(dice, input->size);
}

static void remove_piece(struct dice *dice, struct bytes *input) {
    if (!input->size) return;
    const size_t begin = roll(dice, input->size);
    const size_t size = 1 + roll(dice, input->size - begin < 16 ? input->size - begin : 16);
    const size_t end = begin + size < input->size ? begin + size : input->size;
    memmove(input->data + begin, input->data + end, input->size - end);
    input->size -= end - begin;
}

static void repeat_piece(struct dice *dice, struct bytes *input) {
    if (!input->size) return;
    char piece[64];
    const size_t begin = roll(dice, input->size);
    const size_t left = input->size - begin, size = left < sizeof piece ? left : sizeof piece;
    memcpy(piece, input->data + begin, size);
    if (bytes_append(input, piece, size) != STATUS_OK) return;
    memmove(input->data + begin + size, input->data + begin, input->size - begin - size);
}

static void insert_mark(struct dice *dice, struct bytes *input) {
    static const char marks[] = "{}[]:,\"\\\n\0\xff#&*!|>-";
    if (input->size) input->data[roll(dice, input->size)] = marks[roll(dice, sizeof marks - 1)];
}

static void mutate(struct dice *dice, struct bytes *input) {
    static void (*const mutations[])(struct dice *, struct bytes *) = {
        poke_integer, swap_bits, cut_short, remove_piece, repeat_piece, insert_mark,
    };
    const size_t n = 1 + roll(dice, 4);
    for (size_t i = 0; i < n; i++)
        mutations[roll(dice, sizeof mutations / sizeof *mutations)](dice, input);
}

static void try_mutation(const struct corpus *corpus, uint64_t stream) {
    struct dice dice = {.stream = stream};
    const struct bytes *file = &corpus->files[roll(&dice, corpus->n)];
    struct bytes input = {0};
    if (bytes_append(&input, file->data, file->size) == STATUS_OK) {
        mutate(&dice, &input);
        try_input(input.data, input.size);
    }
    bytes_free(&input);
}

int main(int argc, char **argv) {
    static struct corpus corpus;
    const long n_mutations = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    if (argc < 2 || read_corpus(argv[1], &corpus) != STATUS_OK || corpus.n == 0) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY [MUTATIONS]: %s\n", argv[0], status_message());
        return 2;
    }
    try_input("", 0);
    for (size_t i = 0; i < corpus.n; i++)
        try_input(corpus.files[i].data, corpus.files[i].size);
    for (long i = 0; i < n_mutations; i++)
        try_mutation(&corpus, (uint64_t)i);
    printf("%zu files and %ld mutations\n", corpus.n, n_mutations);
    for (size_t i = 0; i < corpus.n; i++)
        bytes_free(&corpus.files[i]);
    return 0;
}
