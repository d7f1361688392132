# What the tests over several hosts share. Sourced with n_hosts set to their number; the script that does so runs anew inside
# them, on host a. $1 is the program. Exit status 77 where no hosts can be made.
# shellcheck shell=bash
hosts_script=$(realpath "$(dirname "${BASH_SOURCE[0]}")")/hosts.sh
if [ -z "${HOSTS:-}" ]; then
    "$hosts_script" can || exit 77
    exec "$hosts_script" run "${n_hosts:?}" "$0" "$@"
fi
. "$(dirname "$0")/../cli/harness.sh"
export OMP_NUM_THREADS=1
