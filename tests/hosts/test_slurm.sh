#!/usr/bin/env bash
# Slurm's own daemons, a controller and a node on each of two hosts: srun and the sbatch script of configs/cluster give
# one rank's answer. Skipped where Debian's slurmctld, slurmd, slurm-client and munge are not installed.
set -euo pipefail
n_hosts=2
for tool in slurmctld slurmd srun munged; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "$tool is not installed" >&2 && exit 77; }
done
# In a namespace of users root is nobody's root outside, and slurmd cannot become the one who submitted.
[ "$(id -u)" = 0 ] || { echo "slurmd has to be root" >&2 && exit 77; }
. "$(dirname "$0")/harness.sh"
slurm=/run/slurm # nobody's but these hosts'
PATH=$PATH:/usr/sbin

start_munge() {
    mkdir $slurm $slurm/munge
    (umask 077 && head -c 64 /dev/urandom >$slurm/munge/key)
    munged --key-file=$slurm/munge/key --seed-file=$slurm/munge/seed --socket=$slurm/munge/socket \
        --pid-file=$slurm/munge/pid --log-file=$slurm/munge/log
}

start_slurm() {
    mkdir $slurm/state
    export SLURM_CONF=$slurm/slurm.conf
    cat >$SLURM_CONF <<CONF
ClusterName=hosts
SlurmctldHost=a
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm/munge/socket
CredType=cred/munge
StateSaveLocation=$slurm/state
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdSpoolDir=$slurm/spool.%n
SlurmdPidFile=$slurm/slurmd.%n.pid
SlurmdLogFile=$slurm/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=a,b CPUs=$(nproc --all)
PartitionName=all Nodes=a,b Default=YES OverSubscribe=YES
CONF
    echo "PMIxCliTmpDirBase=/dev/shm" >$slurm/mpi.conf # the only folder of which each of these hosts has its own
    slurmctld
    "$HOSTS" exec a slurmd
    "$HOSTS" exec b slurmd
    for ((i = 0; i < 100; i++)); do
        [ "$(sinfo -h -N -o %t | sort -u)" != idle ] || return 0
        sleep 0.1
    done
    fail "the nodes are not idle: $(sinfo -N 2>&1; tail -n 20 $slurm/slurmctld.log)"
}

# same WHAT ANSWER
same() {
    [ "$2" = ", there was a little girl named Lily." ] ||
        fail "$1: '$2' $(cat "$scratch/err"; for log in "$slurm"/*.log; do tail -n 5 "$log"; done)"
}

start_munge
start_slurm
caucus=("$program" run -m models/stories260K -t 1 -p "Once upon a time" -n 11)

[ "$(srun -N 2 -n 2 hostname 2>"$scratch/err" | sort | tr '\n' ' ')" = "a b " ] || fail "srun: $(cat "$scratch/err")"
same "srun" "$(timeout 60 srun --mpi=pmix -N 2 -n 2 "${caucus[@]}" 2>"$scratch/err")"
same "uneven" "$(timeout 60 srun --mpi=pmix -N 2 -n 3 --overcommit "${caucus[@]}" 2>"$scratch/err")"
! timeout 60 srun -N 2 -n 2 "${caucus[@]}" >"$scratch/out" 2>&1 || fail "without PMIx: $(cat "$scratch/out")"
[ "$(grep -c "^caucus: 2 of this program were started, but MPI connects none of them" "$scratch/out")" = 2 ] ||
    fail "without PMIx: $(cat "$scratch/out")"

CAUCUS=$program timeout 60 sbatch --wait --cpus-per-task=1 --output="$scratch/job" configs/cluster/caucus.sbatch \
    "${caucus[@]:1}" >"$scratch/err" || fail "sbatch: $(cat "$scratch/err" "$scratch/job")"
same "sbatch" "$(cat "$scratch/job")"
