# Debian packages, and how to install those that are missing. Sourced by the other tools.
# shellcheck shell=bash

build_packages=(
    gcc libc6-dev cmake ninja-build pkg-config  # the build
    openmpi-bin libopenmpi-dev openssh-client   # transport between ranks
    libhwloc-dev                                # cores, caches and binding
    libprotobuf-c-dev protobuf-c-compiler       # step plans on the wire
    libjansson-dev libyaml-dev                  # JSON and YAML
    libpcre2-dev libutf8proc-dev                # tokenizers
)

plot_packages=(
    gnuplot-nox                                 # pictures of caucus eval
)

# shellcheck disable=SC2034 # read by tools/test
test_packages=(
    "${build_packages[@]}" "${plot_packages[@]}"
    libcmocka-dev                               # unit tests
    clang libomp-dev libclang-rt-14-dev         # the second compiler, and libFuzzer
    clang-format shellcheck                     # style
    python3 python3-numpy                       # random models
    python3-yaml                                # what Kubernetes is given
    iproute2                                    # several hosts on one machine
    libsimgrid-dev                              # clusters that are simulated
)

# shellcheck disable=SC2034 # read by tools/test
aarch64_packages=(
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross # NEON's kernels are cross-compiled,
    qemu-user                                   # their tests emulated
)

# shellcheck disable=SC2034 # read by tools/test
slurm_packages=(
    slurmctld slurmd slurm-client munge         # a batch system's own daemons (3 MB)
)

# install_missing PACKAGE...: nothing is asked of apt where all are there.
install_missing() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
