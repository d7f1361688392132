#include "coordinator/tokenizer/vocab_impl.h"

#include <string.h>

#include "base/check.h"

/* FNV-1a, folded at the end because the table takes the low bits. */
static uint32_t hash_text(const char *text, size_t size) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t slots_for(size_t n_tokens) {
    uint32_t n_slots = 16;
    while (n_slots < 2 * n_tokens)
        n_slots *= 2;
    return n_slots;
}

enum status vocab_create(struct arena *memory, size_t n_ids, size_t n_tokens, size_t text_bytes,
                         struct vocab *vocab_out) {
    CHECK(n_ids <= VOCAB_MAX_IDS && n_tokens <= n_ids);
    const uint32_t n_slots = slots_for(n_tokens);
    struct vocab vocab = {.n_ids = (int32_t)n_ids,
                          .slot_mask = n_slots - 1,
                          .unused_bytes = text_bytes + n_tokens /* each text with a NUL */};
    TRY(ARENA_TAKE(memory, n_ids, &vocab.tokens));
    TRY(ARENA_TAKE(memory, n_slots, &vocab.slots));
    TRY(ARENA_TAKE(memory, vocab.unused_bytes, &vocab.unused_text));
    *vocab_out = vocab;
    return STATUS_OK;
}

static bool token_is(const struct token *token, const char *text, size_t size) {
    return token->size == size && memcmp(token->text, text, size) == 0;
}

/* The slot that holds `text`, or the empty one where it belongs. */
static uint32_t *find_slot(const struct vocab *vocab, const char *text, size_t size) {
    uint32_t at = hash_text(text, size) & vocab->slot_mask;
    while (vocab->slots[at] && !token_is(&vocab->tokens[vocab->slots[at] - 1], text, size))
        at = (at + 1) & vocab->slot_mask;
    return &vocab->slots[at];
}

/* The value of "<0x0A>", else -1. */
static int16_t byte_of_text(const char *text, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    const char *high = memchr(digits, text[3], 16);
    const char *low = memchr(digits, text[4], 16);
    return high && low ? (int16_t)((high - digits) * 16 + (low - digits)) : -1;
}

enum status vocab_add(struct vocab *vocab, const char *path, int32_t id, const char *text, size_t size,
                      unsigned flags) {
    CHECK(id >= 0 && id < vocab->n_ids);
    if (size > VOCAB_MAX_TOKEN_BYTES)
        return FAIL(STATUS_BAD_INPUT, "%s: token %d is %zu bytes long; at most %d are supported", path, id,
                    size, VOCAB_MAX_TOKEN_BYTES);
    struct token *token = &vocab->tokens[id];
    if (token->text)
        return FAIL(STATUS_BAD_INPUT, "%s: two tokens have the id %d: \"%s\" and \"%.*s\"", path, id,
                    token->text, (int)size, text);
    if (size > 0) {
        uint32_t *slot = find_slot(vocab, text, size);
        if (*slot)
            return FAIL(STATUS_BAD_INPUT, "%s: the tokens %u and %d have the same text \"%.*s\"", path,
                        *slot - 1, id, (int)size, text);
        *slot = (uint32_t)id + 1;
    }
    CHECK(size + 1 <= vocab->unused_bytes);
    memcpy(vocab->unused_text, text, size);
    *token = (struct token){.text = vocab->unused_text,
                            .size = (uint32_t)size,
                            .byte = byte_of_text(text, size),
                            .flags = (uint8_t)flags};
    vocab->unused_text += size + 1;
    vocab->unused_bytes -= size + 1;
    if (size > vocab->longest) vocab->longest = (uint32_t)size;
    return STATUS_OK;
}

int32_t vocab_find(const struct vocab *vocab, const char *text, size_t size) {
    if (size == 0 || size > vocab->longest) return -1;
    return (int32_t)*find_slot(vocab, text, size) - 1;
}

const struct token *vocab_token(const struct vocab *vocab, int32_t id) {
    if (id < 0 || id >= vocab->n_ids || !vocab->tokens[id].text) return NULL;
    return &vocab->tokens[id];
}
