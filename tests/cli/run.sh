# qwren run: prompts, pictures, requests, options. The words of the answers are the model's; what is tested is that they are the same however they are asked for.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
run() { timeout 120 "$QWREN" run -q -m "$NANO" "$@"; }
PICTURE=$QW_MODELS/demo/shapes.png

check "a prompt" 0 run --no-think --greedy -n 40 "What is 17 + 25?"
expect "there is an answer" [ "$(wc -c <out)" -gt 1 ]
expect "it ends its line" [ "$(tail -c 1 out | od -An -tx1 | tr -d ' ')" = 0a ]
cp out answer
check "from standard input" 0 run --no-think --greedy -n 40 - <<END
What is 17 + 25?
END
expect "the same answer" cmp out answer
check "as JSON" 0 run --no-think --greedy -n 40 --json "What is 17 + 25?"
expect "one line" [ "$(wc -l <out)" -eq 1 ]
for key in reasoning_content content tool_calls finish_reason usage prompt_tokens completion_tokens; do expect "JSON has $key" grep -q "\"$key\": " out; done
expect "the same text" [ "$(content_of out)" = "$(cat answer)" ]
check "any number of threads" 0 run --no-think --greedy -n 40 -t 1 "What is 17 + 25?"
expect "the same answer with one thread" cmp out answer

# ---- thoughts stay out of pipes
check "thinking in a pipe" 0 run --think --greedy -n 400 "What is 17 + 25?"
refute "no thought on stdout" grep -q '<think>\|</think>' out
cp out answer
check "thoughts on request" 0 run --think --greedy -n 400 --thoughts always "What is 17 + 25?"
expect "the thought is enclosed" [ "$(sed -n 1p out)" = '<think>' ]
expect "and followed by the same answer" [ "$(sed '1,/^<\/think>$/d' out | sed 1d)" = "$(cat answer)" ]
check "and dimmed" 0 run --think --greedy -n 400 --thoughts always --color always "What is 17 + 25?"
expect "with escape sequences" grep -q "$(printf '\033\\[2m')" out
count_of() { grep -ao "$(printf "\033\\\\[$1")" out | wc -l; }
expect "the colour is taken back after each piece: $(count_of 2m), $(count_of 0m)" [ "$(count_of 2m)" -gt 1 -a "$(count_of 2m)" -eq "$(count_of 0m)" ]
check "a thought that is cut" 0 run --think --greedy -n 2 "What is 17 + 25?"
expect "leaves nothing on stdout" [ ! -s out ]
timeout 60 "$QWREN" run -m "$NANO" --think --greedy -n 2 "What is 17 + 25?" >out 2>err
expect "but a notice: $(cat err)" grep -q '^qwren: .*cut.*-n' err

# ---- the context: what it takes is said when it was asked for, and more positions than the training had come from YaRN
timeout 60 "$QWREN" run -m "$NANO" --greedy -n 2 --ctx 2048 "What is 17 + 25?" >out 2>err
expect "memory is told: $(cat err)" grep -q '^qwren: a context of 2048 tokens: 1.0 MB for keys and values, taken as it fills, .* are available$' err
timeout 60 "$QWREN" run -m "$NANO" --greedy -n 2 "What is 17 + 25?" >out 2>err
refute "but not without a question" grep -q 'a context of' err
check "quietly" 0 run --greedy --no-think --ctx 2048 "What is 17 + 25?"
expect "nothing is told" [ ! -s err ]
check "more than the model takes" 1 run --ctx 8192 "What is 17 + 25?"
expect "and what would make it so: $(cat err)" grep -q 'takes 1 to 4096; YaRN makes it 8192 with yarn_factor 2 (--yarn 2)' err
check "which does" 0 run --no-think --greedy --ctx 8192 --yarn 2 --overcommit "What is 17 + 25?"
check "off is as the files say" 0 run --no-think --greedy -n 40 --yarn 1 "What is 17 + 25?"
mv out off
check "without a word of it" 0 run --no-think --greedy -n 40 "What is 17 + 25?"
expect "the same answer" cmp off out

# ---- sampling
check "seed" 0 run --no-think --seed 7 --temperature 1 -n 30 "Tell me something."
cp out seven
check "seed" 0 run --no-think --seed 7 --temperature 1 -n 30 "Tell me something."
expect "same seed, same text" cmp out seven
check "temperature 0" 0 run --no-think --temperature 0 --presence-penalty 0 --repetition-penalty 1 -n 20 "What is 17 + 25?"
cp out cold
check "top-k 1" 0 run --no-think --top-k 1 --temperature 1 --presence-penalty 0 --repetition-penalty 1 -n 20 "What is 17 + 25?"
expect "is greedy too" cmp out cold
check "limit" 0 run --no-think --greedy --json -n 1 "What is 17 + 25?"
expect "one token" grep -q '"completion_tokens": 1[,}]' out
first=$(content_of seven)
check "JSON for stop" 0 run --no-think --greedy --json -n 40 "What is 17 + 25?"
text=$(content_of out) stop=$(content_of out | cut -c 2-3)
check "stop" 0 run --no-think --greedy --json -n 40 --stop "$stop" "What is 17 + 25?"
expect "ends before '$stop' in '$text': $(content_of out)" [ "$(content_of out)" = "${text%%"$stop"*}" ]
expect "and says stop" grep -q '"finish_reason": "stop"' out
end=$(printf '<|im_end|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
check "bias" 0 run --no-think --greedy --json -n 40 --logit-bias "$end:100" "What is 17 + 25?"
expect "ends at once" grep -q '"completion_tokens": [01][,}]' out

# ---- pictures
check "a picture" 0 run --no-think --greedy --json -n 40 --image "$PICTURE" "What is in the picture?"
expect "image tokens are counted" grep -q '"image_tokens": [1-9]' out
content_of out >with
check "no picture" 0 run --no-think --greedy --json -n 40 "What is in the picture?"
refute "it is looked at" [ "$(cat with)" = "$(content_of out)" ]
check "two pictures" 0 run --no-think --greedy --json -n 10 --image "$PICTURE" --image "$PICTURE" "What is in the pictures?"
cp "$PICTURE" 'data:a %41"b.png'
check "a strange file name" 0 run --no-think --greedy --json -n 40 --image 'data:a %41"b.png' "What is in the picture?"
expect "the same answer" [ "$(cat with)" = "$(content_of out)" ]
mkdir 'a b' && cp "$PICTURE" 'a b/c.png'
printf '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file://%s/a%%20b/c.png"}}, {"type": "text", "text": "What is in the picture?"}]}]}' "$work" >request.json
check "a file: URL in a request" 0 run --no-think --greedy --json -n 40 --request request.json
expect "the same answer" [ "$(cat with)" = "$(content_of out)" ]

# ---- system prompt and request
cat >request.json <<'END'
{
  "messages": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Say \"hello\"."}],
  "max_tokens": 5, "enable_thinking": false, "temperature": 0
}
END
check "a request" 0 run --request request.json
cp out one
check "the same in words" 0 run --system "Answer in one word." --no-think --temperature 0 -n 5 'Say "hello".'
expect "the same answer" cmp out one
check "the request's word counts" 0 run --json -n 1 --request request.json
refute "not the option's" grep -q '"completion_tokens": 1[,}]' out

# ---- speed
timeout 60 "$QWREN" run -m "$NANO" --no-think --stats -n 4 --image "$PICTURE" Hello >out 2>err
expect "--stats: prompt" grep -Eq '^prompt +[1-9][0-9]* tokens +[0-9.]+ s +[0-9.]+ tokens/s' err
expect "--stats: pictures" grep -Eq '^pictures +[1-9][0-9]* tokens' err
expect "--stats: answer" grep -Eq '^answer +[1-9][0-9]* tokens' err
expect "--stats: first token" grep -q '^first token after ' err
finish
