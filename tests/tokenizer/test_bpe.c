#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "coordinator/tokenizer/bpe_impl.h"

enum { N_LETTERS = 3, N_TOKENS = 24, N_WORDS = 3000, MAX_WORD = 60 };

/* A random vocabulary over three letters: each merge joins two tokens that exist. */
struct model {
    struct arena *memory;
    struct vocab vocab;
    struct bpe bpe;
    struct {
        int32_t left, right, merged;
    } rules[N_TOKENS];
    int n_rules;
};

static size_t draw(uint64_t stream, uint64_t *index, size_t n) {
    return (size_t)(rng_uniform(5, stream, (*index)++) * (double)n);
}

static void add_token(struct model *m, const char *text, size_t size, int32_t id) {
    assert_int_equal(vocab_add(&m->vocab, "test", id, text, size, 0), STATUS_OK);
}

static void add_rules(struct model *m, uint64_t seed) {
    uint64_t drawn = 0;
    int32_t n = N_LETTERS;
    while (n < N_TOKENS) {
        const int32_t left = (int32_t)draw(seed, &drawn, (size_t)n),
                      right = (int32_t)draw(seed, &drawn, (size_t)n);
        const struct token *l = &m->vocab.tokens[left], *r = &m->vocab.tokens[right];
        char joined[64];
        if (l->size + r->size > 8) continue;
        memcpy(joined, l->text, l->size);
        memcpy(joined + l->size, r->text, r->size);
        if (vocab_find(&m->vocab, joined, l->size + r->size) >= 0) continue;
        add_token(m, joined, l->size + r->size, n);
        assert_int_equal(bpe_add_merge(&m->bpe, &m->vocab, "test", (uint32_t)m->n_rules, l->text, l->size,
                                       r->text, r->size, false),
                         STATUS_OK);
        m->rules[m->n_rules].left = left;
        m->rules[m->n_rules].right = right;
        m->rules[m->n_rules++].merged = n++;
    }
}

static struct model *make_model(uint64_t seed) {
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    assert_int_equal(arena_create("test", &m->memory), STATUS_OK);
    assert_int_equal(vocab_create(m->memory, N_TOKENS, N_TOKENS, 8 * N_TOKENS, &m->vocab), STATUS_OK);
    m->bpe.unknown_id = -1;
    assert_int_equal(bpe_create_merges(m->memory, N_TOKENS, &m->bpe), STATUS_OK);
    for (int32_t i = 0; i < N_LETTERS; i++)
        add_token(m, &"abc"[i], 1, i);
    add_rules(m, seed);
    return m;
}

static void free_model(struct model *m) {
    arena_destroy(m->memory);
    free(m);
}

/* The definition, carried out literally: as long as a rule fits, apply the first one at its leftmost place.
 */
static size_t encode_slowly(const struct model *m, const char *word, size_t size, int32_t *ids) {
    for (size_t i = 0; i < size; i++)
        ids[i] = word[i] - 'a';
    for (int rule = 0; rule < m->n_rules; rule++) {
        for (size_t i = 0; i + 1 < size; i++) {
            if (ids[i] != m->rules[rule].left || ids[i + 1] != m->rules[rule].right) continue;
            ids[i] = m->rules[rule].merged;
            memmove(ids + i + 1, ids + i + 2, (size - i - 2) * sizeof *ids);
            size--;
            rule = -1; /* a better rule may fit again */
            break;
        }
    }
    return size;
}

static void test_against_definition(void **state) {
    (void)state;
    struct bpe_workspace work = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct model *m = make_model(seed);
        uint64_t drawn = 1000;
        for (int w = 0; w < N_WORDS / 20; w++) {
            char word[MAX_WORD];
            int32_t expected[MAX_WORD];
            const size_t size = draw(seed, &drawn, MAX_WORD);
            for (size_t i = 0; i < size; i++)
                word[i] = "abc"[draw(seed, &drawn, 3)];
            struct token_list ids = {0};
            assert_int_equal(bpe_encode(&m->bpe, &m->vocab, &work, word, size, &ids), STATUS_OK);
            assert_int_equal(ids.n, encode_slowly(m, word, size, expected));
            for (size_t i = 0; i < ids.n; i++)
                assert_int_equal(ids.ids[i], expected[i]);
            token_list_free(&ids);
        }
        free_model(m);
    }
    bpe_workspace_free(&work);
}

/* By score, the best joined token goes first; with scores in the order of the rules that is the same. */
static void test_scores_like_merges(void **state) {
    (void)state;
    struct model *m = make_model(3);
    struct bpe by_score = m->bpe;
    float scores[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++)
        scores[i] = (float)-i;
    by_score.merges = NULL;
    assert_int_equal(bpe_rank_scores(m->memory, scores, N_TOKENS, &by_score), STATUS_OK);
    for (int i = 0; i < N_TOKENS; i++)
        assert_int_equal(by_score.ranks[i], i);
    struct bpe_workspace work = {0};
    struct token_list ids = {0};
    /* Every token of the vocabulary is found as one. */
    for (int32_t i = 0; i < N_TOKENS; i++) {
        const struct token *token = &m->vocab.tokens[i];
        ids.n = 0;
        assert_int_equal(bpe_encode(&by_score, &m->vocab, &work, token->text, token->size, &ids), STATUS_OK);
        size_t joined = 0;
        for (size_t k = 0; k < ids.n; k++)
            joined += m->vocab.tokens[ids.ids[k]].size;
        assert_int_equal(joined, token->size);
    }
    token_list_free(&ids);
    bpe_workspace_free(&work);
    free_model(m);
}

static void test_equal_scores_share_a_rank(void **state) {
    (void)state;
    struct arena *memory;
    struct bpe bpe = {0};
    const float scores[] = {-1, 3, -1, 3, 0};
    const uint32_t ranks[] = {2, 0, 2, 0, 1};
    assert_int_equal(arena_create("test", &memory), STATUS_OK);
    assert_int_equal(bpe_rank_scores(memory, scores, 5, &bpe), STATUS_OK);
    assert_memory_equal(bpe.ranks, ranks, sizeof ranks);
    arena_destroy(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_scores_like_merges),
        cmocka_unit_test(test_equal_scores_share_a_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
