#!/bin/sh
# The shared library exports what qwren.h declares: all of it, and nothing else.
#   exports.sh LIBRARY HEADER
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# sanitizers add symbols with two underscores of their own
nm -D --defined-only "$1" | awk '{ print $NF }' | sed 's/@.*//' | grep -v '^__\|^_init$\|^_fini$\|^_edata$\|^_end$' | sort -u >"$work/exported"
tr '\n' ' ' <"$2" | grep -o 'QWREN_API [^;(]*(' | grep -o 'qwren_[a-z0-9_]*(' | tr -d '(' | sort -u >"$work/declared"
[ -s "$work/declared" ] || { echo "no declaration was found in $2"; exit 1; }
if ! diff "$work/declared" "$work/exported" >"$work/diff"; then
    sed -n 's/^< /declared, not exported: /p; s/^> /exported, not declared: /p' "$work/diff"
    exit 1
fi
