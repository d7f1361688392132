#include "cluster/head_group.h"

#include <limits.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/comm_impl.h"

struct head_group {
    struct comm *comm;
    MPI_Comm members; /* MPI_COMM_NULL: this rank alone */
    int size, member;
    bool leaves_rows;
    struct shard_range *stripes; /* [size] */
    int *counts, *displacements; /* [size] of a gather */
};

static enum status take_memory(struct head_group *group, const struct shard_map *map, int first_rank) {
    const size_t n = (size_t)group->size;
    group->stripes = calloc(n, sizeof *group->stripes);
    group->counts = calloc(n, sizeof *group->counts);
    group->displacements = calloc(n, sizeof *group->displacements);
    if (!group->stripes || !group->counts || !group->displacements)
        return FAIL(STATUS_NO_MEMORY, "out of memory for a group of %d ranks", group->size);
    for (int member = 0; member < group->size; member++)
        group->stripes[member] = shard_map_stripes(map, first_rank + member);
    return STATUS_OK;
}

enum status head_group_create(struct comm *comm, const struct shard_map *map, struct head_group **group_out) {
    const struct shard_range ranks = shard_map_group(map, comm->rank);
    struct head_group *group = calloc(1, sizeof *group);
    enum status status = group ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a group of ranks");
    if (group) {
        *group = (struct head_group){.comm = comm,
                                     .members = MPI_COMM_NULL,
                                     .size = (int)shard_range_size(ranks),
                                     .member = comm->rank - (int)ranks.begin,
                                     .leaves_rows = map->leaves_rows};
        status = take_memory(group, map, (int)ranks.begin);
    }
    TRY_GOTO(comm_agree(comm, status), failed);
    *group_out = group;
    if (comm->size <= map->dims.n_kv_heads) return STATUS_OK;
    COMM_MUST(comm, MPI_Comm_split(comm->world, (int)ranks.begin, comm->rank, &group->members));
    comm_adopt(comm, group->members);
    return STATUS_OK;

failed:
    head_group_destroy(group);
    return status;
}

void head_group_destroy(struct head_group *group) {
    if (!group) return;
    if (group->members != MPI_COMM_NULL) comm_release(group->comm, &group->members);
    free(group->stripes);
    free(group->counts);
    free(group->displacements);
    free(group);
}

int head_group_size(const struct head_group *group) {
    return group->size;
}

int head_group_member(const struct head_group *group) {
    return group->member;
}

struct shard_range head_group_stripes(const struct head_group *group, int member) {
    CHECK(member >= 0 && member < group->size);
    return group->stripes[member];
}

bool head_group_leaves_rows(const struct head_group *group) {
    return group->leaves_rows;
}

uint32_t head_group_other_stripes(const struct head_group *group) {
    const struct shard_range own = head_group_stripes(group, group->member);
    uint32_t others = 0;
    for (uint32_t stripe = 0; stripe < SHARD_STRIPES; stripe++)
        if (stripe < own.begin || stripe >= own.end) others |= 1u << stripe;
    return others;
}

void head_group_gather(struct head_group *group, const void *part, const size_t *sizes, void *gathered) {
    size_t total = 0;
    for (int member = 0; member < group->size; member++) {
        CHECK(sizes[member] <= INT_MAX - total);
        group->counts[member] = (int)sizes[member];
        group->displacements[member] = (int)total;
        total += sizes[member];
    }
    if (group->size == 1 || total == 0) return;
    const enum operation before = heartbeat_enter(group->comm->heartbeat, OPERATION_SHARED_HEAD);
    COMM_MUST(group->comm, MPI_Allgatherv(part, group->counts[group->member], MPI_BYTE, gathered,
                                          group->counts, group->displacements, MPI_BYTE, group->members));
    heartbeat_leave(group->comm->heartbeat, before);
}

void head_group_broadcast(struct head_group *group, int member, void *data, size_t size) {
    if (group->size == 1 || size == 0) return;
    CHECK(size <= INT_MAX);
    const enum operation before = heartbeat_enter(group->comm->heartbeat, OPERATION_SHARED_HEAD);
    COMM_MUST(group->comm, MPI_Bcast(data, (int)size, MPI_BYTE, member, group->members));
    heartbeat_leave(group->comm->heartbeat, before);
}
