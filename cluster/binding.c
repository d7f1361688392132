#include "cluster/binding.h"

#include <hwloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 160 };

struct binding {
    hwloc_topology_t machine;
    hwloc_cpuset_t allowed; /* what the launcher left this rank */
    bool loaded;
    bool untouched; /* with BINDING_NONE */
    bool bound;
    int n_cores;           /* of those */
    int n_ranks, position; /* among those that were left the same cores */
    int n_threads;         /* 0 until all ranks have come so far */
    char text[TEXT_MAX];
};

static hwloc_obj_type_t core_type(hwloc_topology_t machine) {
    /* Some virtual machines show hardware threads but no cores. */
    return hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

static enum status load(struct binding *binding) {
    binding->allowed = hwloc_bitmap_alloc();
    if (!binding->allowed || hwloc_topology_init(&binding->machine) != 0)
        return FAIL(STATUS_NO_MEMORY, "out of memory for the machine's topology");
    binding->loaded = true;
    if (hwloc_topology_load(binding->machine) != 0)
        return FAIL(STATUS_INTERNAL, "hwloc cannot read the topology of this machine");
    if (hwloc_get_cpubind(binding->machine, binding->allowed, HWLOC_CPUBIND_THREAD) != 0)
        hwloc_bitmap_copy(binding->allowed, hwloc_topology_get_allowed_cpuset(binding->machine));
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(binding->machine, core_type(binding->machine), core)))
        binding->n_cores += hwloc_bitmap_intersects(core->cpuset, binding->allowed) != 0;
    return STATUS_OK;
}

static uint64_t hash_of(hwloc_const_cpuset_t set) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (int cpu = hwloc_bitmap_first(set); cpu >= 0; cpu = hwloc_bitmap_next(set, cpu))
        hash = (hash ^ (uint64_t)cpu) * UINT64_C(1099511628211);
    return hash;
}

/* Adds what this rank may use of cores [begin, end), counted among those it may use at all. */
static void add_cores(const struct binding *binding, struct core_range range, hwloc_cpuset_t set) {
    const hwloc_obj_type_t type = core_type(binding->machine);
    int index = 0;
    for (hwloc_obj_t core = NULL; (core = hwloc_get_next_obj_by_type(binding->machine, type, core));) {
        if (!hwloc_bitmap_intersects(core->cpuset, binding->allowed)) continue;
        if (index >= range.begin && index < range.end) hwloc_bitmap_or(set, set, core->cpuset);
        index++;
    }
    hwloc_bitmap_and(set, set, binding->allowed);
}

static struct core_range deal(struct core_range range, int n, int index) {
    const int64_t size = range.end - range.begin;
    return (struct core_range){range.begin + (int)(size * index / n),
                               range.begin + (int)(size * (index + 1) / n)};
}

struct core_range binding_slice(int n_cores, int n_ranks, int position, int n_threads, int thread) {
    return deal(deal((struct core_range){0, n_cores}, n_ranks, position), n_threads, thread);
}

static void describe(struct binding *binding, enum binding_choice choice) {
    if (!binding->bound) {
        if (choice == BINDING_NONE)
            snprintf(binding->text, TEXT_MAX, "threads are not bound");
        else
            snprintf(binding->text, TEXT_MAX, "threads are not bound: %d x %d of them share %d cores",
                     binding->n_ranks, binding->n_threads, binding->n_cores);
        return;
    }
    char cpus[TEXT_MAX / 2] = "?";
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (set) {
        add_cores(binding, binding_slice(binding->n_cores, binding->n_ranks, binding->position, 1, 0), set);
        hwloc_bitmap_list_snprintf(cpus, sizeof cpus, set);
    }
    hwloc_bitmap_free(set);
    snprintf(binding->text, TEXT_MAX, "%d thread%s on CPUs %s", binding->n_threads,
             binding->n_threads == 1 ? "" : "s", cpus);
}

enum status binding_create(struct comm *comm, int n_threads, enum binding_choice choice,
                           struct binding **binding_out) {
    struct binding *binding = calloc(1, sizeof *binding);
    const enum status loaded =
        binding ? load(binding) : FAIL(STATUS_NO_MEMORY, "out of memory for a binding");
    const enum status status = comm_agree(comm, loaded);
    if (status != STATUS_OK) {
        binding_destroy(binding);
        return status;
    }
    comm_alike_on_this_host(comm, hash_of(binding->allowed), &binding->n_ranks, &binding->position);
    binding->n_threads = n_threads;
    binding->untouched = choice == BINDING_NONE;
    binding->bound = choice == BINDING_AUTO && binding->n_cores / binding->n_ranks >= n_threads;
    describe(binding, choice);
    *binding_out = binding;
    return STATUS_OK;
}

void binding_destroy(struct binding *binding) {
    if (!binding) return;
    if (binding->n_threads > 0 && !binding->untouched)
        hwloc_set_cpubind(binding->machine, binding->allowed, HWLOC_CPUBIND_THREAD);
    if (binding->loaded) hwloc_topology_destroy(binding->machine);
    hwloc_bitmap_free(binding->allowed);
    free(binding);
}

bool binding_apply(const struct binding *binding, int thread) {
    if (binding->untouched) return true;
    const struct core_range all = {0, binding->n_cores};
    const struct core_range own =
        binding_slice(binding->n_cores, binding->n_ranks, binding->position, binding->n_threads, thread);
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (!set) return false;
    add_cores(binding, binding->bound ? own : all, set);
    const bool done = hwloc_set_cpubind(binding->machine, set, HWLOC_CPUBIND_THREAD) == 0;
    hwloc_bitmap_free(set);
    return done || !binding->bound;
}

const char *binding_text(const struct binding *binding) {
    return binding->text;
}
