#!/bin/sh
# Guessing ahead must not change a token: all held-out requests of qwren-nano, answered without drafts and by each way of drafting, greedy and sampled, compared to the byte.
#   bench/speculation/identity.sh [QWREN [REQUESTS]]       some minutes on two cores; leaves with 1 when any answer differs or is missing
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
qwren=${1:-$root/build/qwren}
requests=${2:-$root/tests/heldout/requests.jsonl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
wanted=$(wc -l <"$requests")
sed 's/,"temperature":0,/,"temperature":1.2,"seed":17,/' "$requests" >"$work/sampled.jsonl"
cp "$requests" "$work/greedy.jsonl"
answers() { # file, options...: what was said, without what computing it took, and without the calls' ids, which are drawn anew each time
    file=$1
    shift
    "$qwren" run -q -m "$root/models/qwren-nano" --jsonl "$@" "$work/$file.jsonl" | sed -e 's/"usage": .*//' -e 's/"call_[0-9a-f]*"/"call"/g'
}
for kind in greedy sampled; do
    answers $kind --spec off >"$work/off"
    for way in auto mtp lookup; do
        answers $kind --spec $way >"$work/on"
        differ=$(diff "$work/off" "$work/on" | grep -c '^<' || true)
        echo "$kind, --spec $way: $(wc -l <"$work/on") answers, $differ differ"
        [ "$differ" -eq 0 ] && [ "$(wc -l <"$work/off")" -eq "$wanted" ] && [ "$(wc -l <"$work/on")" -eq "$wanted" ] || failed=1
    done
done
exit $failed
