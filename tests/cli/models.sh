# Which model is used: -m, then $QWREN_MODEL, then the one beside the program.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
path_of() { "$@" inspect --json 2>err | sed 's/.*"path": "\([^"]*\)".*/\1/'; }

mkdir -p tree/build tree/models alone
cp "$QWREN" tree/build/qwren
cp "$QWREN" alone/qwren
copy_model tree/models/qwren-nano
expect "beside a freshly built program" [ -f "$(path_of tree/build/qwren)/config.json" ]
expect "that very one" grep -q . "$(path_of tree/build/qwren)/config.json"
case $(path_of tree/build/qwren) in "$work"/tree/*) found=yes ;; *) found=no ;; esac
expect "in its own tree" [ $found = yes ]
QWREN_MODEL=$NANO
export QWREN_MODEL
expect "the environment comes first" [ "$(path_of tree/build/qwren)" = "$NANO" ]
check "-m before that" 1 tree/build/qwren inspect -m /no/model
expect "the message names it" grep -q /no/model err
QWREN_MODEL=
check "an empty variable is none" 0 tree/build/qwren inspect
unset QWREN_MODEL
check "its name is enough" 0 tree/build/qwren inspect -m qwren-nano

# The demonstration is about the bundled model, whatever the environment names.
root=$(cd "$tests/../.." && pwd)
printf '#!/bin/sh\necho "$QWREN_MODEL" >>"%s/used"\n' "$work" >pretender
chmod +x pretender
check "the demonstration" 0 env QWREN_MODEL=/nowhere sh "$root/scripts/demo" "$work/pretender"
expect "its model: $(cat used)" [ "$(sort -u used)" = "$root/models/qwren-nano" ]

mkdir -p prefix/bin prefix/share/qwren/models
cp "$QWREN" prefix/bin/qwren
copy_model prefix/share/qwren/models/qwren-nano
check "an installed tree that was moved" 0 prefix/bin/qwren inspect
echo '{"id": "1", "kind": "sum", "thinking": true, "content": "42", "tool_calls": []}' >expected.jsonl
echo '{"content": "42"}' >given
mkdir -p tree/tests/heldout prefix/share/qwren/heldout
cp expected.jsonl tree/tests/heldout/
cp expected.jsonl prefix/share/qwren/heldout/
check "the examination beside a freshly built program" 0 tree/build/qwren eval tasks --answers given
check "and beside an installed one" 0 prefix/bin/qwren eval tasks --answers given
if ! [ -e /usr/local/share/qwren/heldout ] && ! [ -e /usr/share/qwren/heldout ]; then
    check "no examination anywhere" 1 alone/qwren eval tasks --answers given
    expect "the message says what to do: $(cat err)" grep -q 'name a folder that holds requests.jsonl and expected.jsonl' err
fi
if ! [ -e /usr/local/share/qwren/models/qwren-nano ] && ! [ -e /usr/share/qwren/models/qwren-nano ]; then
    check "no model anywhere" 1 alone/qwren inspect
    expect "the message says what to do: $(cat err)" grep -q -- '-m PATH' err
fi
finish
