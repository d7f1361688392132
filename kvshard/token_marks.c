#include "kvshard/token_marks_impl.h"

enum status token_marks_create(struct arena *memory, int64_t context_length, struct token_marks *marks_out) {
    return ARENA_TAKE(memory, (size_t)(context_length + 63) / 64, &marks_out->words);
}

int64_t take_marked(const struct token_marks *marks, int64_t n, int32_t *tokens_out) {
    int64_t n_marked = 0;
    for (int64_t word = 0; word < (n + 63) / 64; word++) {
        for (uint64_t left = marks->words[word]; left; left &= left - 1)
            tokens_out[n_marked++] = (int32_t)(word * 64 + __builtin_ctzll(left));
        marks->words[word] = 0;
    }
    return n_marked;
}
