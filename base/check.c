#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

/* Written once before any thread exists. */
static struct {
    int rank;
    void (*end_job)(void);
} installed;

void check_install(int rank, void (*end_job)(void)) {
    installed.rank = rank;
    installed.end_job = end_job;
}

void check_failed(const char *file, int line, const char *condition) {
    fprintf(stderr, "caucus: rank %d: internal error at %s:%d: %s does not hold\n", installed.rank, file,
            line, condition);
    fflush(NULL);
    if (installed.end_job) installed.end_job();
    abort();
}
