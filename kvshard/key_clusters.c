#include "kvshard/key_clusters_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"

enum { SEGMENT_CLUSTERS = CLUSTER_SEGMENT / CLUSTER_TOKENS };

struct cluster_scratch {
    struct k_means k_means;
    float *keys;                         /* [CLUSTER_SEGMENT, head_dim] */
    float *centroids;                    /* [SEGMENT_CLUSTERS, head_dim] */
    float *value;                        /* [head_dim] */
    const void **key_rows, **value_rows; /* [CLUSTER_SEGMENT] */
    int32_t *places;                     /* [SEGMENT_CLUSTERS] where each cluster's next token goes */
};

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory,
                                  struct cluster_scratch *scratch) {
    const size_t dim = (size_t)config->head_dim;
    TRY(k_means_create(memory, config->kernels, config->head_dim, CLUSTER_SEGMENT, SEGMENT_CLUSTERS,
                       &scratch->k_means));
    TRY(ARENA_TAKE(memory, CLUSTER_SEGMENT * dim, &scratch->keys));
    TRY(ARENA_TAKE(memory, SEGMENT_CLUSTERS * dim, &scratch->centroids));
    TRY(ARENA_TAKE(memory, dim, &scratch->value));
    TRY(ARENA_TAKE(memory, CLUSTER_SEGMENT, &scratch->key_rows));
    TRY(ARENA_TAKE(memory, CLUSTER_SEGMENT, &scratch->value_rows));
    return ARENA_TAKE(memory, SEGMENT_CLUSTERS, &scratch->places);
}

static int64_t tables_of_slot(const struct key_clusters *clusters) {
    return (int64_t)(clusters->config.n_layers - clusters->first_layer) * clusters->config.n_kv_heads_local;
}

/* One piece for each member of all tables. */
static enum status create_tables(struct key_clusters *clusters, bool values, struct arena *memory) {
    const struct kv_policy_config *config = &clusters->config;
    const size_t n = (size_t)(config->n_slots * tables_of_slot(clusters));
    const size_t n_tokens = (size_t)config->context_length, n_clusters = n_tokens / CLUSTER_TOKENS + 1;
    const size_t n_floats = n_clusters * (size_t)config->head_dim,
                 n_segments = n_tokens / CLUSTER_SEGMENT + 1;
    void *centroids, *means = NULL, *begins, *tokens, *segments;
    TRY(ARENA_TAKE(memory, n, &clusters->tables));
    TRY(arena_take(memory, n, n_floats * sizeof(float), &centroids));
    if (values) TRY(arena_take(memory, n, n_floats * sizeof(float), &means));
    TRY(arena_take(memory, n, (n_clusters + 1) * sizeof(int32_t), &begins));
    TRY(arena_take(memory, n, n_tokens * sizeof(int32_t), &tokens));
    TRY(arena_take(memory, n, n_segments * sizeof(int32_t), &segments));
    for (size_t i = 0; i < n; i++)
        clusters->tables[i] = (struct cluster_table){
            .centroids = (float *)centroids + i * n_floats,
            .values = means ? (float *)means + i * n_floats : NULL,
            .begins = (int32_t *)begins + i * (n_clusters + 1),
            .tokens = (int32_t *)tokens + i * n_tokens,
            .segments = (int32_t *)segments + i * n_segments,
        };
    return STATUS_OK;
}

enum status key_clusters_create(const struct kv_policy_config *config, int32_t first_layer,
                                int64_t first_token, int32_t step, bool values, struct arena *memory,
                                struct key_clusters *clusters_out) {
    struct key_clusters clusters = {
        .config = *config, .first_layer = first_layer, .step = step, .first_token = first_token};
    CHECK(first_layer < config->n_layers && first_token >= 0);
    CHECK(step > 0 && step % CLUSTER_TOKENS == 0 && CLUSTER_SEGMENT % step == 0);
    TRY(create_tables(&clusters, values, memory));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &clusters.scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(config, memory, &clusters.scratch[i]));
    *clusters_out = clusters;
    return STATUS_OK;
}

static struct cluster_table *table_of(const struct key_clusters *clusters, int32_t slot, int32_t layer,
                                      int32_t kv_head) {
    CHECK(layer >= clusters->first_layer);
    return &clusters->tables[slot * tables_of_slot(clusters) +
                             (int64_t)(layer - clusters->first_layer) * clusters->config.n_kv_heads_local +
                             kv_head];
}

/* Appends the segment's clusters, whose centroids and members k_means found, to the table's. */
static void append_clusters(const struct cluster_scratch *scratch, int64_t begin, int64_t n_tokens,
                            int64_t first_token, int64_t dim, struct cluster_table *table) {
    const struct k_means *found = &scratch->k_means;
    int32_t place = (int32_t)begin;
    for (int64_t j = 0; j < n_tokens / CLUSTER_TOKENS; j++) {
        scratch->places[j] = place;
        if (found->counts[j] == 0) continue;
        memcpy(table->centroids + table->n_clusters * dim, scratch->centroids + j * dim,
               (size_t)dim * sizeof *table->centroids);
        table->begins[table->n_clusters++] = place;
        place += found->counts[j];
    }
    table->begins[table->n_clusters] = place;
    for (int64_t i = 0; i < n_tokens; i++)
        table->tokens[scratch->places[found->nearest[i]]++] = (int32_t)(first_token + begin + i);
}

/* Of the clusters from `cluster` on, whose tokens are the segment's. */
static void average_values(const struct key_clusters *clusters, const struct cluster_scratch *scratch,
                           int64_t cluster, int64_t first_token, struct cluster_table *table) {
    const struct kernels *kernels = clusters->config.kernels;
    const enum dtype dtype = kv_cache_dtype(clusters->config.cache);
    const int64_t dim = clusters->config.head_dim;
    for (; cluster < table->n_clusters; cluster++) {
        float *mean = table->values + cluster * dim;
        memset(mean, 0, (size_t)dim * sizeof *mean);
        for (int32_t i = table->begins[cluster]; i < table->begins[cluster + 1]; i++) {
            kernels->load(scratch->value_rows[table->tokens[i] - first_token], dtype, dim, scratch->value);
            kernels->add(scratch->value, dim, mean);
        }
        for (int64_t d = 0; d < dim; d++)
            mean[d] /= (float)cluster_size(table, cluster);
    }
}

/* Whole segments stay. */
static void cut(struct cluster_table *table, int64_t n_tokens) {
    if (n_tokens >= table->n_tokens) return;
    const int64_t segment = n_tokens / CLUSTER_SEGMENT;
    table->n_tokens = segment * CLUSTER_SEGMENT;
    table->n_clusters = table->segments[segment];
}

/* The keys of n tokens from `first` on, as floats. */
static void load_keys(const struct key_clusters *clusters, const struct cluster_scratch *scratch,
                      int32_t slot, int32_t layer, int32_t kv_head, int64_t first, int64_t n) {
    const struct kv_policy_config *config = &clusters->config;
    kv_cache_rows(config->cache, slot, layer, kv_head, NULL, first, n, scratch->key_rows,
                  scratch->value_rows);
    for (int64_t i = 0; i < n; i++)
        config->kernels->load(scratch->key_rows[i], kv_cache_dtype(config->cache), config->head_dim,
                              scratch->keys + i * config->head_dim);
}

const struct cluster_table *key_clusters_update(const struct key_clusters *clusters, int32_t thread,
                                                int32_t slot, int32_t layer, int32_t kv_head, int64_t end) {
    struct cluster_table *table = table_of(clusters, slot, layer, kv_head);
    const struct cluster_scratch *scratch = &clusters->scratch[thread];
    const int64_t wanted = larger_i64(end - clusters->first_token, 0) / clusters->step * clusters->step;
    cut(table, wanted);
    while (table->n_tokens < wanted) {
        const int64_t segment = table->n_tokens / CLUSTER_SEGMENT, begin = segment * CLUSTER_SEGMENT;
        const int64_t n = smaller_i64(wanted - begin, CLUSTER_SEGMENT), first = clusters->first_token + begin;
        load_keys(clusters, scratch, slot, layer, kv_head, first, n);
        k_means_run(&scratch->k_means, scratch->keys, n, n / CLUSTER_TOKENS, scratch->centroids);
        table->n_clusters = table->segments[segment];
        append_clusters(scratch, begin, n, clusters->first_token, clusters->config.head_dim, table);
        if (table->values) average_values(clusters, scratch, table->segments[segment], first, table);
        table->n_tokens = begin + n;
        if (n == CLUSTER_SEGMENT) table->segments[segment + 1] = (int32_t)table->n_clusters;
    }
    return table;
}

void key_clusters_rewind(const struct key_clusters *clusters, int32_t slot, int64_t n) {
    for (int64_t i = 0; i < tables_of_slot(clusters); i++)
        cut(&clusters->tables[slot * tables_of_slot(clusters) + i], larger_i64(n - clusters->first_token, 0));
}

void key_clusters_score(const struct key_clusters *clusters, const struct cluster_table *table,
                        const float *q, int32_t n_queries, float *scores, int64_t stride) {
    const int64_t dim = clusters->config.head_dim;
    const float scale = attention_scale(dim);
    const void *rows[ATTEND_CHUNK];
    for (int64_t begin = 0; begin < table->n_clusters; begin += ATTEND_CHUNK) {
        const int64_t n = smaller_i64(table->n_clusters - begin, ATTEND_CHUNK);
        for (int64_t i = 0; i < n; i++)
            rows[i] = table->centroids + (begin + i) * dim;
        clusters->config.kernels->score(q, n_queries, rows, NULL, DTYPE_F32, n, dim, scale, scores + begin,
                                        stride);
    }
}
