/* cluster/shared_window_impl.h - memory that all ranks of a host see, and the one way of passing data through
 * it.
 *
 * An MPI-3 shared window holds, per lane and rank, a counter and two slots. An exchange on a lane is:
 *
 *   fill     own slot of this exchange        shared_window_slot
 *   publish  counter := number, release       shared_window_publish
 *   wait     every rank's counter >= number, acquire
 *   read     the slots of all ranks           shared_window_read
 *
 * Why two slots suffice, and no barrier is needed. Exchange e uses slot e mod 2 of each rank, so filling it
 * overwrites what exchange e-2 passed. Whoever fills has ended the wait of e-1: every rank had published e-1
 * by then, which in its program order comes after it has read e-2. Its reads happen before its release of
 * e-1, the release before our acquire, our acquire before our fill: no write meets a read.
 *
 * Lanes do not know each other, so an exchange of one may be under way while many of the other run.
 *
 * Memory:  create allocates object and window; destroy frees both. Nothing stays in /dev/shm: MPI unlinks
 *          the window's file as soon as all ranks have mapped it.
 * Threads: main thread only.
 * Ranks:   all ranks of a host, numbered by their position on it; collective over these but for slot, publish
 *          and read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cluster/comm.h"
#include "cluster/hosts_impl.h"

enum shared_lane { SHARED_LANE_SUM, SHARED_LANE_MINIMUM, SHARED_LANES };

struct shared_window;

/* False where MPI cannot give the window, as where /dev/shm is too small: on all ranks of the host alike.
 * `crowded`: see allreduce_set_up. */
bool shared_window_create(const struct comm *comm, const struct hosts *hosts, bool crowded,
                          struct shared_window **window_out);
void shared_window_destroy(struct shared_window *window); /* collective; NULL is allowed */

size_t shared_window_slot_bytes(const struct shared_window *window, enum shared_lane lane);

/* This rank's slot for the next exchange, aligned to a page. Local. */
void *shared_window_slot(struct shared_window *window, enum shared_lane lane);
void shared_window_publish(struct shared_window *window, enum shared_lane lane); /* local */

/* Waits until all ranks have published what this one published last. */
void shared_window_wait(struct shared_window *window, enum shared_lane lane);

/* What a rank passed in that exchange; until this rank's next publish but one. Local. */
const void *shared_window_read(const struct shared_window *window, enum shared_lane lane, int rank);
