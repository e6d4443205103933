# qwren bench --spec and guessing ahead in run: figures are there and agree with each other; answers are the same. How fast anything is, is not tested.
. "$(dirname "$0")/_lib.sh"

holds() { awk "BEGIN { exit !($1) }"; } # an expression of awk
number() { grep -o "\"$1\": [0-9.e+-][0-9.e+-]*" out | head -"${2-1}" | tail -1 | sed 's/.*: //'; } # key, which of them

# ---- bench
check "a made-up model" 0 "$QWREN" bench -q --json --spec --random tiny -r 1 -t 1
expect "sixteen passes" [ "$(grep -o '"pass_s": \[[^]]*' out | tr ',' '\n' | wc -l)" -eq 16 ]
expect "a draft takes time" holds "$(number draft_s) > 0"
expect "it answers nothing" grep -q '"tasks": 0, "ways": \[\]' out
check "as text" 0 "$QWREN" bench -q --spec --random tiny -r 1 -t 1
for row in '^verifying  *a pass of 1 token [0-9.]* ms; 2: x [0-9.]*, ' '^drafting  *a draft of the prediction head [0-9.]* ms' 'computed, not measured' '90 %:  [0-9.]* with 1  '; do
    expect "a row $row" grep -q "$row" out
done

check "nano answers" 0 "$QWREN" bench -q --json --spec -r 1 -t 1 "$NANO"
expect "four ways" [ "$(grep -o '"spec": "[a-z]*"' out | sed 's/.*: //' | tr -d '"' | tr '\n' ' ')" = "off lookup auto mtp " ]
expect "the same tokens each" [ "$(grep -o '"tokens": [0-9]*' out | sort -u | wc -l)" -eq 1 ]
first=$(grep -o '"spec": "mtp".*' out | grep -o '"mtp": {[^}]*' | grep -o '_by_place": \[[0-9.]*' | sed 's/.*\[//')
expect "six of ten first drafts are right: $first" holds "$first >= 0.6"
expect "fewer passes than tokens" holds "$(number passes 4) < $(number tokens 4) * 2 / 3"
check "as text" 0 "$QWREN" bench -q --spec -r 1 -t 1 "$NANO"
for row in '^tasks  *26 of the bundled ones' '^off  *[0-9.]* tokens/s, x 1.00$' '^mtp  *[0-9.]* tokens/s, x [0-9.]*; [0-9]* tokens in [0-9]* passes' 'prediction head: [0-9]* of [0-9]* right; by place [0-9.]* %'; do
    expect "a row $row" grep -q "$row" out
done
check "not as CSV" 2 "$QWREN" bench --spec --csv "$NANO"

# ---- run
ask="What is 117 + 325?"
check "an answer" 0 "$QWREN" run -q --spec off --greedy --think "$ask" -m "$NANO"
cp out plain
for how in "--spec auto" "--spec mtp" "--spec mtp --draft 1" "--spec lookup --draft 15" "--draft-model $NANO"; do
    check "the same answer with $how" 0 "$QWREN" run -q $how --greedy --think "$ask" -m "$NANO"
    expect "to the byte" cmp -s out plain
done
"$QWREN" run -q --spec mtp --stats --greedy --think "$ask" -m "$NANO" >out 2>err
expect "tell passes" grep -q '^guessed  *[0-9]* passes .* x as fast' err
expect "and drafts" grep -q ' drafts of the prediction head right; by place [0-9]* %' err
check "an unknown way" 2 "$QWREN" run --spec fast "$ask"
check "too many drafts" 2 "$QWREN" run --draft 16 "$ask"
check "a draft model with other tokens" 1 "$QWREN" run -q --draft-model "$QW_TEST_DATA/text/tiny-c/hf" -m "$NANO" "$ask"

finish
