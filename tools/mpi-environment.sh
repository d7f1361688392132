# What Open MPI wants to be told before it starts as root, or with more ranks than cores. Sourced by the tools.
# shellcheck shell=bash

# allow_ranks P: sets only what P ranks on this machine need.
allow_ranks() {
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    local cores # Open MPI counts cores, not threads of cores; 0 where nobody can tell
    cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l) || cores=0
    if [ "$1" -gt "$cores" ]; then
        export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
        export PRTE_MCA_rmaps_default_mapping_policy=slot:oversubscribe # Open MPI 5's mpirun
    fi
}
