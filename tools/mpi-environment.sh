# What Open MPI wants to be told before it starts as root, or with more ranks than cores. Sourced by the tools.
# shellcheck shell=bash

# allow_ranks P: sets only what P ranks on this machine need.
allow_ranks() {
    if [ "$(id -u)" = 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    local cores
    cores=$(lscpu -p=CORE,SOCKET | grep -v '^#' | sort -u | wc -l)
    if [ "$1" -gt "$cores" ]; then
        export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
    fi
}
