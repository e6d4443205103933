# Ctrl-C: an answer ends cleanly with what there is; status 130. (`timeout` sends the signal: a shell's background jobs are started with it ignored.)
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
end=$(printf '<|im_end|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
eot=$(printf '<|endoftext|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
endless() { # an answer that would fill the context
    timeout --preserve-status -s INT "$1" "$QWREN" run -m "$NANO" -t 1 --greedy --no-loop-guard --no-think -n 1000000 \
        --logit-bias "$end:-1000" --logit-bias "$eot:-1000" "$2" "Hello"
}
patience=$((3 * $(slowness) + 1))

check "Ctrl-C in an answer" 130 endless $patience -q
expect "what there was is printed" [ -s out ]
expect "and its line ended" [ "$(tail -c 1 out | od -An -tx1 | tr -d ' ')" = 0a ]
check "Ctrl-C with --json" 130 endless $patience --json
expect "the result says so" grep -q '"finish_reason": "cancelled"' out

# A job in the background of a shell is started with the signal ignored, and is left alone.
"$QWREN" run -q -m "$NANO" -t 1 --greedy --no-loop-guard --no-think -n 300 --logit-bias "$end:-1000" --logit-bias "$eot:-1000" Hello >answer &
job=$! tries=0
while [ ! -s answer ] && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -INT $job
wait $job
expect "a background job finishes" [ $? -eq 0 ]
finish
