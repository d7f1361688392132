#include "base/process_memory.h"

#include <stdio.h>
#include <unistd.h>

int64_t process_resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    long long resident_pages = 0;
    const int n_read = fscanf(file, "%*d %lld", &resident_pages);
    fclose(file);
    return n_read == 1 ? (int64_t)resident_pages * sysconf(_SC_PAGESIZE) : 0;
}
