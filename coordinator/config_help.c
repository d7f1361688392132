/* What --help says around the options. */
#include <stdio.h>

#include "coordinator/config_impl.h"

static const struct command_text texts[] = {
    [COMMAND_NONE] =
        {.name = "caucus",
         .summary = "",
         .usage = "COMMAND [OPTION]...",
         .about =
             "Runs reasoning models on CPUs. Attention heads are spread over MPI ranks and caucus: each\n"
             "proposes tokens, one set is agreed, all attend to it.",
         .examples = "  mpirun -n 2 caucus run -m models/stories260K -p \"Once upon a time\"\n"
                     "  caucus plan -m models/stories260K -n 4\n"},
    [COMMAND_RUN] =
        {.name = "run",
         .summary = "generate text, or chat",
         .usage = "-m MODEL [-p TEXT | -f FILE] [OPTION]...",
         .about = "Generates text. The prompt comes from -p, -f or standard input; on a terminal without a\n"
                  "prompt it is a chat, where Ctrl-C stops the answer and Ctrl-D ends.",
         .examples =
             "  mpirun -n 2 caucus run -m models/stories260K -p \"Once upon a time\" -n 200\n"
             "  mpirun -n 4 caucus run -m Qwen3-8B --policy lessismore --budget 2048 -f problem.txt\n"},
    [COMMAND_SCORE] =
        {.name = "score",
         .summary = "log-probabilities and logits of given tokens",
         .usage = "-m MODEL --input IN.jsonl --output OUT.jsonl [OPTION]...",
         .about = "Reads token ids or texts and writes what the model thinks of every token. The first\n"
                  "\"prompt_tokens\" of a line are prefilled densely, the rest decoded one by one.",
         .examples =
             "  mpirun -n 2 caucus score -m models/stories260K --input in.jsonl --output out.jsonl\n"
             "  caucus score -m Qwen3-8B --policy lessismore --budget 512 --logits 0,99 < in.jsonl\n"},
    [COMMAND_BENCH] =
        {.name = "bench",
         .summary = "how fast, and how near to what memory can give",
         .usage = "-m MODEL [OPTION]...",
         .about =
             "Times reading a prompt (ppN) and generating (tgN) as llama-bench does, with random tokens.\n"
             "Numbers may be lists and ranges: 1,2  1-4  0-1024+256  512-32768*2. So may --policy (a list),\n"
             "--budget and --threads: each choice gets an engine of its own. A test's share is what it\n"
             "reads, weights and attended keys and values, of what all threads together reach when they\n"
             "only read the weights; that is measured before and after each test. Resident memory is the rank's that has\n"
             "most, and what it has beyond weights and KV pages in use. Unless -c says otherwise the context\n"
             "is as long as the tests need.",
         .examples =
             "  mpirun -n 2 caucus bench -m model.gguf -p 512 -n 128 -t 1\n"
             "  caucus bench -m model.gguf -p 0 -n 64 -d 4096-32768*2 --policy full,lessismore -o json\n"},
    [COMMAND_EVAL] =
        {.name = "eval",
         .summary = "how often a model is right under each policy and budget",
         .usage = "-m MODEL --problems FILE --results FILE [OPTION]...\n"
                  "       caucus eval --summary-only FILE [-o FORMAT] [--plot FOLDER]",
         .about =
             "Lets the model solve problems under every policy (a list) with every budget (lists and ranges),\n"
             "full always among them, many sequences side by side. Each finished sample is a line of the results,\n"
             "and the same command goes on where it was stopped. An answer is the last \\boxed{}, else what\n"
             "follows ####, else the last line behind </think>; it is compared as a number or as text without\n"
             "LaTeX's spaces and units. At the end comes a summary of all that is in the results: accuracy with\n"
             "its 95 % Wilson interval, the difference to full in the same samples, length, tokens attended to\n"
             "per step, layer and head, tokens per second, and the most KV bytes of a sequence.",
         .examples =
             "  mpirun -n 2 caucus eval -m models/lemma --problems problems.jsonl --results lemma.jsonl \\\n"
             "      --policy lessismore,quest --budget 64-1024*2 --plot pictures\n"
             "  caucus eval -m Qwen3-8B --problems math500.jsonl --limit 50 --samples 4 --temperature 0.6 \\\n"
             "      --prompt-suffix \"Put the answer in \\boxed{}.\" --results math.jsonl\n"},
    [COMMAND_CALIBRATE] =
        {.name = "calibrate",
         .summary = "which layers should choose the set",
         .usage = "-m MODEL [--input IN.jsonl | -p TEXT] [--output FILE.yaml] [OPTION]...",
         .about =
             "Decodes a text densely and measures, for every layer, how much of the attention of the layers\n"
             "behind it the set covers that it would choose. From that follows which 1, 2, 3, ... layers\n"
             "should choose. The text is that of --input, or what the model answers to -p or, without one,\n"
             "to a prompt of the program's own; take one like those the model is for.",
         .examples =
             "  caucus calibrate -m Qwen3-8B --budget 1024 -n 4000 -p \"How many primes are below 200?\"\n"
             "  caucus calibrate -m models/lemma --budget 128 --input derivations.jsonl --output lemma.yaml\n"
             "  caucus run -m models/lemma --config lemma.yaml --policy lessismore --budget 128 -f problem.txt\n"},
    [COMMAND_SIMULATE] =
        {.name = "simulate",
         .summary = "how long a token takes on a cluster that one does not own",
         .usage = "-m CONFIG.json --costs FILE [OPTION]...",
         .about =
             "Runs the collectives of decode steps, the same ones in the same order, under SimGrid's\n"
             "simulated MPI, and lets the time pass between them that `caucus bench --costs FILE` measured\n"
             "for what a rank computes. Needs no weights: -m is a config.json or the folder that has one.\n"
             "Lists of policies, budgets and depths are taken in turn. Build the preset smpi and start it\n"
             "with tools/simulate.",
         .examples = "  caucus bench -m configs/shapes/qwen3-8b.json --weights q8 --costs costs.json\n"
                     "  tools/simulate configs/platforms/ethernet-10g.xml 8 simulate \\\n"
                     "      -m configs/shapes/qwen3-8b.json --weights q8 --costs costs.json \\\n"
                     "      -d 32768 --policy full,lessismore\n"},
    [COMMAND_TOKENIZE] =
        {.name = "tokenize",
         .summary = "text to token ids and back",
         .usage = "-m MODEL [-p TEXT | -f FILE] [OPTION]...",
         .about = "Prints the token ids of a text in one line, or with --decode the text of token ids.",
         .examples = "  caucus tokenize -m models/stories260K -p \"Once upon a time\"\n"
                     "  caucus tokenize -m models/stories260K --decode -p \"1 403 407 261 378\"\n"},
    [COMMAND_PLAN] =
        {.name = "plan",
         .summary = "who would own what, and how many bytes",
         .usage = "-m MODEL -n P [OPTION]...",
         .about = "Shows the share of each rank before anything is loaded, and refuses what does not fit in\n"
                  "this host's memory.",
         .examples = "  caucus plan -m models/stories260K -n 3\n"
                     "  caucus plan -m Qwen3-8B -n 8 --per-host 2 --kv-type bf16 -c 32768\n"},
    [COMMAND_INSPECT] = {.name = "inspect",
                         .summary = "a model's configuration, tokenizer and tensors",
                         .usage = "-m MODEL [OPTION]...",
                         .about = "Prints what the model's files say.",
                         .examples = "  caucus inspect -m models/stories260K\n"
                                     "  caucus inspect -m model.gguf --tensors --json\n"},
    [COMMAND_TRACE] =
        {.name = "trace",
         .summary = "record which tokens each step attends to, and draw it",
         .usage = "-m MODEL [-p TEXT | -f FILE] --output FILE [OPTION]...\n"
                  "       caucus trace --draw FILE [--svg FILE] [--html FILE] [OPTION]...",
         .about =
             "Generates as run does and records, for every decode step, layer and KV head, the tokens that\n"
             "were attended to. Draws them as a map, decode steps to the right and pages of the context\n"
             "downwards: as a picture, or as a page for a browser in which every token can be looked at.",
         .examples =
             "  mpirun -n 2 caucus trace -m models/lemma -f problem.txt --policy lessismore --budget 128 \\\n"
             "      --output lemma.trace --svg lemma.svg\n"
             "  caucus trace --draw lemma.trace --html lemma.html\n"},
    [COMMAND_SCALE] =
        {.name = "scale",
         .summary = "how speed grows with the ranks",
         .usage = "-m MODEL --np P,Q,... [OPTION]...",
         .about =
             "Runs bench on several numbers of ranks, by turns, -r rounds of all of them, and shows the median\n"
             "rate, and what a token's time is spent on. Speed-up is the rate over that of the fewest ranks, and\n"
             "efficiency what it is of the ranks' number over theirs; with --weak, where each rank has a depth\n"
             "of its own, efficiency is the rate over that of the fewest ranks. It starts the ranks itself: run\n"
             "it without mpirun. Threads are those of each rank: name them with -t, else fewer ranks of a host\n"
             "get more cores each, and no speed-up is to be seen.",
         .examples =
             "  caucus scale -m models/lemma --np 1,2 -t 1 -p 0 -n 64 -d 0,4096 --policy full,lessismore\n"
             "  caucus scale -m Qwen3-8B --np 1-16*2 --launcher \"mpirun --hostfile hosts --map-by node\" \\\n"
             "      -t 8 -p 0 -n 64 -d 32768 --plot pictures\n"},
    [COMMAND_SUPERVISE] =
        {.name = "supervise",
         .summary = "run a command, and again when it fails",
         .usage = "[OPTION]... [--] COMMAND [ARGUMENT]...",
         .about =
             "Runs the command; when it fails, ends what is left of it and runs it again, each time after a\n"
             "longer pause. eval goes on from its results, run from its --journal; without one it begins anew.\n"
             "Text that was printed is not printed again, but on a terminal. Not run again: a command that\n"
             "could not be run, or ended with status 2, which caucus has for what only a person can mend, and\n"
             "one that was ended through this one (Ctrl-C, SIGTERM, SIGHUP). The exit status is the command's\n"
             "last. A prompt cannot come from standard input.",
         .examples =
             "  caucus supervise -- mpirun -n 4 caucus eval -m models/lemma --problems problems.jsonl \\\n"
             "      --results lemma.jsonl\n"
             "  caucus supervise --max-restarts 3 -- mpirun --hostfile hosts caucus run -m Qwen3-8B \\\n"
             "      -f problem.txt --journal problem.journal --timeout 30 >answer.txt\n"},
};

const struct command_text *config_command_text(enum command command) {
    return (size_t)command < sizeof texts / sizeof *texts ? &texts[command] : NULL;
}

static void print_commands(void) {
    printf("\nCommands\n");
    for (int command = COMMAND_NONE + 1; config_command_text(command); command++)
        printf("  %-12s%s\n", texts[command].name, texts[command].summary);
    printf(
        "\n'caucus COMMAND --help' lists a command's options. Each can also be written in a YAML file\n"
        "(--config FILE, \"top-p: 0.9\") or the environment (CAUCUS_TOP_P=0.9); the environment overrides\n"
        "the file, the command line overrides both.\n");
}

void config_print_help(enum command command) {
    const struct command_text *text = config_command_text(command);
    const bool is_program = command == COMMAND_NONE;
    printf("Usage: caucus %s%s%s\n\n%s\n", is_program ? "" : text->name, is_program ? "" : " ", text->usage,
           text->about);
    if (is_program) print_commands();
    options_print_help(&config_table, command, stdout);
    printf("\nExamples\n%s", text->examples);
}

void config_print_version(void) {
    printf("caucus %s\n", CAUCUS_VERSION);
}
