/* A fault at a chosen moment, brought from outside: preloaded (LD_PRELOAD) into the ranks of a job, it wraps
 * the calls by which a phase can be told and acts once.
 *
 *   FAULT_RANK    the rank it strikes
 *   FAULT_PHASE   load     at its 12th pread of a page or more from the midst of a file
 *                 prefill  at its 3rd sum over ranks
 *                 decode   at its 3rd sum in step 8
 *                 select   at its 3rd minimum over ranks
 *                 plan:N   as plan N, counted from 0, is sent or has come
 *                 write:N  at its Nth write to FAULT_FILE
 *   FAULT_MARK    a file that is made at that moment, with the name of the job's files
 *   FAULT_ACTION  kill     SIGKILL
 *                 stop     SIGSTOP
 *                 hang     sleeps for ever in the calling thread, as in a read that never returns
 *                 corrupt  of a plan: changes a byte of it
 *                 full     of a write: No space left on device, after half of it
 *                 alter    of a sum or minimum: changes what this rank gets
 *                 command  runs FAULT_COMMAND, and goes on
 *
 * Sums and minima must go through MPI (--allreduce mpi). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { PREADS = 12, SUMS = 3, MINIMA = 3, DECODE_STEP = 8, CORRUPTED_BYTE = 40 };
enum {
    PAGE_BYTES = 4096,
    HEADER_BYTES = 64 << 10
}; /* what is read before the weights is smaller, or lies before */

/* What this rank has called so far. */
static struct {
    int preads, sums, minima, plans, writes;
    int sums_before_step;
    unsigned char *plan; /* being received */
    MPI_Request plan_request;
    unsigned char *minimum; /* to be altered */
    MPI_Request minimum_request;
    bool done;
} seen;

static bool is(const char *variable, const char *value) {
    const char *text = getenv(variable);
    return text && strcmp(text, value) == 0;
}

static bool strikes_here(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *wanted = getenv("FAULT_RANK");
    return !seen.done && rank && wanted && strcmp(rank, wanted) == 0;
}

static bool is_phase(const char *phase) {
    return strikes_here() && is("FAULT_PHASE", phase);
}

/* "plan:8" */
static bool is_counted(const char *name, int number) {
    char phase[32];
    snprintf(phase, sizeof phase, "%s:%d", name, number);
    return is_phase(phase);
}

/* Through these the ranks of a host talk: "/dev/shm/vader_segment.HOST.USER.JOB.RANK", or sm_segment. */
static void write_job(int file) {
    char line[1024];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        const char *path = strstr(line, "/dev/shm/"), *rank = strrchr(line, '.');
        if (!path || !rank || !strstr(path, "_segment.")) continue;
        (void)!write(file, path, (size_t)(rank - path));
        break;
    }
    if (maps) fclose(maps);
}

static void mark(void) {
    seen.done = true;
    const char *path = getenv("FAULT_MARK");
    const int file = path ? open(path, O_CREAT | O_WRONLY, 0666) : -1;
    if (file >= 0) {
        write_job(file);
        close(file);
    }
}

static void act(void) {
    mark();
    if (is("FAULT_ACTION", "kill")) raise(SIGKILL);
    if (is("FAULT_ACTION", "stop")) raise(SIGSTOP);
    while (is("FAULT_ACTION", "hang"))
        pause();
    const char *command = getenv("FAULT_COMMAND");
    unsetenv("LD_PRELOAD"); /* not for the shell */
    if (is("FAULT_ACTION", "command") && command && system(command) != 0)
        fprintf(stderr, "injector: %s failed\n", command);
}

/* The function that is wrapped. */
static void find(const char *name, void *function_out, size_t size) {
    void *address = dlsym(RTLD_NEXT, name);
    memcpy(function_out, &address, size);
}

/* ---- loading ---- */

ssize_t pread(int file, void *data, size_t size, off_t offset) {
    ssize_t (*next)(int, void *, size_t, off_t);
    find("pread", &next, sizeof next);
    const bool counts = size >= PAGE_BYTES && offset >= HEADER_BYTES;
    if (counts && __atomic_add_fetch(&seen.preads, 1, __ATOMIC_RELAXED) == PREADS && is_phase("load")) act();
    return next(file, data, size, offset);
}

ssize_t pread64(int file, void *data, size_t size, off_t offset) {
    return pread(file, data, size, offset);
}

/* ---- collectives ---- */

/* A small change of an integer, a larger one of a float. */
static void alter(unsigned char *values) {
    values[2] ^= 0x40;
}

int MPI_Allreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
    const bool was_done = seen.done;
    if (op == MPI_SUM) {
        seen.sums++;
        seen.sums_before_step++;
        if (seen.sums == SUMS && is_phase("prefill")) act();
        if (seen.plans > DECODE_STEP && seen.sums_before_step == SUMS && is_phase("decode")) act();
    }
    const int code = PMPI_Allreduce(in, out, n, type, op, comm);
    if (seen.done && !was_done && is("FAULT_ACTION", "alter")) alter(out);
    return code;
}

int MPI_Iallreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request) {
    if (op == MPI_MIN && n > 1 && ++seen.minima == MINIMA && is_phase("select")) act();
    const int code = PMPI_Iallreduce(in, out, n, type, op, comm, request);
    if (seen.done && is("FAULT_ACTION", "alter") && !seen.minimum) {
        seen.minimum = out;
        seen.minimum_request = *request;
    }
    return code;
}

static void corrupt(unsigned char *plan) {
    plan[CORRUPTED_BYTE] ^= 0x10;
    mark();
}

int MPI_Wait(MPI_Request *request, MPI_Status *status) {
    const bool is_minimum = seen.minimum && *request == seen.minimum_request;
    const int code = PMPI_Wait(request, status);
    if (is_minimum) {
        alter(seen.minimum);
        seen.minimum_request = MPI_REQUEST_NULL;
    }
    return code;
}

/* Plans are the only broadcasts that are begun and ended apart. Rank 0's goes out damaged; another's is
 * damaged when it has come. */
int MPI_Ibcast(void *data, int n, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request) {
    const bool strikes = is_counted("plan", seen.plans);
    int rank;
    PMPI_Comm_rank(comm, &rank);
    if (strikes && rank == root && is("FAULT_ACTION", "corrupt")) corrupt(data);
    if (strikes && !is("FAULT_ACTION", "corrupt")) act();
    const int code = PMPI_Ibcast(data, n, type, root, comm, request);
    seen.plan = strikes && rank != root ? data : NULL;
    seen.plan_request = *request;
    seen.plans++;
    seen.sums_before_step = 0;
    return code;
}

int MPI_Test(MPI_Request *request, int *done, MPI_Status *status) {
    const bool is_plan = seen.plan && *request == seen.plan_request;
    const int code = PMPI_Test(request, done, status);
    if (is_plan && *done && !seen.done) corrupt(seen.plan);
    return code;
}

/* ---- writing ---- */

static bool is_faulty_file(int file) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0) return false;
    return is("FAULT_FILE", path);
}

/* Half of what is written at that moment still fits. */
ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*next)(int, const void *, size_t);
    find("write", &next, sizeof next);
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *wanted = getenv("FAULT_RANK");
    const bool faulty =
        rank && wanted && strcmp(rank, wanted) == 0 && is("FAULT_ACTION", "full") && is_faulty_file(file);
    if (faulty && seen.done) {
        errno = ENOSPC;
        return -1;
    }
    if (faulty && is_counted("write", ++seen.writes)) {
        mark();
        return next(file, data, size / 2);
    }
    return next(file, data, size);
}
