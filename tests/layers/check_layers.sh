#!/usr/bin/env bash
# check_layers.sh ROOT: reads every #include below ROOT and fails on what the layer rule forbids: an edge that
# points up or sideways, a library's header outside its files, another folder's x_impl.h, a path that is not
# root-relative, a source that does not include its own header first, a cycle.
set -euo pipefail
cd "$1"

folders=()
for folder in base kernels kvshard modelfile cluster worker coordinator; do
    [ -d "$folder" ] && folders+=("$folder")
done
mapfile -t files < <(find "${folders[@]}" -name '*.[ch]' | sort)
[ -f main.c ] && files+=(main.c)

awk '
BEGIN {
    # What each folder may include, beside itself.
    below["base"] = ""
    below["kernels"] = " base "
    below["kvshard"] = " base kernels "
    below["modelfile"] = " base "
    below["cluster"] = " base "
    below["worker"] = " base kernels kvshard modelfile cluster "
    below["coordinator"] = " base modelfile cluster "
    below["main.c"] = " base cluster modelfile worker coordinator "

    # Where a library may be seen.
    home["mpi.h"] = "^cluster/"
    home["hwloc.h"] = "^cluster/(topology|binding)[.]c$"
    home["protobuf-c/protobuf-c.h"] = "^(cluster/wire|coordinator/trace_wire)"
    home["yaml.h"] = "^coordinator/config_yaml[.]c$"
    home["jansson.h"] = "^(modelfile|coordinator)/"
    home["pcre2.h"] = "^coordinator/tokenizer/"
    home["utf8proc.h"] = "^coordinator/tokenizer/"
    home["cblas.h"] = "^$"
    home["assert.h"] = "^$"
}

function complain(text) {
    print FILENAME ":" FNR ": " text
    faults++
}

function top(path) {
    return index(path, "/") ? substr(path, 1, index(path, "/") - 1) : path
}

# Is `first` not the header that a source of this name must include first? x_impl.h brings x.h.
function is_late(path, first,  stem) {
    stem = path
    return sub(/[.]c$/, "", stem) && (stem ".h") in is_file && first != stem ".h" && first != stem "_impl.h"
}

function check_project_include(path) {
    if (path ~ /[.]pb-c[.]h$/) {
        if (FILENAME !~ "^" top(path) "/(trace_)?wire")
            complain("generated messages belong to " top(path) "/*wire.c: " path)
        return
    }
    if (!(path in is_file)) {
        complain("no such file from the root: " path)
        return
    }
    edges[FILENAME] = edges[FILENAME] " " path
    if (top(path) != top(FILENAME) && !index(below[top(FILENAME)], " " top(path) " "))
        complain(top(FILENAME) " may not include " path)
    if (path ~ /_impl[.]h$/ && top(path) != top(FILENAME)) complain("private to its folder: " path)
}

function check_library_include(path) {
    if (path in home && FILENAME !~ home[path]) complain("<" path "> does not belong here")
}

# Takes away files all of whose includes are gone; what cannot be taken away stands in a cycle.
function check_cycles(  removed, file, n, i, waiting) {
    do {
        removed = 0
        for (file in edges) {
            n = split(edges[file], included, " ")
            waiting = 0
            for (i = 1; i <= n; i++) waiting += included[i] in edges
            if (waiting) continue
            delete edges[file]
            removed++
        }
    } while (removed)
    for (file in edges) {
        print file ": part of a cycle of includes, or above one"
        faults++
    }
}

NR == 1 { for (i = 1; i < ARGC; i++) is_file[ARGV[i]] = 1 }
FNR == 1 { n_includes = 0 }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    if (!n_includes++ && is_late(FILENAME, part[2])) complain("its own header comes first")
    check_project_include(part[2])
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, part, /[<>]/)
    if (!n_includes++ && is_late(FILENAME, part[2])) complain("its own header comes first")
    check_library_include(part[2])
}
END {
    check_cycles()
    exit faults > 0
}
' "${files[@]}"
