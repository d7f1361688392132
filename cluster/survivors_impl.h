/* cluster/survivors_impl.h - the inside of survivors.h, for this folder.
 *
 * Memory:  survivors_allow makes the object, survivors_free gives it back.
 * Threads: main thread only, but for survivors_may_lose.
 * Ranks:   local. */
#pragma once

#include <setjmp.h>

#include "cluster/survivors.h"

struct survivors {
    int most;         /* ranks that may be lost in all … */
    int lost;         /* … and are */
    bool missing;     /* one was lost, and the others have not regrouped yet */
    bool stays;       /* survivors_stay */
    jmp_buf *attempt; /* NULL: none is under way */
    int first_size;
    int *origins; /* [comm_size] the ranks' numbers at first */
    int *left;    /* [comm_size] scratch of regroup */
};

/* What an MPI call returned. Does not return where a rank is lost and a task can be left; true: the caller
 * goes on as if all were well, until it can. NULL is allowed. */
bool survivors_take(struct survivors *survivors, int code);

/* While it is set, a task is not left. NULL is allowed. */
void survivors_stay(struct survivors *survivors, bool stays);

/* May `n` more ranks be lost, rank 0 not among them? Any thread. */
bool survivors_may_lose(const struct survivors *survivors, int n);

/* How many ranks there were at first, and which of them this one was. */
int survivors_first_size(const struct comm *comm);
int survivors_first_rank(const struct comm *comm);

void survivors_free(struct survivors *survivors); /* NULL is allowed */
