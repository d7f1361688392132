#include "cluster/topology.h"

#include <hwloc.h>
#include <stdio.h>

#include "base/check.h"

/* Cores with at least one hardware thread in `set`. */
static int count_cores(hwloc_topology_t machine, hwloc_const_cpuset_t set) {
    /* Some virtual machines show hardware threads but no cores. */
    const bool has_cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0;
    const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    int n_cores = 0;
    for (hwloc_obj_t core = NULL; (core = hwloc_get_next_obj_by_type(machine, type, core));)
        n_cores += hwloc_bitmap_intersects(core->cpuset, set) != 0;
    return n_cores;
}

static enum status read_cores(hwloc_topology_t machine, hwloc_cpuset_t bound, struct topology *topology_out) {
    hwloc_const_cpuset_t allowed = hwloc_topology_get_allowed_cpuset(machine);
    if (hwloc_get_cpubind(machine, bound, HWLOC_CPUBIND_PROCESS) != 0) hwloc_bitmap_copy(bound, allowed);
    const struct topology topology = {count_cores(machine, allowed), count_cores(machine, bound)};
    if (topology.n_cores_host < 1 || topology.n_cores_bound < 1)
        return FAIL(STATUS_INTERNAL, "hwloc finds no core that this process may run on");
    *topology_out = topology;
    return STATUS_OK;
}

enum status topology_read(struct topology *topology_out) {
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return FAIL(STATUS_NO_MEMORY, "out of memory for the machine's topology");
    enum status status = STATUS_OK;
    hwloc_cpuset_t bound = hwloc_bitmap_alloc();
    if (!bound)
        status = FAIL(STATUS_NO_MEMORY, "out of memory for the machine's topology");
    else if (hwloc_topology_load(machine) != 0)
        status = FAIL(STATUS_INTERNAL, "hwloc cannot read the topology of this machine");
    else
        status = read_cores(machine, bound, topology_out);
    hwloc_bitmap_free(bound);
    hwloc_topology_destroy(machine);
    return status;
}

static int share_of_host(const struct topology *topology, int n_ranks_on_host) {
    CHECK(n_ranks_on_host >= 1);
    const int share = topology->n_cores_host / n_ranks_on_host;
    return share > 1 ? share : 1;
}

int topology_default_threads(const struct topology *topology, int n_ranks_on_host) {
    const int share = share_of_host(topology, n_ranks_on_host);
    return share < topology->n_cores_bound ? share : topology->n_cores_bound;
}

bool topology_crowded(const struct topology *topology, int n_threads, int n_ranks_on_host) {
    return n_threads > topology->n_cores_bound || n_threads > topology->n_cores_host / n_ranks_on_host;
}

bool topology_warning(const struct topology *topology, int n_threads, int n_ranks_on_host,
                      char text[TOPOLOGY_WARNING_MAX]) {
    const int n_bound = topology->n_cores_bound;
    const int n_needed = n_threads > 0 ? n_threads : share_of_host(topology, n_ranks_on_host);
    /* More threads than the host has cores is the user's wish, not the launcher's doing. */
    if (n_bound >= n_needed || n_bound == topology->n_cores_host) return false;
    snprintf(text, TOPOLOGY_WARNING_MAX,
             "this rank was bound to %d of %d cores, but it could use %d: add `--bind-to none` or "
             "`--map-by slot:PE=%d` to mpirun, `--cpus-per-task=%d` to srun",
             n_bound, topology->n_cores_host, n_needed, n_needed, n_needed);
    return true;
}
