# qwren session, run --session and --cache-dir: what was computed is there in the next run.
. "$(dirname "$0")/_lib.sh"

ask() { "$QWREN" "$@" -m "$NANO" --greedy --no-think -n 12 --stats; }
# Tokens that were known from before, of the last command that was checked with --stats.
known() { sed -n 's/^prompt.*(\([0-9]*\) known from before).*/\1/p' err; }

cat >first.json <<'END'
{"messages": [{"role": "user", "content": "What is 1 + 2?"}]}
END
"$QWREN" run -m "$NANO" --greedy --no-think -n 12 --request first.json >first.out 2>/dev/null
answer=$(cat first.out)
cat >second.json <<END
{"messages": [{"role": "user", "content": "What is 1 + 2?"}, {"role": "assistant", "content": "$answer"}, {"role": "tool", "content": "And now?"}]}
END
"$QWREN" run -m "$NANO" --greedy --no-think -n 12 --request second.json >second.out 2>/dev/null

# ---- save, load, info
ask session save s.qwren --request first.json >out 2>err
expect "the answer is that of run" cmp out first.out
expect "nothing was known" [ -z "$(known)" ]
check "info" 0 "$QWREN" session info s.qwren
expect "info names the model" grep -q '^model  *qwren-nano (custom), f16 cache' out
tokens=$(sed -n 's/^tokens  *//p' out)
expect "info tells the tokens" [ "$tokens" -gt 10 ]
check "info as JSON" 0 "$QWREN" session info --json s.qwren
expect "one line with the tokens" grep -q "^{\"model\": .*\"tokens\": $tokens, \"pictures\": \[\]" out

ask session load s.qwren --request second.json >out 2>err
expect "a loaded session answers as one that never stopped" cmp out second.out
expect "all of its tokens are known: $(known) of $tokens" [ "$(known)" = "$tokens" ]
size=$(wc -c <s.qwren)
ask session save s.qwren --request second.json >out 2>err
expect "saved again it answers likewise" cmp out second.out
expect "and grows" [ "$(wc -c <s.qwren)" -gt "$size" ]

# ---- fork
check "fork" 0 "$QWREN" session fork -m "$NANO" s.qwren t.qwren
ask session load t.qwren --request second.json >out 2>err
expect "a fork answers as the session" cmp out second.out
check "a fork of the beginning" 0 "$QWREN" session fork -m "$NANO" --tokens 7 s.qwren u.qwren
check "has these tokens" 0 "$QWREN" session info --json u.qwren
expect "seven of them" grep -q '"tokens": 7, ' out
check "more than there are" 1 "$QWREN" session fork -m "$NANO" --tokens 70000 s.qwren v.qwren
refute "leaves no file" [ -e v.qwren ]

# ---- a picture
ask session save p.qwren --image "$QW_MODELS/demo/shapes.png" "What is shown?" >out 2>err
check "info of a picture" 0 "$QWREN" session info p.qwren
expect "tells where it is" grep -q '^pictures  *[0-9]* tokens from token [0-9]* on, [0-9a-f]*$' out

ask session save p.qwren --image "$QW_MODELS/demo/shapes.png" "What is shown?" >out 2>err
expect "a picture that is known is not looked at: $(cat err)" grep -q '^pictures  *0 tokens .*s  ([1-9][0-9]* known from before)$' err

# ---- run --session
ask run --session r.qwren "What is 1 + 2?" >out 2>err
expect "a new session" cmp out first.out
ask run --session r.qwren "What is 1 + 2?" >out 2>err
expect "goes on" cmp out first.out
expect "from what is known" [ "$(known)" -gt 10 ]

# ---- where none can be written nothing is computed
mkdir folder
for place in folder nowhere/s.qwren /dev/null ''; do
    check "--session '$place'" 1 "$QWREN" run -m "$NANO" --greedy -n 3 --session "$place" Hello
    refute "'$place': no answer" [ -s out ]
    check "session save '$place'" 1 "$QWREN" session save -m "$NANO" --greedy -n 3 "$place" Hello
    refute "'$place': no answer" [ -s out ]
done
check "a request that is none" 1 "$QWREN" session save -m "$NANO" new.qwren --request nowhere.json
refute "leaves no file" [ -e new.qwren ]

# ---- run --session on a file that is not one
printf q >q.qwren
check "a file of one letter" 1 "$QWREN" run -m "$NANO" --greedy -n 3 --session q.qwren Hello
refute "nothing is computed" [ -s out ]
expect "it stays" [ "$(cat q.qwren)" = q ]
cp s.qwren damaged.qwren
printf x | dd of=damaged.qwren bs=1 seek=100 conv=notrunc 2>/dev/null
check "a damaged head" 1 "$QWREN" run -m "$NANO" --greedy -n 3 --session damaged.qwren Hello
refute "computes nothing either" [ -s out ]
head -c 300 s.qwren >begun.qwren
ask run --session begun.qwren "What is 1 + 2?" >out 2>err
expect "an incomplete session begins anew" cmp out first.out

# ---- a process that dies while it saves
cp s.qwren whole.qwren
size=$(wc -c <whole.qwren)
for part in 1 3 7 9; do
    head -c $((size * part / 10)) whole.qwren >s.qwren
    if "$QWREN" session info s.qwren >out 2>err; then
        ask session load s.qwren --request first.json >out 2>err
        expect "what is left of a session of $part tenths is right" cmp out first.out
    else
        expect "less than the first saving is none" grep -q 'holds no complete session' err
    fi
    ask session save s.qwren --request first.json >out 2>err
    expect "it can be saved to again ($part)" cmp out first.out
done

# ---- what is refused
check "of another arithmetic" 1 "$QWREN" session load -m "$NANO" --exact whole.qwren Hello
expect "says whose it is" grep -q 'belongs to qwren-nano (custom), f16 cache, default arithmetic .*, and not to qwren-nano (custom), f32 cache, exact' err
check "with other positions" 1 "$QWREN" session load -m "$NANO" --yarn 2 whole.qwren Hello
expect "says which" grep -q 'and not to qwren-nano (custom), f16 cache, default arithmetic .*, YaRN x 2' err
copy_model twin/qwren-nano
sed -i 's/"rms_norm_eps": *[0-9.e-]*/"rms_norm_eps": 0.01/' twin/qwren-nano/config.json
check "of a model that has the same name" 1 "$QWREN" session load -m twin/qwren-nano whole.qwren Hello
expect "says so" grep -q 'whole.qwren: belongs to another qwren-nano (custom), .*, with other weights or settings' err
check "no such file" 1 "$QWREN" session load -m "$NANO" nothing.qwren Hello
check "something else" 1 "$QWREN" session info first.json
expect "says so" grep -q 'is not a file that qwren saved' err
check "a session that is too long" 1 "$QWREN" session load -m "$NANO" --ctx 8 whole.qwren Hello
expect "says how long" grep -q "holds [0-9]* tokens, and the session has room for 8" err
check "nothing to do" 2 "$QWREN" session
check "something unknown" 2 "$QWREN" session keep s.qwren
check "no file" 2 "$QWREN" session info
check "one word too many" 2 "$QWREN" session info s.qwren t.qwren
check "no prompt" 2 "$QWREN" session load -m "$NANO" s.qwren
check "a fork of itself" 2 "$QWREN" session fork -m "$NANO" s.qwren s.qwren
check "a fork without a name" 2 "$QWREN" session fork -m "$NANO" s.qwren

# ---- the folder
ask run --cache-dir cache --request first.json >out 2>err
expect "with a folder" cmp out first.out
expect "there are files" [ "$(ls cache | wc -l)" -gt 0 ]
ask run --cache-dir cache --request second.json >out 2>err
expect "the next run answers likewise" cmp out second.out
expect "and knows what was computed: $(known)" [ "$(known)" = "$tokens" ]
for file in cache/*.prefix; do
    head -c 300 "$file" >cut && cat cut >"$file"
done
ask run --cache-dir cache --request second.json >out 2>err
expect "damaged files do no harm" cmp out second.out
expect "and nothing was known" [ -z "$(known)" ]
check "a folder without a cache in memory" 2 "$QWREN" run -m "$NANO" --cache-dir cache --cache-mem 0 Hello
check "the same of a chat" 2 "$QWREN" chat -m "$NANO" --cache-dir cache --cache-mem 0
check "a folder without a name" 1 "$QWREN" run -m "$NANO" --cache-dir '' Hello
expect "says so" grep -q 'cache_dir is empty' err
check "a folder that cannot be made" 1 "$QWREN" run -m "$NANO" --cache-dir /no/such/folder Hello

finish
