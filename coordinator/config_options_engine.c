/* Options of how the model is run. */
#include "coordinator/config_table_impl.h"

static const struct option_choice numerics_choices[] = {
    {"reproducible", NUMERICS_REPRODUCIBLE}, {"fast", NUMERICS_FAST}, {0}};

static const struct option_choice allreduce_choices[] = {
    {"auto", ALLREDUCE_AUTO},       {"mpi", ALLREDUCE_MPI},           {"shared", ALLREDUCE_SHARED},
    {"leaders", ALLREDUCE_LEADERS}, {"doubling", ALLREDUCE_DOUBLING}, {"ring", ALLREDUCE_RING},
    {"direct", ALLREDUCE_DIRECT},   {"scatter", ALLREDUCE_SCATTER},   {0}};

static const struct option_choice wire_choices[] = {
    {"f32", ALLREDUCE_WIRE_F32}, {"bf16", ALLREDUCE_WIRE_BF16}, {0}};

static const struct option_choice probe_choices[] = {{"none", PROBE_NONE}, {"recall", PROBE_RECALL}, {0}};

static const struct option_choice by_choices[] = {
    {"peak", CALIBRATE_PEAK}, {"recall", CALIBRATE_RECALL}, {0}};

static const struct option_choice bind_choices[] = {{"auto", BINDING_AUTO}, {"none", BINDING_NONE}, {0}};

static const struct option_choice kv_type_choices[] = {{"f32", DTYPE_F32},   {"f16", DTYPE_F16},
                                                       {"bf16", DTYPE_BF16}, {"q8", DTYPE_Q8_0},
                                                       {"q8_0", DTYPE_Q8_0}, {0}};

static const struct option_choice weights_choices[] = {
    {"file", DTYPE_COUNT}, {"q8", DTYPE_Q8_0}, {"q4", DTYPE_Q4_0}, {0}};

static const struct option attention_options[] = {
    {"policy", .kind = OPTION_TEXT, FIELD(policy), .initial = "full", .min = 1, .max = 1023,
     .metavar = "NAME",
     .doc = "which cached tokens a decode step reads: full (all of them), lessismore (one set that all heads "
            "of all ranks agree on), tidal (K tokens for each query head), quest (pages whose keys promise "
            "most), raas (pages that were of use lately), streaming (the first and the newest tokens), delta "
            "(one set of pages), h2o (the most attended and newest of each KV head), rkv (what is attended to"
            " and not repeated), refresh (K tokens until the queries change), sparsemax and sparsemax-select "
            "(as many as sparsemax gives weight), tactic (clusters that hold a share of the attention), "
            "multipole (the best clusters exactly, the others by their centres), emulate (full, with "
            "--emulate 1)",
     .commands = ENGINE | PLAN | SIMULATE},
    {"budget", .kind = OPTION_INT64_RANGES, COUNTED(budgets), .capacity = MOST_OF_A_LIST, .initial = "2048",
     .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "K",
     .doc = "tokens that a sparse policy reads; at least sinks + 2 where it has sinks",
     .commands = ENGINE | CALIBRATE | SIMULATE},
    {"recent-ratio", .kind = OPTION_FLOAT, FIELD(recent_ratio), .initial = "0.25", .max = 1, .metavar = "R",
     .doc = "share of the budget kept for the latest tokens", .commands = ENGINE | CALIBRATE | SIMULATE},
    {"sinks", .kind = OPTION_INT32, FIELD(sinks), .initial = "4", .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "first tokens that always belong to the set", .commands = ENGINE | CALIBRATE | SIMULATE},
    {"select-layers", .kind = OPTION_INT32_VECTOR, COUNTED(select_layers),
     .capacity = ENGINE_MAX_SELECT_LAYERS, .max = 65535, .metavar = "I,J",
     .initial_doc = "the policy's own for the model",
     .doc = "layers that choose the set for those after them, ascending, counted from 0",
     .commands = ENGINE | SIMULATE},
    {"dense-below", .kind = OPTION_INT64, FIELD(dense_below), .initial = "0", .max = MAX_TOKEN_COUNT,
     .metavar = "N", .doc = "attend to all tokens while there are at most so many",
     .commands = ENGINE | SIMULATE},
    {"correct-every", .kind = OPTION_INT32, FIELD(correct_every), .initial = "0", .initial_doc = "never",
     .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "T",
     .doc =
         "compute T tokens that a sparse policy decoded again, densely, and keep their new keys and values; "
         "with any policy that evicts nothing",
     .commands = RUN | SCORE | EVAL},
    {"emulate", .kind = OPTION_INT32, FIELD(emulate), .initial = "-1", .initial_doc = "no layer", .min = 0,
     .max = 65535, .metavar = "LAYER",
     .doc = "the layers behind this one attend more to what it attended to; goes with any policy",
     .commands = ENGINE},
    {"policy-options", .kind = OPTION_TEXT, FIELD(policy_options), .initial = "",
     .max = ENGINE_OPTIONS_MAX - 1, .metavar = "NAME=X,…",
     .doc = "options that one policy alone has, as in docs/policies.md; POLICY.NAME=X counts for that policy "
            "only",
     .commands = ENGINE | SIMULATE},
    {"probe", .kind = OPTION_CHOICE, FIELD(probe), .choices = probe_choices, .initial = "none",
     .metavar = "WHAT",
     .doc =
         "recall: how much of dense attention falls on the tokens that are read, by layer; costs time, and "
         "memory for the keys of all tokens",
     .commands = RUN | SCORE | EVAL},
    {"probe-every", .kind = OPTION_INT32, FIELD(probe_every), .initial = "1", .min = 1,
     .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "probe only decode steps at which N or a multiple of it is cached",
     .commands = RUN | SCORE | EVAL | CALIBRATE},
    {"by", .kind = OPTION_CHOICE, FIELD(by), .choices = by_choices, .initial = "peak", .metavar = "WHAT",
     .doc =
         "what to choose by: recall, the share of dense attention that falls on the set, or peak, 1 less the "
         "largest share of a token outside",
     .commands = CALIBRATE},
    {"first-layer", .kind = OPTION_INT32, FIELD(first_layer), .initial = "2", .max = 65535, .metavar = "I",
     .doc = "the first layer that selects; those before it are dense", .commands = CALIBRATE},
    {"max-layers", .kind = OPTION_INT32, FIELD(max_layers), .initial = "4", .min = 1,
     .max = ENGINE_MAX_SELECT_LAYERS, .metavar = "N", .doc = "try up to so many layers that select",
     .commands = CALIBRATE},
    {"within", .kind = OPTION_FLOAT, FIELD(within), .initial = "0.005", .max = 1, .metavar = "X",
     .doc = "recommend the fewest layers that come so near the best", .commands = CALIBRATE},
};

const struct option_group config_attention_options = {"Attention", attention_options,
                                                      sizeof attention_options / sizeof *attention_options};

static const struct option engine_options[] = {
    {"threads", .letter = 't', .kind = OPTION_INT64_RANGES, COUNTED(thread_counts),
     .capacity = MOST_OF_A_LIST, .initial = "0", .initial_doc = "the host's cores, shared between its ranks",
     .min = 1, .max = 1024, .metavar = "N", .doc = "threads of each rank", .commands = ENGINE | CALIBRATE},
    {"bind", .kind = OPTION_CHOICE, FIELD(bind), .choices = bind_choices, .initial = "auto", .metavar = "HOW",
     .doc = "auto keeps each thread to its part of the cores that mpirun left the ranks, none to no core",
     .commands = ENGINE | CALIBRATE},
    {"shares", .kind = OPTION_TEXT, FIELD(shares_text), .min = 1, .initial_doc = "all ranks alike",
     .metavar = "I,J",
     .doc =
         "how heads, columns and vocabulary are dealt to uneven ranks: 3,2,1 gives the first half of them, "
         "auto as much as each reads from memory",
     .commands = ENGINE | CALIBRATE | PLAN},
    {"timeout", .kind = OPTION_FLOAT, FIELD(timeout), .initial = "60", .max = 1e6, .metavar = "S",
     .doc = "end the job when a rank gives no sign, or makes no progress, for S seconds; 0: wait for ever",
     .commands = ENGINE | CALIBRATE},
    {"lost-ranks", .kind = OPTION_INT32, FIELD(lost_ranks), .initial = "0", .max = 65535, .metavar = "N",
     .doc =
         "go on with those that are left when up to N ranks, but for rank 0, end or are killed; needs Open MPI 5 and "
         "mpirun --with-ft ulfm",
     .commands = RUN | SCORE | EVAL},
    {"check", .kind = OPTION_TEXT, FIELD(check), .min = 1, .metavar = "every=N", .initial_doc = "never",
     .doc = "compare plan, tokens, selected sets and hidden states over ranks in every Nth step, and end the "
            "job where they differ",
     .commands = ENGINE | CALIBRATE},
    {"context", .letter = 'c', .kind = OPTION_INT64, FIELD(context), .initial = "0",
     .initial_doc = "the model's own", .min = 1, .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "tokens a sequence can hold, prompt included", .commands = ENGINE | PLAN | CALIBRATE},
    {"sliding-window", .kind = OPTION_INT32, FIELD(sliding_window), .initial = "-1",
     .initial_doc = "the model's own", .min = 0, .max = MAX_TOKEN_COUNT, .metavar = "N",
     .doc = "attend to the last N tokens only; 0: to all", .commands = ENGINE | CALIBRATE},
    {"weights", .kind = OPTION_CHOICE, FIELD(weights), .choices = weights_choices, .initial = "file",
     .metavar = "TYPE",
     .doc = "quantise the matrices while loading: q8 (Q8_0), q4 (Q4_0, the output matrix Q8_0); file: the "
            "types that are in the file",
     .commands = ENGINE | PLAN | CALIBRATE | SIMULATE},
    {"kv-type", .kind = OPTION_CHOICE, FIELD(kv_type), .choices = kv_type_choices, .initial = "f16",
     .metavar = "TYPE", .doc = "how keys and values are stored",
     .commands = ENGINE | PLAN | CALIBRATE | SIMULATE},
    {"numerics", .kind = OPTION_CHOICE, FIELD(numerics), .choices = numerics_choices,
     .initial = "reproducible", .metavar = "MODE",
     .doc = "reproducible gives the same bits for any number of ranks",
     .commands = ENGINE | CALIBRATE | SIMULATE},
    {"allreduce", .kind = OPTION_CHOICE, FIELD(allreduce), .choices = allreduce_choices, .initial = "auto",
     .metavar = "WAY",
     .doc =
         "how the ranks add their parts: what is measured to be fastest at the start, MPI, or shared memory "
         "(on one host); between hosts by leaders (MPI's way), doubling, ring, direct or scatter",
     .commands = ENGINE | CALIBRATE | SIMULATE},
    {"wire", .kind = OPTION_CHOICE, FIELD(wire), .choices = wire_choices, .initial = "f32", .metavar = "TYPE",
     .doc = "how the sums of --numerics fast travel between hosts; bf16 takes half the bytes and rounds",
     .commands = ENGINE | CALIBRATE | SIMULATE},
    {"batch-tokens", .kind = OPTION_INT32, FIELD(batch_tokens), .initial = "512", .min = 1, .max = 65536,
     .metavar = "N", .doc = "tokens of one step, parts of prompts included", .commands = ENGINE | CALIBRATE},
    {"parallel", .kind = OPTION_INT32, FIELD(parallel), .initial = "0",
     .initial_doc = "as many as there are prompts, up to 64; for eval as many as memory allows, up to 16",
     .min = 1, .max = CONFIG_MAX_PARALLEL, .metavar = "N", .doc = "sequences computed side by side",
     .commands = RUN | SCORE | PLAN | EVAL | CALIBRATE},
};

const struct option_group config_engine_options = {"Engine", engine_options,
                                                   sizeof engine_options / sizeof *engine_options};
