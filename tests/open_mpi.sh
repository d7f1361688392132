# What the tests tell Open MPI 4.1 and 5, whose mpirun goes by PRTE_MCA_…: the scripts source this, CMakeLists.txt reads it.
# shellcheck shell=bash disable=SC2034

# mpirun as root, with more ranks than cores,
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_rmaps_base_oversubscribe=1
PRTE_MCA_rmaps_default_mapping_policy=slot:oversubscribe
OMPI_MCA_mpi_yield_when_idle=1

# which it may not bind: of tests side by side each would have the same core
OMPI_MCA_hwloc_base_binding_policy=none
PRTE_MCA_hwloc_default_binding_policy=none

# with the transport that it takes where there is no fabric (to look for one takes 0.2 s),
OMPI_MCA_pml=ob1

# and without the second or two that 4.1 waits between asking the other ranks to end and making them (5: a quarter).
OMPI_MCA_odls_base_sigkill_timeout=0

# No words of mpirun's own below the program's (5 cannot be told: harness.sh takes them away).
OMPI_MCA_orte_execute_quiet=1
