/* cluster/head_group.h - the ranks that share a KV head, and what they exchange.
 *
 * A rank with whole heads is a group by itself, for which nothing is exchanged.
 *
 * Memory:  create allocates, destroy frees.
 * Threads: main thread only.
 * Ranks:   create and destroy are collective over the comm; gather and broadcast over the group, all members
 *          of which say the same sizes: groups do not wait for each other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/comm.h"
#include "cluster/shard_map.h"

struct head_group;

/* Nothing of `map` is kept. */
NODISCARD enum status head_group_create(struct comm *comm, const struct shard_map *map,
                                        struct head_group **group_out);
void head_group_destroy(struct head_group *group); /* NULL is allowed */

/* Local. */
int head_group_size(const struct head_group *group);
int head_group_member(const struct head_group *group);                             /* this rank's number */
struct shard_range head_group_stripes(const struct head_group *group, int member); /* that it owns */

/* Does one member hold all rows? Then it follows the policy alone: the others have nothing to attend to. */
bool head_group_leaves_rows(const struct head_group *group);

uint32_t head_group_other_stripes(const struct head_group *group); /* bit s: another member owns stripe s */

/* Every member's bytes for all of them, one member's after the other's. sizes [size]; `gathered` has room for
 * their sum, below 2^31, and does not overlap with `part`.
 * Cost: (M - 1) α + sum(sizes) β, or less latency where MPI doubles. */
void head_group_gather(struct head_group *group, const void *part, const size_t *sizes, void *gathered);

/* One member's bytes for all. */
void head_group_broadcast(struct head_group *group, int member, void *data, size_t size);
