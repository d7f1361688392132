#!/usr/bin/env bash
# Several hosts on one machine, for as long as one command runs:
#
#   hosts.sh run N COMMAND...       makes hosts a, b, c, … and runs COMMAND on host a; its exit status is the command's
#   hosts.sh can                    whether this machine and this user can do that; if not, says why
#
# and from within the command, where HOSTS is the path of this script:
#
#   hosts.sh exec HOST COMMAND...   runs COMMAND on that host
#   hosts.sh link HOST down|up      pulls the host's cable, or plugs it in again
#   hosts.sh rate HOST 100mbit      limits what the host receives ("none" ends that)
#   hosts.sh off HOST               kills all processes of a host at once
#
# A host is a process with namespaces of its own: network (lo and eth0, 10.0.0.1 for a, 10.0.0.2 for b …), host name,
# mounts (an empty /dev/shm, and whatever the command mounts), System V memory. The cables end in a bridge. All of it
# lives in a namespace of processes, names and mounts, of which nothing is seen from outside: two calls beside each
# other do not collide, and when the first process ends, however it ends, the kernel takes away everything else.
#
# For Open MPI the environment says how to reach the other hosts, and that the cores are shared: ranks are not bound,
# and give their core away while they wait.
set -euo pipefail
self=$(realpath "$0")
state=/run/hosts # in a /run of our own: the process that is host H in $state/H
names=({a..z})

fail() {
    echo "hosts.sh: $*" >&2
    exit 2
}

pid_of() {
    cat "$state/$1" 2>/dev/null || fail "there is no host '$1'"
}

# enter HOST COMMAND...: in the same working folder.
enter() {
    local pid
    pid=$(pid_of "$1")
    shift
    # shellcheck disable=SC2016 # expanded on the other side
    exec nsenter --target "$pid" --net --uts --mount --ipc -- sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
}

on_switch() {
    nsenter --target 1 --net -- "$@"
}

# The first process of a host: waits, and collects what daemons leave behind. Its name is the host's.
be_host() {
    hostname "$1"
    mount -t tmpfs shm /dev/shm
    ip link set lo up
    sleep infinity &
    wait
}

# plug HOST NUMBER: a cable from the host's eth0 to the switch.
plug() {
    local pid
    pid=$(pid_of "$1")
    ip link add name "$1" type veth peer name eth0 netns "$pid"
    ip link set dev "$1" master switch up
    nsenter --target "$pid" --net -- ip address add "10.0.0.$2/24" dev eth0
    nsenter --target "$pid" --net -- ip link set eth0 up
}

make_hosts() {
    local n_hosts=$1 i name
    mount -t tmpfs run /run
    mkdir "$state"
    ip link set lo up
    ip link add name switch type bridge
    ip link set dev switch up
    echo "127.0.0.1 localhost" >"$state/names"
    for ((i = 0; i < n_hosts; i++)); do
        name=${names[i]}
        echo "10.0.0.$((i + 1)) $name" >>"$state/names"
    done
    mount --bind "$state/names" /etc/hosts
    for ((i = 0; i < n_hosts; i++)); do
        name=${names[i]}
        unshare --net --uts --mount --ipc "$self" be_host "$name" </dev/null &
        echo $! >"$state/$name"
        until [ "$(nsenter --target $! --uts hostname 2>/dev/null)" = "$name" ]; do sleep 0.01; done
        plug "$name" $((i + 1))
    done
}

set_environment() {
    set -a
    . "$(dirname "$self")/../open_mpi.sh"
    set +a
    export HOSTS=$self OMPI_MCA_btl_tcp_if_include=eth0
    export OMPI_MCA_plm_rsh_agent="$self ssh" OMPI_MCA_orte_tmpdir_base=/run
    export OMPI_MCA_oob_tcp_if_include=eth0
    export PRTE_MCA_plm_ssh_agent="$self ssh" PRTE_MCA_prte_tmpdir_base=/run # the same to version 5
    export PRTE_MCA_oob_tcp_if_include=eth0
}

# The first process of the namespace of processes. When it ends, all others do.
be_world() {
    local n_hosts=$1
    shift
    make_hosts "$n_hosts"
    set_environment
    (enter a "$@")
}

# Whoever is not root may be it in a namespace of users, where the system allows that.
unshare_world() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(--map-root-user)
    exec unshare "${as_root[@]}" --pid --fork --kill-child --mount-proc --net --mount "$@"
}

can_make_hosts() {
    local tool
    for tool in ip nsenter unshare hostname; do
        command -v "$tool" >/dev/null || fail "needs $tool"
    done
    (unshare_world "$self" run_first 1 true) >/dev/null 2>&1 || fail "this user cannot make namespaces and bridges here"
}

case ${1:-} in
run)
    if [[ ! ${2:-} =~ ^[1-9][0-9]?$ ]] || [ "$2" -gt ${#names[@]} ] || [ $# -lt 3 ]; then
        fail "usage: hosts.sh run N COMMAND..., with 1 to ${#names[@]} hosts"
    fi
    unshare_world "$self" run_first "${@:2}"
    ;;
can) can_make_hosts ;;
run_first) be_world "${@:2}" ;;
be_host) be_host "$2" ;;
exec) enter "${@:2}" ;;
ssh) enter "$2" sh -c "${*:3}" ;;
link) on_switch ip link set dev "$2" "$3" ;;
rate)
    on_switch tc qdisc delete dev "$2" root 2>/dev/null || true
    [ "$3" = none ] || on_switch tc qdisc add dev "$2" root tbf rate "$3" burst 64kb latency 100ms
    ;;
off)
    target=$(readlink "/proc/$(pid_of "$2")/ns/uts")
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/ns/uts" 2>/dev/null)" = "$target" ]; then kill -KILL "${process#/proc/}" || true; fi
    done
    ;;
*) fail "unknown command '${1:-}'" ;;
esac
