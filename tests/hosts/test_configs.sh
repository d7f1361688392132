#!/usr/bin/env bash
# configs/cluster as it stands: the hostfile places ranks, the MPIJob is what the operator expects, and its command is
# one that runs. (test_slurm.sh submits the sbatch script.)
set -euo pipefail
n_hosts=3
. "$(dirname "$0")/harness.sh"
answer=", there was a little girl named Lily."
caucus=("$program" run -m models/stories260K -t 1 -p "Once upon a time" -n 11)

sed 's/^node1/a/; s/^node2/b/; s/^node3/c/' configs/cluster/hostfile >"$scratch/hostfile"
hosts_of() {
    mpirun --hostfile "$scratch/hostfile" "$@" --bind-to none hostname | sort | tr '\n' ' '
}
[ "$(hosts_of)" = "a a b b c " ] || fail "the hostfile: $(hosts_of)"
[ "$(hosts_of --map-by ppr:1:node)" = "a b c " ] || fail "one rank on each host: $(hosts_of --map-by ppr:1:node)"
output=$(mpirun --hostfile "$scratch/hostfile" --map-by ppr:1:node --bind-to none "${caucus[@]}")
[ "$output" = "$answer" ] || fail "$output"

bash -n configs/cluster/caucus.sbatch

# The words of the launcher's command, without what belongs to the cluster.
/usr/bin/python3 - >"$scratch/words" <<'PYTHON'
import yaml
job, = yaml.safe_load_all(open("configs/cluster/mpijob.yaml"))
assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob") and job["spec"]["slotsPerWorker"] == 1
replicas = job["spec"]["mpiReplicaSpecs"]
assert sorted(replicas) == ["Launcher", "Worker"] and replicas["Launcher"]["replicas"] == 1
pods = {name: replica["template"]["spec"] for name, replica in replicas.items()}
worker, = pods["Worker"]["containers"]
command = pods["Launcher"]["containers"][0]["command"]
assert command[:2] == ["mpirun", "--allow-run-as-root"] and all(isinstance(word, str) for word in command)
assert worker["resources"]["limits"] == worker["resources"]["requests"]
assert command[command.index("--threads") + 1] == worker["resources"]["limits"]["cpu"]
assert {mount["name"] for mount in worker["volumeMounts"]} == {volume["name"] for volume in pods["Worker"]["volumes"]}
print("\n".join(command[1:]))
PYTHON
mapfile -t words < <(sed "s|^caucus$|$program|; s|^/models/.*|models/lemma|; s|^16$|1|" "$scratch/words")
[ -n "$(timeout 60 mpirun -n 2 -H a,b "${words[@]}" -n 2)" ] || fail "the job's command says nothing"
