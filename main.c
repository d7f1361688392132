/* caucus - the program: parses on rank 0, tells the workers, runs the command, ends the job.
 *
 * Rank 0 decides everything. The other ranks learn whether the command runs the model, serve its plans if
 * so, and leave with rank 0's exit status. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build_sources.h"
#include "base/fingerprint.h"
#include "base/launcher.h"
#include "base/log.h"
#include "cluster/comm.h"
#include "cluster/engine.h"
#include "cluster/survivors.h"
#include "cluster/wait_policy.h"
#include "coordinator/commands.h"
#include "coordinator/config.h"
#include "worker/phase_measure.h"
#include "worker/simulation.h"
#include "worker/worker.h"

extern char **environ;

/* What rank 0 tells everybody at the start. */
struct start {
    int32_t n_engines; /* 0: nothing for the others to do … */
    bool simulates;    /* … but to simulate */
    int32_t verbosity;
    double timeout_seconds; /* for a rank that is missing; 0: none */
    int32_t lost_ranks;     /* that the job goes on without */
};

/* What rank 0 holds from the first engine to the command's end; the others hold nothing. */
enum { NO_LOCK = -1 };

static enum status plan(const struct config *config, int n_ranks) {
    bool leaves_rows;
    TRY(worker_leaves_rows(config->policy, &leaves_rows));
    return command_plan(config, n_ranks, leaves_rows);
}

static enum status dispatch_without_model(const struct config *config, int n_ranks) {
    switch (config->command) {
    case COMMAND_TOKENIZE:
        return command_tokenize(config);
    case COMMAND_PLAN:
        return plan(config, n_ranks);
    case COMMAND_INSPECT:
        return command_inspect(config);
    case COMMAND_TRACE:
        return command_trace_draw(config);
    case COMMAND_EVAL:
        return command_eval_summary(config);
    case COMMAND_SCALE:
        return command_scale(config);
    case COMMAND_BENCH:
        return command_bench_costs(config, phase_measure);
    case COMMAND_NONE:
    case COMMAND_SUPERVISE:
    case COMMAND_RUN:
    case COMMAND_SCORE:
    case COMMAND_CALIBRATE:
    case COMMAND_SIMULATE:
        break;
    }
    return FAIL(STATUS_INTERNAL, "this command runs the model");
}

static enum status run_without_model(const struct config *config, int n_ranks) {
    if (config->version)
        config_print_version();
    else if (config->help)
        config_print_help(config->command);
    else
        TRY(dispatch_without_model(config, n_ranks));
    if (fflush(stdout) != 0 || ferror(stdout))
        return FAIL(STATUS_IO, "cannot write standard output: %s", strerror(errno));
    return STATUS_OK;
}

static enum status dispatch_with_model(const struct config *config, int32_t index,
                                       const struct engine *engine) {
    if (config->command == COMMAND_BENCH) return command_bench(config, index, engine);
    if (config->command == COMMAND_EVAL) return command_eval(config, index, engine);
    if (config->command == COMMAND_TRACE) return command_trace_record(config, engine);
    if (config->command == COMMAND_CALIBRATE) return command_calibrate(config, engine);
    return config->command == COMMAND_RUN ? command_run(config, engine) : command_score(config, engine);
}

/* Rank 0's part of the `index`-th engine, or any other's. */
static enum status drive(struct comm *comm, const struct config *config, int32_t index,
                         struct worker *worker) {
    if (comm_rank(comm) != 0) return worker_serve(worker);
    const struct engine engine = worker_engine(worker);
    const enum status status = dispatch_with_model(config, index, &engine);
    const enum status stopped = worker_stop(worker);
    return status == STATUS_OK ? stopped : status;
}

static enum status run_with_model(struct comm *comm, const struct config *config, int32_t index) {
    struct engine_config engine = {0};
    bool needed = false;
    enum status status = STATUS_OK;
    if (comm_rank(comm) == 0) status = command_needs_engine(config, index, &needed);
    if (status == STATUS_OK && needed) status = command_engine_config(config, index, &engine);
    TRY(comm_agree(comm, status));
    comm_broadcast(comm, &needed, sizeof needed);
    if (!needed) return STATUS_OK;
    comm_broadcast(comm, &engine, sizeof engine);
    struct worker *worker;
    TRY(worker_create(comm, &engine, &worker));
    status = drive(comm, config, index, worker);
    worker_destroy(worker);
    return comm_agree(comm, status);
}

/* The last of many engines must not be the first to fail. */
static enum status check_engines(const struct config *config, int32_t n_engines) {
    for (int32_t i = 0; i < n_engines; i++) {
        struct engine_config engine;
        TRY(command_engine_config(config, i, &engine));
        TRY(worker_check(&engine));
    }
    return STATUS_OK;
}

/* Else every rank would give the whole answer, and load the whole model for it. */
static enum status check_launcher(int n_ranks) {
    if (n_ranks > 1 || launcher_ranks() == 1) return STATUS_OK;
    return FAIL(
        STATUS_BAD_INPUT,
        "%d of this program were started, but MPI connects none of them: add --mpi=pmix to srun, or use "
        "the mpirun of the MPI library that caucus was built with",
        launcher_ranks());
}

static enum status plan_start(enum status parsed, const struct config *config, struct start *start,
                              int *lock_out) {
    TRY(parsed);
    start->verbosity = config->verbosity;
    start->timeout_seconds = config->timeout;
    start->lost_ranks = config->lost_ranks;
    if (config->help || config->version) return STATUS_OK;
    start->simulates = config->command == COMMAND_SIMULATE;
    start->n_engines = command_engines(config);
    if (start->n_engines == 0) return STATUS_OK;
    TRY(command_check(config));
    TRY(check_engines(config, start->n_engines));
    return command_lock(config, lock_out);
}

/* What the ranks tell each other has the form that their sources give it. */
static enum status check_builds(struct comm *comm) {
    const uint64_t build = fingerprint_add(FINGERPRINT_BEGIN, build_sources, strlen(build_sources));
    return comm_same(comm, build, "the program's sources: install one build on every host");
}

static enum status simulate(struct comm *comm, const struct config *config) {
    if (comm_rank(comm) != 0) return simulation_serve(comm);
    const struct simulator simulator = simulation_open(comm);
    const enum status status = command_simulate(config, &simulator);
    simulation_stop(comm);
    return status;
}

/* `parsed` is what became of the arguments, which count on rank 0 only. */
static enum status run(struct comm *comm, enum status parsed, const struct config *config, int *lock_out) {
    struct start start = {0};
    enum status status = STATUS_OK;
    TRY(check_builds(comm));
    if (comm_rank(comm) == 0) status = plan_start(parsed, config, &start, lock_out);
    if (status == STATUS_OK && start.n_engines > 0) status = check_launcher(comm_size(comm));
    TRY(comm_agree(comm, status));
    comm_broadcast(comm, &start, sizeof start);
    log_install(comm_rank(comm), start.verbosity);
    if (start.n_engines > 0 && start.lost_ranks > 0) TRY(survivors_allow(comm, start.lost_ranks));
    if (start.n_engines > 0) TRY(comm_watch(comm, start.timeout_seconds));
    for (int32_t i = 0; i < start.n_engines; i++)
        TRY(run_with_model(comm, config, i));
    if (start.simulates) return comm_agree(comm, simulate(comm, config));
    if (comm_rank(comm) == 0)
        status = start.n_engines > 0 ? command_finish(config) : run_without_model(config, comm_size(comm));
    return comm_agree(comm, status);
}

/* Where one of 0, 1 and 2 is closed, the next file opened would take its place: a model read as standard
 * input. */
static void open_standard_descriptors(void) {
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0) close(descriptor);
}

/* Before MPI starts, as it may begin the program anew: only where the configuration can be read once more,
 * not from a pipe. */
static void settle_wait_policy(const struct config *config, char **argv) {
    struct stat file;
    if (config->help || config->version || command_engines(config) == 0) return;
    if (config->config_file && (stat(config->config_file, &file) != 0 || !S_ISREG(file.st_mode))) return;
    int64_t most = 0; /* bench may take several thread counts in turn */
    for (size_t i = 0; i < config->n_thread_counts; i++)
        most = config->thread_counts[i] > most ? config->thread_counts[i] : most;
    wait_policy_settle((int)most, argv);
}

/* Once MPI has begun in a process, it can start no ranks. */
static bool is_without_mpi(const struct config *config) {
    return config->command == COMMAND_SCALE && !launcher_present();
}

/* Returns the exit status. */
static int leave(struct config *config, enum status status, bool speaks) {
    if (status != STATUS_OK && speaks) fprintf(stderr, "caucus: %s\n", status_message());
    config_free(config);
    return status_exit_code(status);
}

static bool supervises(const struct config *config) {
    return config->command == COMMAND_SUPERVISE && !config->help && !config->version;
}

/* Ends as the command does that it ran. */
static int supervise(struct config *config) {
    int exit_status = 0;
    const enum status status = command_supervise(config, &exit_status);
    const int own_status = leave(config, status, true);
    return status == STATUS_OK ? exit_status : own_status;
}

int main(int argc, char **argv) {
    open_standard_descriptors();
    /* A closed pipe is a failed write, not a death that leaves the others waiting. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it: no program could be waited for */
    struct config config;
    const enum status parsed = config_parse(argc, argv, environ, &config);
    if (parsed == STATUS_OK && supervises(&config)) return supervise(&config);
    if (parsed == STATUS_OK && is_without_mpi(&config))
        return leave(&config, run_without_model(&config, 1), true);
    if (parsed == STATUS_OK) settle_wait_policy(&config, argv);
    struct comm *comm;
    const enum status opened = comm_open(&argc, &argv, &comm);
    if (opened != STATUS_OK) return leave(&config, opened, true);
    log_install(comm_rank(comm), 0);

    int lock = NO_LOCK;
    const enum status status = run(comm, parsed, &config, &lock);
    if (lock != NO_LOCK) close(lock);
    const int exit_status = leave(&config, status, comm_rank(comm) == 0);
    comm_close(comm);
    return exit_status;
}
