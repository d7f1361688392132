#include "coordinator/tokenizer/normalizer_impl.h"

#include "coordinator/tokenizer/nfc_impl.h"

void normalizer_free(struct normalizer *normalizer) {
    for (int i = 0; i < normalizer->n_steps; i++)
        pattern_destroy(normalizer->steps[i].pattern);
    normalizer->n_steps = 0;
}

static void swap(struct bytes *a, struct bytes *b) {
    const struct bytes held = *a;
    *a = *b;
    *b = held;
}

static enum status run_step(const struct normalizer_step *step, struct pattern_scratch *scratch, size_t limit,
                            struct bytes *text, struct bytes *spare) {
    if (step->kind == NORMALIZE_NFC) return nfc_normalize(text);
    bytes_clear(spare);
    if (step->kind == NORMALIZE_PREPEND) {
        TRY(bytes_append(spare, step->content, step->content_size));
        TRY(bytes_append(spare, text->data, text->size));
    } else {
        TRY(pattern_replace(step->pattern, scratch, text->data, text->size, step->content, step->content_size,
                            limit, spare));
    }
    swap(text, spare);
    return STATUS_OK;
}

enum status normalizer_run(const struct normalizer *normalizer, struct pattern_scratch *scratch,
                           struct bytes *text, struct bytes *spare) {
    const size_t limit = pattern_text_limit(text->size);
    for (int i = 0; i < normalizer->n_steps && text->size > 0; i++)
        TRY(run_step(&normalizer->steps[i], scratch, limit, text, spare));
    return STATUS_OK;
}
