# What was asked for is written whole or the program says that it was not: closed pipes, full disks, closed descriptors.
. "$(dirname "$0")/_lib.sh"

cases=$QW_TEST_DATA/template/cases.jsonl
full() { "$@" >/dev/full; }
if [ -w /dev/full ]; then
    check "help on a full disk" 1 full "$QWREN" help run
    check =output-full 1 full "$QWREN" template --jsonl "$cases"
    check "version on a full disk" 1 full "$QWREN" --version
    check "a man page on a full disk" 1 "$QWREN" help --man -o /dev/full run
fi

early() { { "$@"; echo $? >early_status; } | head -c 10 >/dev/null; }
check =output-pipe 0 early "$QWREN" template --jsonl "$cases"
expect "a closed pipe is status 1" [ "$(cat early_status)" -eq 1 ]

closed() { "$@" >&-; }
check =output-closed 1 closed "$QWREN" --version
mute() { "$@" 2>&-; }
mute "$QWREN" dance
expect "a closed stderr changes no status" [ $? -eq 2 ]
deaf() { "$@" <&-; }
check "closed stdin" 1 deaf "$QWREN" parse --no-think

if [ -d "$NANO" ]; then
    echo '[1, 2, 3]' >ids.json
    check "an unwritable folder" 1 "$QWREN" logits -m "$NANO" --ids ids.json -o /no/such/folder/x.npy
    [ ! -w /dev/full ] || check "logits on a full disk" 1 "$QWREN" logits -m "$NANO" --ids ids.json -o /dev/full
    [ ! -w /dev/full ] || check "an answer on a full disk" 1 full "$QWREN" run -m "$NANO" --no-think -n 8 Hello
    mkdir is_a_folder
    check "a folder in the way" 1 "$QWREN" logits -m "$NANO" --ids ids.json -o is_a_folder
    expect "nothing half-written is left" [ -z "$(find . -name '*.tmp*' -o -name '*.npy')" ]
else
    failed "no model in $NANO"
fi
finish
