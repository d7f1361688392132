/* tests/kvshard/address_limit.h - lets the process map only so much more memory, to see what fails. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static inline size_t mapped_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%llu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* `more` bytes beyond what is mapped now; returns the limit to restore. */
static inline struct rlimit limit_mapped_bytes(size_t more) {
    struct rlimit before, limit;
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    limit.rlim_cur = mapped_bytes() + more;
    setrlimit(RLIMIT_AS, &limit);
    return before;
}

static inline void restore_limit(struct rlimit before) {
    setrlimit(RLIMIT_AS, &before);
}
