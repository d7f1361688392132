/* worker/simulation_impl.h - a simulation under way; for simulation*.c only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cluster/comm.h"
#include "cluster/simulation.h"
#include "worker/simulation_share_impl.h"

struct simulation {
    struct comm *comm;
    const struct simulation_setup *setup;
    struct shard_map map;
    struct simulation_share share;
    enum phase product; /* cached or not */
    struct arena *memory;
    struct kv_policy *policy;
    struct step_channel *channel;
    struct head_group *group;
    int64_t *exact;                        /* [hidden_size + 1] */
    float *partial;                        /* [hidden_size] */
    uint32_t *message;                     /* [context] */
    uint32_t *part_message, *all_messages; /* places, this rank's and all, of one round */
    unsigned char *sent, *gathered;
    float *part, *parts;  /* [context * heads of a KV head], or a few heads */
    int64_t *counts;      /* [members of the group] scores of a query head */
    size_t *sizes;        /* likewise, bytes of everything */
    size_t *gather_sizes; /* [ranks] */
    double *compute_of;   /* [ranks], on rank 0 */
    uint64_t n_plans;
    double owed; /* computed since the last exchange, and not yet waited for */
    double exchanges[EXCHANGES], compute, select;
};

/* One decode step behind `position` cached tokens. */
void simulation_step(struct simulation *simulation, int64_t position);

/* What a rank sends of its part of the logits. */
size_t simulation_summary_bytes(const struct simulation *simulation, int rank);

/* As many places of every head as would do if no two heads proposed the same. */
int64_t simulation_first_places(const struct simulation_setup *setup);
