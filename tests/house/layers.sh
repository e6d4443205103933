#!/bin/sh
# Reads the #include lines of src/ and programs/ under ROOT and compares them with the table of docs/architecture.md: includes point downwards only.
#   layers.sh ROOT
set -eu
cd "$1"

# room: rooms whose headers it may include ("api" and "programs" stand on top). Its own headers are always allowed.
table='
base
quant     base
kernels   base quant
compute   base quant kernels
weights   base quant
tokenizer base
image     base
model     base quant weights image compute/ops.h
runtime   base quant compute/ops.h model
text      base tokenizer
convert   base quant weights compute/ops.h model
api       base quant kernels compute weights tokenizer image model runtime text convert
programs  base
'

find src programs -name '*.[ch]' 2>/dev/null | sort | while read -r file; do
    grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$file" /dev/null || true
done | awk -v table="$table" '
    BEGIN {
        n = split(table, lines, "\n")
        for (i = 1; i <= n; i++) {
            m = split(lines[i], words, " ")
            if (m) known[words[1]] = 1
            for (k = 2; k <= m; k++) allowed[words[1], words[k]] = 1
        }
    }
    {
        split($0, part, ":")
        split(part[1], folder, "/")
        room = folder[1] == "programs" ? "programs" : folder[2]
        header = $0
        sub(/^[^"]*"/, "", header)
        sub(/".*$/, "", header)
        split(header, way, "/")
        target = header ~ /\// ? way[1] : room
        n_seen++
        if (!(room in known)) { print part[1] ": the room " room " is not in the table of tests/house/layers.sh"; bad = 1; next }
        if (header == "qwren.h" || target == room || room == "programs" && !(target in known)) next
        if (allowed[room, target] || allowed[room, header]) next
        print part[1] ":" part[2] ": " room " may not include " header
        bad = 1
    }
    END { if (!n_seen) print "no #include was found"; exit bad || !n_seen }
'
