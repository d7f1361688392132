#include "coordinator/trace_wire.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/trace.pb-c.h"

static const char FORMAT[] = "caucus trace";

static enum status out_of_memory(void) {
    return FAIL(STATUS_NO_MEMORY, "out of memory for a record of the trace");
}

/* protobuf-c's structs serve both directions, hence are not const; packing only reads. */
static char *borrow(const char *text) {
    const union {
        const char *read;
        char *write;
    } pointer = {.read = text};
    return pointer.write;
}

static enum status pack(const ProtobufCMessage *wire, struct bytes *message) {
    const size_t size = protobuf_c_message_get_packed_size(wire);
    TRY(bytes_reserve(message, message->size + size));
    message->size += protobuf_c_message_pack(wire, (uint8_t *)message->data + message->size);
    message->data[message->size] = '\0';
    return STATUS_OK;
}

static Trace__Tokens tokens_to_wire(const struct trace_tokens *tokens) {
    Trace__Tokens wire = TRACE__TOKENS__INIT;
    wire.n_ids = wire.n_text_bytes = tokens->n;
    wire.ids = tokens->ids;
    wire.text_bytes = tokens->text_bytes;
    wire.text = (ProtobufCBinaryData){tokens->text.size, (uint8_t *)tokens->text.data};
    return wire;
}

enum status trace_wire_put_header(const struct trace_header *header, struct bytes *message) {
    const size_t n = header->n_options;
    Trace__Option *options = calloc(n + 1, sizeof *options);
    Trace__Option **pointers = calloc(n + 1, sizeof *pointers);
    enum status status = options && pointers ? STATUS_OK : out_of_memory();
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        trace__option__init(&options[i]);
        options[i].name = borrow(header->options[i].name);
        options[i].value = borrow(header->options[i].value);
        pointers[i] = &options[i];
    }
    Trace__Tokens prompt = tokens_to_wire(&header->prompt);
    Trace__Header wire;
    trace__header__init(&wire); /* TRACE__HEADER__INIT drops a const */
    wire.format = borrow(FORMAT);
    wire.version = TRACE_VERSION;
    wire.program = borrow(header->program);
    wire.model = borrow(header->model);
    wire.fingerprint = header->fingerprint;
    wire.policy = borrow(header->policy);
    wire.budget = header->budget;
    wire.n_options = n;
    wire.options = pointers;
    wire.n_layers = header->n_layers;
    wire.n_kv_heads = header->n_kv_heads;
    wire.every = header->every;
    wire.prompt = &prompt;
    if (status == STATUS_OK) status = pack(&wire.base, message);
    free(options);
    free(pointers);
    return status;
}

/* What a step's message points to while it is made. */
struct step_memory {
    Trace__Set *sets;      /* [n_sets] */
    Trace__Set **pointers; /* [n_sets] */
    uint32_t *gaps;        /* of all sets */
    uint32_t *set_of;      /* [2 n_pairs] */
    size_t n_set_of;
    struct trace_sets difference;
};

static void step_memory_free(struct step_memory *memory) {
    free(memory->sets);
    free(memory->pointers);
    free(memory->gaps);
    free(memory->set_of);
    trace_sets_free(&memory->difference);
}

static enum status step_memory_create(const struct trace_sets *sets, struct step_memory *memory_out) {
    struct step_memory memory = {
        .sets = calloc(sets->n_sets + 1, sizeof *memory.sets),
        .pointers = calloc(sets->n_sets + 1, sizeof *memory.pointers),
        .gaps = calloc(sets->n_edges + 1, sizeof *memory.gaps),
        .set_of = calloc(2 * (size_t)sets->n_pairs, sizeof *memory.set_of),
    };
    const bool complete = memory.sets && memory.pointers && memory.gaps && memory.set_of;
    const enum status status = complete ? trace_sets_create(1, &memory.difference) : out_of_memory();
    if (status != STATUS_OK) {
        step_memory_free(&memory);
        return status;
    }
    *memory_out = memory;
    return STATUS_OK;
}

/* The set as it is or, where that is shorter, what differs from the one before. */
static enum status set_to_wire(struct step_memory *memory, struct trace_set set, struct trace_set before,
                               uint32_t *gaps, Trace__Set *wire_out) {
    uint32_t none;
    trace_sets_clear(&memory->difference);
    TRY(trace_sets_add_difference(&memory->difference, set, before));
    TRY(trace_sets_close(&memory->difference, &none));
    const struct trace_set change = trace_sets_get(&memory->difference, 0);
    trace__set__init(wire_out);
    wire_out->change = change.n_edges < set.n_edges;
    const struct trace_set written = wire_out->change ? change : set;
    int32_t last = 0;
    for (size_t i = 0; i < written.n_edges; i++) {
        gaps[i] = (uint32_t)(written.edges[i] - last);
        last = written.edges[i];
    }
    wire_out->n_gaps = written.n_edges;
    wire_out->gaps = gaps;
    return STATUS_OK;
}

static enum status sets_to_wire(const struct trace_sets *sets, const struct trace_sets *previous,
                                struct step_memory *memory) {
    uint32_t *gaps = memory->gaps;
    size_t n_sets = 0;
    for (int32_t pair = 0; pair < sets->n_pairs; pair++) {
        const uint32_t index = sets->set_of[pair];
        if (pair > 0 && index == sets->set_of[pair - 1])
            memory->set_of[memory->n_set_of - 2]++;
        else {
            memory->set_of[memory->n_set_of++] = 1;
            memory->set_of[memory->n_set_of++] = index;
        }
        if (index < n_sets) continue;
        CHECK(index == n_sets); /* numbered in the order of their first pairs */
        const struct trace_set set = trace_sets_get(sets, index);
        const struct trace_set before = trace_sets_get(previous, previous->set_of[pair]);
        TRY(set_to_wire(memory, set, before, gaps, &memory->sets[n_sets]));
        memory->pointers[n_sets++] = &memory->sets[index];
        gaps += set.n_edges;
    }
    CHECK(n_sets == sets->n_sets);
    return STATUS_OK;
}

enum status trace_wire_put_step(const struct trace_tokens *tokens, const struct trace_sets *sets,
                                const struct trace_sets *previous, struct bytes *message) {
    CHECK(sets->n_pairs == previous->n_pairs && tokens->n > 0);
    struct step_memory memory;
    TRY(step_memory_create(sets, &memory));
    enum status status = sets_to_wire(sets, previous, &memory);
    Trace__Tokens wire_tokens = tokens_to_wire(tokens);
    Trace__Step wire = TRACE__STEP__INIT;
    wire.tokens = &wire_tokens;
    wire.n_sets = sets->n_sets;
    wire.sets = memory.pointers;
    wire.n_set_of = memory.n_set_of;
    wire.set_of = memory.set_of;
    if (status == STATUS_OK) status = pack(&wire.base, message);
    step_memory_free(&memory);
    return status;
}

/* protobuf-c's allocator: a few bytes of a hostile message may ask for many. */
struct allowance {
    size_t left;
};

static const size_t UNPACK_BYTES_MAX = (size_t)1 << 30;

static void *allocate(void *allowance, size_t size) {
    struct allowance *allowed = allowance;
    if (size > allowed->left) return NULL;
    allowed->left -= size;
    return malloc(size);
}

static void release(void *allowance, void *piece) {
    (void)allowance;
    free(piece);
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const void *message, size_t size) {
    struct allowance allowance = {UNPACK_BYTES_MAX};
    ProtobufCAllocator allocator = {allocate, release, &allowance};
    return protobuf_c_message_unpack(type, &allocator, size, message);
}

/* malloc and free, as above, for what unpack made. */
static void discard(ProtobufCMessage *wire) {
    ProtobufCAllocator allocator = {allocate, release, &(struct allowance){0}};
    protobuf_c_message_free_unpacked(wire, &allocator);
}

static enum status tokens_from_wire(const Trace__Tokens *wire, int64_t n_cached,
                                    struct trace_tokens *tokens) {
    if (!wire || wire->n_ids == 0) return FAIL(STATUS_BAD_INPUT, "it has no tokens");
    if (wire->n_text_bytes != wire->n_ids)
        return FAIL(STATUS_BAD_INPUT, "it has %zu tokens but %zu texts", wire->n_ids, wire->n_text_bytes);
    if ((int64_t)wire->n_ids > TRACE_MAX_TOKENS - n_cached)
        return FAIL(STATUS_BAD_INPUT, "more than %d tokens", TRACE_MAX_TOKENS);
    const char *text = (const char *)wire->text.data;
    size_t left = wire->text.len;
    trace_tokens_clear(tokens);
    for (size_t i = 0; i < wire->n_ids; i++) {
        const uint32_t size = wire->text_bytes[i];
        if (wire->ids[i] < 0 || size > left)
            return FAIL(STATUS_BAD_INPUT, "token %lld has the id %d and %u bytes of text",
                        (long long)n_cached + (long long)i, wire->ids[i], size);
        TRY(trace_tokens_append(tokens, wire->ids[i], text, size));
        if (size) text += size;
        left -= size;
    }
    return left == 0 ? STATUS_OK : FAIL(STATUS_BAD_INPUT, "%zu bytes of text belong to no token", left);
}

static enum status check_header(const Trace__Header *wire) {
    if (strcmp(wire->format, FORMAT) != 0)
        return FAIL(STATUS_BAD_INPUT, "it was not written by caucus trace");
    if (wire->version != TRACE_VERSION)
        return FAIL(STATUS_BAD_INPUT, "it has version %u; this program reads %d", wire->version,
                    TRACE_VERSION);
    if (wire->n_layers < 1 || wire->n_kv_heads < 1 || wire->every < 1 || wire->budget < 0 ||
        (int64_t)wire->n_layers * wire->n_kv_heads > TRACE_MAX_PAIRS)
        return FAIL(STATUS_BAD_INPUT, "it tells of %d layers, %d KV heads, a budget of %d, every step of %d",
                    wire->n_layers, wire->n_kv_heads, wire->budget, wire->every);
    return STATUS_OK;
}

static enum status fill_header(const Trace__Header *wire, struct trace_header *header) {
    TRY(check_header(wire));
    TRY(tokens_from_wire(wire->prompt, 0, &header->prompt));
    struct trace_option *options = calloc(wire->n_options + 1, sizeof *options);
    if (!options) return out_of_memory();
    for (size_t i = 0; i < wire->n_options; i++)
        options[i] = (struct trace_option){wire->options[i]->name, wire->options[i]->value};
    header->options = options;
    header->n_options = wire->n_options;
    header->program = wire->program;
    header->model = wire->model;
    header->fingerprint = wire->fingerprint;
    header->policy = wire->policy;
    header->budget = wire->budget;
    header->n_layers = wire->n_layers;
    header->n_kv_heads = wire->n_kv_heads;
    header->every = wire->every;
    return STATUS_OK;
}

enum status trace_wire_get_header(const void *message, size_t size, struct trace_header *header_out) {
    ProtobufCMessage *wire = unpack(&trace__header__descriptor, message, size);
    if (!wire) return FAIL(STATUS_BAD_INPUT, "it is malformed");
    struct trace_header header = {.memory = wire};
    const enum status status = fill_header((const Trace__Header *)wire, &header);
    if (status != STATUS_OK) {
        trace_header_free(&header);
        return status;
    }
    *header_out = header;
    return STATUS_OK;
}

void trace_header_free(struct trace_header *header) {
    union {
        const struct trace_option *read;
        void *owned;
    } options = {.read = header->options};
    free(options.owned);
    trace_tokens_free(&header->prompt);
    if (header->memory) discard(header->memory);
    *header = (struct trace_header){0};
}

static enum status set_from_wire(const Trace__Set *wire, struct trace_set before, int64_t n_cached,
                                 struct trace_sets *gaps, struct trace_sets *sets) {
    uint32_t index;
    int64_t edge = 0;
    trace_sets_clear(gaps);
    for (size_t i = 0; i < wire->n_gaps; i++) {
        edge += wire->gaps[i];
        if ((i > 0 && wire->gaps[i] == 0) || edge > n_cached)
            return FAIL(STATUS_BAD_INPUT, "a set of %lld tokens has an edge at %lld", (long long)n_cached,
                        (long long)edge);
        TRY(trace_sets_add_edge(gaps, edge));
    }
    if (wire->n_gaps % 2 != 0) return FAIL(STATUS_BAD_INPUT, "a set has a run without an end");
    TRY(trace_sets_close(gaps, &index));
    const struct trace_set none = {NULL, 0};
    TRY(trace_sets_add_difference(sets, trace_sets_get(gaps, 0), wire->change ? before : none));
    const size_t n_sets = sets->n_sets;
    TRY(trace_sets_close(sets, &index));
    return index == n_sets ? STATUS_OK : FAIL(STATUS_BAD_INPUT, "two of its sets are equal");
}

/* Whose set is which: sets are numbered in the order of their first pairs, and each is used. */
static enum status pairs_from_wire(const Trace__Step *wire, struct trace_sets *sets, int32_t *first_pairs) {
    int64_t pair = 0;
    size_t n_sets = 0;
    for (size_t i = 0; i + 1 < wire->n_set_of; i += 2) {
        const uint32_t n = wire->set_of[i], index = wire->set_of[i + 1];
        if (n == 0 || n > sets->n_pairs - pair || index > n_sets || index >= wire->n_sets)
            return FAIL(STATUS_BAD_INPUT, "%u heads from the %lld-th have set %u of %zu", n, (long long)pair,
                        index, wire->n_sets);
        if (index == n_sets) first_pairs[n_sets++] = (int32_t)pair;
        for (uint32_t j = 0; j < n; j++)
            sets->set_of[pair++] = index;
    }
    if (pair == sets->n_pairs && n_sets == wire->n_sets && wire->n_set_of % 2 == 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%lld of %d heads have %zu of %zu sets", (long long)pair, sets->n_pairs,
                n_sets, wire->n_sets);
}

static enum status sets_from_wire(const Trace__Step *wire, int64_t n_cached,
                                  const struct trace_sets *previous, int32_t *first_pairs,
                                  struct trace_sets *gaps, struct trace_sets *sets) {
    trace_sets_clear(sets);
    TRY(pairs_from_wire(wire, sets, first_pairs));
    for (size_t i = 0; i < wire->n_sets; i++) {
        const struct trace_set before = trace_sets_get(previous, previous->set_of[first_pairs[i]]);
        TRY(set_from_wire(wire->sets[i], before, n_cached, gaps, sets));
    }
    return STATUS_OK;
}

static enum status step_from_wire(const Trace__Step *wire, int64_t n_cached,
                                  const struct trace_sets *previous, struct trace_tokens *tokens,
                                  struct trace_sets *sets) {
    TRY(tokens_from_wire(wire->tokens, n_cached, tokens));
    struct trace_sets gaps;
    TRY(trace_sets_create(1, &gaps));
    int32_t *first_pairs = calloc((size_t)sets->n_pairs, sizeof *first_pairs);
    const enum status status =
        first_pairs ? sets_from_wire(wire, n_cached + (int64_t)tokens->n, previous, first_pairs, &gaps, sets)
                    : out_of_memory();
    free(first_pairs);
    trace_sets_free(&gaps);
    return status;
}

enum status trace_wire_get_step(const void *message, size_t size, int64_t n_cached,
                                const struct trace_sets *previous, struct trace_tokens *tokens,
                                struct trace_sets *sets) {
    CHECK(sets->n_pairs == previous->n_pairs);
    ProtobufCMessage *wire = unpack(&trace__step__descriptor, message, size);
    if (!wire) return FAIL(STATUS_BAD_INPUT, "it is malformed");
    const enum status status = step_from_wire((const Trace__Step *)wire, n_cached, previous, tokens, sets);
    discard(wire);
    return status;
}
