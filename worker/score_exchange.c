#include "worker/score_exchange_impl.h"

#include <omp.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "base/timer.h"
#include "worker/attention_impl.h"
#include "worker/score_counts.h"
#include "worker/threads.h"

/* As members send it. */
struct best_score {
    float score;
    int32_t token;
};

struct score_exchange {
    struct head_group *group;
    const struct kernels *kernels;
    struct shard_range own; /* stripes */
    int64_t n_heads, context_length;
    size_t *sizes;          /* [group size] bytes */
    float *sent, *gathered; /* [n_heads, context_length] in the order of members */

    /* Of the best, which are never more than half as many as tokens. */
    int64_t most;
    int32_t owners[KV_STRIPES];                   /* the first stripe of the member that owns the stripe */
    int64_t *counts;                              /* [group size] that a head sends */
    struct best_score *best_sent, *best_gathered; /* [n_heads, most] in the order of members */
    int32_t *picked;                              /* [n_heads, most] indices of what is sent */
    int32_t *tokens;                              /* [n_heads, most] merged */
    float *scores;                                /* likewise */
    uint32_t *words;                              /* likewise, of these scores */
    int64_t n_scored;

    double seconds;
};

static enum status take_best_memory(struct score_exchange *exchange, struct arena *memory) {
    const size_t n = (size_t)(exchange->n_heads * exchange->most);
    TRY(ARENA_TAKE(memory, (size_t)head_group_size(exchange->group), &exchange->counts));
    TRY(ARENA_TAKE(memory, n, &exchange->best_sent));
    TRY(ARENA_TAKE(memory, n, &exchange->best_gathered));
    TRY(ARENA_TAKE(memory, n, &exchange->picked));
    TRY(ARENA_TAKE(memory, n, &exchange->tokens));
    TRY(ARENA_TAKE(memory, n, &exchange->scores));
    return ARENA_TAKE(memory, n, &exchange->words);
}

static void find_owners(struct score_exchange *exchange) {
    for (int member = 0; member < head_group_size(exchange->group); member++) {
        const struct shard_range stripes = head_group_stripes(exchange->group, member);
        for (int64_t stripe = stripes.begin; stripe < stripes.end; stripe++)
            exchange->owners[stripe] = (int32_t)stripes.begin;
    }
}

enum status score_exchange_create(const struct attention_shape *shape, const struct kernels *kernels,
                                  struct arena *memory, struct score_exchange **exchange_out) {
    *exchange_out = NULL;
    if (!shape->group || head_group_size(shape->group) == 1 || head_group_leaves_rows(shape->group) ||
        !(shape->selects || shape->rescores))
        return STATUS_OK;
    struct score_exchange *exchange;
    const size_t n_scores = (size_t)shape->n_heads_local * (size_t)shape->context_length;
    TRY(ARENA_TAKE(memory, 1, &exchange));
    exchange->group = shape->group;
    exchange->kernels = kernels;
    exchange->own = head_group_stripes(shape->group, head_group_member(shape->group));
    exchange->n_heads = shape->n_heads_local;
    exchange->context_length = shape->context_length;
    exchange->most = shape->context_length / 2;
    find_owners(exchange);
    TRY(ARENA_TAKE(memory, (size_t)head_group_size(shape->group), &exchange->sizes));
    TRY(ARENA_TAKE(memory, n_scores, &exchange->sent));
    TRY(ARENA_TAKE(memory, n_scores, &exchange->gathered));
    TRY(take_best_memory(exchange, memory));
    *exchange_out = exchange;
    return STATUS_OK;
}

static void gather(struct score_exchange *exchange, const void *part, void *gathered) {
    const double begin = timer_seconds();
    head_group_gather(exchange->group, part, exchange->sizes, gathered);
    exchange->seconds += timer_seconds() - begin;
}

/* ---- all scores ---- */

/* Packs this rank's scores of an item; returns the end of what was written. */
static float *pack(const struct score_exchange *exchange, const struct item *item, float *values) {
    for (int32_t head = 0; head < item->heads.n; head++)
        for (int32_t stripe = (int32_t)exchange->own.begin; stripe < exchange->own.end; stripe++) {
            const int64_t n = striped_list_size(&item->list, stripe);
            striped_list_gather(&item->list, stripe, 0, n, item->scores + head * exchange->context_length,
                                values);
            values += n;
        }
    return values;
}

/* Unpacks a member's; returns the end of what was read. */
static const float *unpack(const struct score_exchange *exchange, const struct item *item,
                           struct shard_range stripes, const float *values) {
    for (int32_t head = 0; head < item->heads.n; head++)
        for (int32_t stripe = (int32_t)stripes.begin; stripe < stripes.end; stripe++) {
            const int64_t n = striped_list_size(&item->list, stripe);
            striped_list_scatter(&item->list, stripe, 0, n, values,
                                 item->scores + head * exchange->context_length);
            values += n;
        }
    return values;
}

static size_t score_bytes(const struct item *items, int32_t n_items, struct shard_range stripes) {
    int64_t n = 0;
    for (int32_t i = 0; i < n_items; i++)
        n += items[i].heads.n * (items[i].list.begins[stripes.end] - items[i].list.begins[stripes.begin]);
    return (size_t)n * sizeof(float);
}

void score_exchange_all(struct score_exchange *exchange, const struct item *items, int32_t n_items) {
    float *end = exchange->sent;
    const float *values = exchange->gathered;
    for (int32_t i = 0; i < n_items; i++)
        end = pack(exchange, &items[i], end);
    for (int member = 0; member < head_group_size(exchange->group); member++)
        exchange->sizes[member] = score_bytes(items, n_items, head_group_stripes(exchange->group, member));
    gather(exchange, exchange->sent, exchange->gathered);
    for (int member = 0; member < head_group_size(exchange->group); member++)
        for (int32_t i = 0; i < n_items; i++)
            values = unpack(exchange, &items[i], head_group_stripes(exchange->group, member), values);
}

/* ---- the best scores ---- */

/* Tokens from `token` to the end of its unit: one member has them all. */
static int64_t unit_end(int64_t token, int64_t end) {
    return smaller_i64(end, (token / KV_UNIT_ROWS + 1) * KV_UNIT_ROWS);
}

static bool owns(const struct score_exchange *exchange, int64_t token) {
    const int32_t stripe = kv_stripe_of(token);
    return stripe >= exchange->own.begin && stripe < exchange->own.end;
}

/* This rank's scores of the range, together; returns how many. */
static int64_t collect_own(const struct score_exchange *exchange, struct kv_best best, const float *scores,
                           float *own) {
    int64_t n = 0;
    for (int64_t token = best.begin, end; token < best.end; token = end) {
        end = unit_end(token, best.end);
        if (!owns(exchange, token)) continue;
        memcpy(own + n, scores + token, (size_t)(end - token) * sizeof *own);
        n += end - token;
    }
    return n;
}

/* The best of these, with their tokens, which ascend. */
static void pick_best(const struct score_exchange *exchange, struct kv_policy *policy,
                      const struct item *item, struct kv_best best, int32_t head) {
    const int64_t n_sent = exchange->counts[head_group_member(exchange->group)];
    float *own = exchange->gathered + head * exchange->context_length;
    int32_t *picked = exchange->picked + head * exchange->most;
    struct best_score *sent = exchange->best_sent + head * n_sent;
    const int64_t n_own = collect_own(exchange, best, item->scores + head * exchange->context_length, own);
    kv_policy_pick(policy, omp_get_thread_num(), own, n_own, n_sent, picked);
    int64_t i = 0, n_before = 0; /* own tokens before the unit */
    for (int64_t token = best.begin, end; token < best.end; token = end) {
        end = unit_end(token, best.end);
        if (!owns(exchange, token)) continue;
        for (; i < n_sent && picked[i] < n_before + (end - token); i++)
            sent[i] = (struct best_score){own[picked[i]], (int32_t)(token + picked[i] - n_before)};
        n_before += end - token;
    }
}

/* Members' lists ascend, and a unit's tokens are all in one of them: unit by unit they are one list. Returns
 * how long it is. */
static int64_t merge_best(const struct score_exchange *exchange, struct kv_best best, int32_t head) {
    int32_t *tokens = exchange->tokens + head * exchange->most;
    float *scores = exchange->scores + head * exchange->most;
    const struct best_score *next[KV_STRIPES], *ends[KV_STRIPES]; /* at members' first stripes */
    const struct best_score *part = exchange->best_gathered;
    int64_t n = 0;
    for (int member = 0; member < head_group_size(exchange->group); member++) {
        const struct shard_range stripes = head_group_stripes(exchange->group, member);
        const int64_t count = exchange->counts[member];
        if (stripes.begin < stripes.end) {
            next[stripes.begin] = part + head * count;
            ends[stripes.begin] = part + (head + 1) * count;
        }
        part += exchange->n_heads * count;
    }
    for (int64_t token = best.begin, end; token < best.end; token = end) {
        const int32_t owner = exchange->owners[kv_stripe_of(token)];
        end = unit_end(token, best.end);
        for (; next[owner] < ends[owner] && next[owner]->token < end; next[owner]++, n++) {
            tokens[n] = next[owner]->token;
            scores[n] = next[owner]->score;
        }
    }
    return n;
}

/* A place in the order of scores: the smaller the word the better, then the lower the token. */
struct place {
    uint32_t word;
    int32_t token;
};

/* Of all members that have more than they sent, the best of their worst; false: there is none. */
static bool find_limit(const struct score_exchange *exchange, struct kv_best best,
                       const struct place worst[KV_STRIPES], struct place *limit_out) {
    bool found = false;
    for (int member = 0; member < head_group_size(exchange->group); member++) {
        const struct shard_range stripes = head_group_stripes(exchange->group, member);
        const int64_t n_sent = exchange->counts[member];
        if (n_sent == best.n || n_sent == score_rows(stripes, best.begin, best.end)) continue;
        const struct place place = worst[stripes.begin];
        const bool better =
            place.word < limit_out->word || (place.word == limit_out->word && place.token < limit_out->token);
        if (!found || better) *limit_out = place;
        found = true;
    }
    return found;
}

/* Are the best of a head among its n scores that were gathered? What a member did not send is worse than what
 * it sent. So they are if, for every member, enough are no worse than its worst. */
static bool is_complete(const struct score_exchange *exchange, struct kv_best best, int32_t head, int64_t n) {
    const int32_t *tokens = exchange->tokens + head * exchange->most;
    uint32_t *words = exchange->words + head * exchange->most;
    struct place worst[KV_STRIPES] = {0}, limit = {0}; /* at members' first stripes */
    exchange->kernels->words_of_scores(exchange->scores + head * exchange->most, n, words);
    for (int64_t i = 0; i < n; i++) { /* tokens ascend: of equals the last is the worst */
        struct place *place = &worst[exchange->owners[kv_stripe_of(tokens[i])]];
        if (words[i] >= place->word) *place = (struct place){words[i], tokens[i]};
    }
    if (!find_limit(exchange, best, worst, &limit)) return true;
    int64_t n_within = 0;
    for (int64_t i = 0; i < n; i++)
        n_within += words[i] < limit.word || (words[i] == limit.word && tokens[i] <= limit.token);
    return n_within >= best.n;
}

/* Each member sends exchange->counts; false: of some head a member may have more of the best. */
static bool gather_best(struct score_exchange *exchange, struct kv_policy *policy, const struct item *item,
                        struct kv_best best) {
    const int32_t n_heads = (int32_t)exchange->n_heads;
    const int64_t n_tokens = item->list.begins[KV_STRIPES];
    bool complete = true;
    exchange->n_scored = 0;
    for (int member = 0; member < head_group_size(exchange->group); member++) {
        exchange->sizes[member] = (size_t)(n_heads * exchange->counts[member]) * sizeof *exchange->best_sent;
        exchange->n_scored += exchange->counts[member];
    }
#pragma omp parallel for schedule(dynamic) if (threads_worthwhile(n_tokens * n_heads))
    for (int32_t head = 0; head < n_heads; head++)
        pick_best(exchange, policy, item, best, head);
    gather(exchange, exchange->best_sent, exchange->best_gathered);
#pragma omp parallel for reduction(&& : complete) if (threads_worthwhile(n_tokens * n_heads))
    for (int32_t head = 0; head < n_heads; head++)
        complete = is_complete(exchange, best, head, merge_best(exchange, best, head)) && complete;
    return complete;
}

bool score_exchange_best(struct score_exchange *exchange, struct kv_policy *policy, const struct item *item,
                         struct kv_best best) {
    const int64_t n_tokens = item->list.begins[KV_STRIPES];
    for (int64_t times = SCORE_TIMES;
         score_counts_best(exchange->group, n_tokens, best, times, exchange->counts); times *= 2) {
        CHECK(!item->source.rows && item->source.first == 0 && item->heads.n == exchange->n_heads);
        if (gather_best(exchange, policy, item, best)) return true;
    }
    return false;
}

struct kv_scored score_exchange_scored(const struct score_exchange *exchange, int32_t head) {
    const int64_t at = head * exchange->most;
    return (struct kv_scored){exchange->tokens + at, exchange->scores + at, exchange->n_scored};
}

double score_exchange_take_seconds(struct score_exchange *exchange) {
    const double seconds = exchange->seconds;
    exchange->seconds = 0;
    return seconds;
}
