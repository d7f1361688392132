/* base/check.h - invariants of the program itself. A failed check is a bug, never bad input.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   a failed check prints rank, place and condition, then ends the whole job through the
 *          handler that main() installed (MPI_Abort); without one it calls abort(). */
#pragma once

/* Always on; for module borders. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* In debug builds only; for inner loops. */
#ifdef CAUCUS_DEBUG
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) ((void)sizeof(condition))
#endif

/* Called once at start-up: the rank to print and how to end the job. `end_job` must not return. */
void check_install(int rank, void (*end_job)(void));

_Noreturn void check_failed(const char *file, int line, const char *condition);
