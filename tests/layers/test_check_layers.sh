#!/usr/bin/env bash
# Small trees, each with one fault that check_layers.sh must find, and one without.
set -euo pipefail
check=$(dirname "$0")/check_layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# expect WORDS FILE INCLUDE...: a sound tree with one more file must be refused with these words.
expect() {
    local words=$1 file=$2 output
    shift 2
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/{base,kernels,kvshard,modelfile,cluster,worker,coordinator}
    echo '#pragma once' | tee "$tree"/base/status.h "$tree"/kvshard/page.h "$tree"/kvshard/page_impl.h \
        "$tree"/worker/step.h > "$tree"/cluster/comm.h
    printf '#include "worker/step.h"\n#include "kvshard/page.h"\n#include <math.h>\n' > "$tree"/worker/step.c
    printf '#include <mpi.h>\n#include "base/status.h"\n' > "$tree"/cluster/transport.c
    printf '#include "worker/step.h"\n' > "$tree"/main.c
    [ "$file" = none ] || printf '#include %s\n' "$@" > "$tree/$file"
    if output=$("$check" "$tree"); then output=sound; fi
    if [[ "$output" != *"$words"* ]]; then
        echo "expected '$words' of $file, got: $output"
        exit 1
    fi
}

expect sound none
expect 'base may not include cluster/comm.h' base/log.c '"cluster/comm.h"'
expect 'kvshard may not include cluster/comm.h' kvshard/evict.c '"cluster/comm.h"'
expect 'coordinator may not include worker/step.h' coordinator/run.c '"worker/step.h"'
expect '<mpi.h> does not belong here' worker/sum.c '<mpi.h>'
expect '<hwloc.h> does not belong here' cluster/bind.c '<hwloc.h>'
expect '<yaml.h> does not belong here' coordinator/config.c '<yaml.h>'
expect '<assert.h> does not belong here' base/log.c '<assert.h>'
expect 'private to its folder: kvshard/page_impl.h' worker/attend.c '"kvshard/page_impl.h"'
expect 'no such file from the root: page.h' kvshard/pool.c '"page.h"'
expect 'its own header comes first' kvshard/page.c '<stdio.h>' '"kvshard/page.h"'
expect 'part of a cycle' base/status.h '"base/loop.h"' '"base/status.h"'
expect 'belong to cluster/*wire.c' cluster/plan.c '"cluster/step.pb-c.h"'
expect 'belong to cluster/*wire.c' coordinator/trace_wire.c '"cluster/step.pb-c.h"'
expect sound coordinator/trace_wire.c '"coordinator/trace.pb-c.h"'
