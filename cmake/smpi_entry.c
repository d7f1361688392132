/* Started by hand, what smpirun opens as a shared object would run into nothing: shared objects have no main.
 * Given a loader and an entry of its own, as the C library has, it says what it is instead. */
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define LOADER "/lib/ld-linux-aarch64.so.1"
#endif

#ifdef LOADER
__attribute__((used, section(".interp"))) static const char loader[] = LOADER;
#endif

_Noreturn void smpi_entry(void);

_Noreturn void smpi_entry(void) {
    static const char sentence[] =
        "caucus: this build is for the simulated MPI: start it with tools/simulate, "
        "which has smpirun run it (docs/scaling.md)\n";
    const ssize_t written = write(STDERR_FILENO, sentence, strlen(sentence));
    (void)written;
    _exit(2);
}
