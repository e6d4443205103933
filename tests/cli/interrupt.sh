# Ctrl-C: an answer ends cleanly with what there is; status 130. (`timeout` sends the signal: a shell's background jobs are started with it ignored.)
. "$(dirname "$0")/_lib.sh"

QWREN_CPU=portable # slow enough that everything here is stopped long before its end
export QWREN_CPU
[ -d "$NANO" ] || failed "no model in $NANO"
end=$(printf '<|im_end|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
eot=$(printf '<|endoftext|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
endless() { # an answer that would fill the context
    timeout --foreground --preserve-status -s INT "$1" "$QWREN" run -m "$NANO" -t 1 --greedy --no-loop-guard --no-think -n 1000000 \
        --logit-bias "$end:-1000" --logit-bias "$eot:-1000" "$2" "Hello"
}
patience=$((3 * $(slowness) + 1))

check "Ctrl-C in an answer" 130 endless $patience -q
expect "what there was is printed" [ -s out ]
expect "and its line ended" [ "$(tail -c 1 out | od -An -tx1 | tr -d ' ')" = 0a ]
check "Ctrl-C with --json" 130 endless $patience --json
expect "the result says so" grep -q '"finish_reason": "cancelled"' out

# An evaluation of a minute and more: no word, nothing half printed.
for way in "kld $NANO $NANO" "tasks $NANO $tests/../heldout"; do
    # shellcheck disable=SC2086
    check "Ctrl-C in eval $way" 130 timeout --foreground --preserve-status -s INT $patience "$QWREN" eval -t 1 $way
    expect "eval: no word: $(cat err)" [ ! -s err ]
    expect "eval: nothing" [ ! -s out ]
done

# While it waits for its input: no answer, no word.
mkfifo silent
exec 3<>silent
waiting() { timeout --foreground --preserve-status -s INT $patience "$QWREN" run -m "$NANO" "$@" <&3; }
for source in - '--jsonl -' '--request silent'; do
    # shellcheck disable=SC2086
    check "Ctrl-C in the reading of $source" 130 waiting $source
    expect "$source: no word: $(cat err)" [ ! -s err ]
    expect "$source: nothing" [ ! -s out ]
done
exec 3>&-
check "Ctrl-C in the opening of a pipe" 130 waiting --request silent </dev/null 3</dev/null
expect "no word: $(cat err)" [ ! -s err ]

# SIGTERM in the writing of an array takes the half-written file along.
awk 'BEGIN { printf "["; for (i = 0; i < 900; i++) printf "%d, ", 100 + i % 50; print "100]" }' >ids.json
"$QWREN" logits -q -m "$NANO" --ids ids.json -o big.npy &
job=$!
while [ ! -e "big.npy.tmp-$job" ] && kill -0 $job 2>/dev/null; do :; done
kill -TERM $job 2>/dev/null
wait $job 2>/dev/null
ended=$?
expect "ended by the signal, or done just before: status $ended" [ $ended -eq 143 -o $ended -eq 0 ]
expect "nothing half-written: $(ls)" [ ! -e "big.npy.tmp-$job" ]

# A job in the background of a shell is started with the signal ignored, and is left alone.
"$QWREN" run -q -m "$NANO" -t 1 --greedy --no-loop-guard --no-think -n 300 --logit-bias "$end:-1000" --logit-bias "$eot:-1000" Hello >answer &
job=$! tries=0
while [ ! -s answer ] && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -INT $job
wait $job
expect "a background job finishes" [ $? -eq 0 ]
finish
