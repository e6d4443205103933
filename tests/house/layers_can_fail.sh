#!/bin/sh
# The watchman is watched: layers.sh accepts a small right tree and refuses each kind of wrong one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fresh() {
    rm -rf "$tree/src" "$tree/programs"
    mkdir -p "$tree/src/base" "$tree/src/quant" "$tree/src/model" "$tree/src/compute/cpu" "$tree/programs/cli"
    printf '#include "qwren.h"\n#include <stdio.h>\n' >"$tree/src/base/status.h"
    printf '#include "base/status.h"\n' >"$tree/src/quant/types.c"
    printf '#include "compute/ops.h"\n#include "model/config.h"\n' >"$tree/src/model/text.c"
    printf '#include "args.h"\n#include "base/file.h"\n' >"$tree/programs/cli/main.c"
}
refuses() { # file, line, what the message must name
    fresh
    mkdir -p "$(dirname "$tree/$1")"
    printf '%s\n' "$2" >>"$tree/$1"
    if message=$(sh "$here/layers.sh" "$tree"); then
        echo "accepted: $2 in $1"
        exit 1
    fi
    case $message in *"$3"*) ;; *) echo "the message does not name $3: $message"; exit 1 ;; esac
}

fresh
sh "$here/layers.sh" "$tree"
refuses src/base/buf.c '#include "quant/types.h"' 'base may not include quant/types.h'
refuses src/model/mlp.c '  #  include "runtime/session.h"' 'model may not include runtime/session.h'
refuses src/model/mlp.c '#include "compute/cpu/tile.h"' 'model may not include compute/cpu/tile.h'
refuses src/compute/cpu/matmul.c '#include "model/config.h"' 'src/compute/cpu/matmul.c:1'
refuses programs/cli/run.c '#include "api/model.h"' 'programs may not include api/model.h'
refuses src/cellar/wine.c '#include "base/buf.h"' 'the room cellar'
rm -rf "$tree/src" "$tree/programs"
if sh "$here/layers.sh" "$tree" >/dev/null; then
    echo "accepted an empty tree"
    exit 1
fi
