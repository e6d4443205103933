# qwren eval: perplexity, kld and tasks, as tables and as JSON, and what they refuse.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
eval_() { timeout 300 "$QWREN" eval -q "$@"; }
HELDOUT=$tests/../heldout
# The number behind "KEY": in a file of JSON, the first one.
number() { sed -n "s/.*\"$1\": \([-0-9.e+]*\|null\).*/\1/p" "$2" | head -1; }
first_of() { grep -o "\"$1\": [-0-9.e+a-z]*" "$2" | head -1 | sed 's/.*: //'; }

# ---- perplexity
for i in 1 2 3 4; do echo "apple: 1$i, boat: 2$i. The value of apple is 1$i."; done >text
check "perplexity" 0 eval_ perplexity "$NANO" text --ctx 64
expect "a table: $(cat out)" [ "$(grep -c '^\(tokens\|bytes\|nats\|perplexity\|bits per byte\) ' out)" -eq 5 ]
check "as JSON" 0 eval_ perplexity "$NANO" text --ctx 64 --json
expect "nats: $(cat out)" grep -q '^{"tokens": [0-9]*, "bytes": [0-9]*, "nats": [0-9.]*, "nats_error": [0-9.]*, "perplexity": [0-9.]*, "bits_per_byte": [0-9.]*}$' out
cp out first
check "from standard input, with two threads" 0 sh -c 'timeout 300 "$0" eval -q perplexity "$1" - --ctx 64 --json -t 2 <text' "$QWREN" "$NANO"
expect "the same" cmp out first
check "one window has no interval" 0 eval_ perplexity "$NANO" text --json
expect "null" [ "$(first_of nats_error out)" = null ]
check "a stride as long as the window" 1 eval_ perplexity "$NANO" text --ctx 64 --stride 64
printf 'caf\351 au lait\n' >latin1
check "a text that is not UTF-8" 1 eval_ perplexity "$NANO" latin1
expect "the byte is told: $(cat err)" grep -q 'latin1: not valid UTF-8 at byte 3' err
check "an empty text" 1 eval_ perplexity "$NANO" /dev/null
check "no such text" 1 eval_ perplexity "$NANO" nothing
check "no such model" 1 eval_ perplexity nothing text
check "a text is missing" 2 eval_ perplexity "$NANO"

# ---- kld
copy_model changed
# One bit of one weight: an embedding row's byte somewhere in the middle of the file.
size=$(wc -c <changed/model.safetensors)
printf '\101' | dd of=changed/model.safetensors bs=1 seek=$((size / 2 + 1 - size / 2 % 2)) conv=notrunc 2>/dev/null
{
    echo '{"id": "a", "messages": [{"role": "user", "content": "What is 3 + 4?"}], "enable_thinking": false}'
    echo '{"id": "b", "messages": [{"role": "user", "content": "Translate red to German."}], "enable_thinking": false}'
    echo '{"id": "c", "messages": [{"role": "user", "content": "What is 5 + 4?"}], "enable_thinking": false}'
} >requests
{ echo '{"id": "c", "content": "9"}'; echo '{"id": "a", "content": "7", "tool_calls": []}'; } >answers
check "kld of requests" 0 eval_ kld "$NANO" "$NANO" changed --requests requests --json
expect "all lines are read" [ "$(first_of lines out)" = 3 ]
expect "a model is equal to itself" grep -q '"all": {"tokens": [0-9]*, "mean": 0.0, "mean_error": 0.0, "median": 0.0' out
expect "two models" [ "$(grep -o '"path"' out | wc -l)" -eq 3 ]
expect "bits per weight of a bf16 model: $(first_of bits_per_weight out)" [ "$(first_of bits_per_weight out | cut -c1-2)" = 16 ]
{ printf '\357\273\277'; cat requests; } >marked
check "a byte order mark before the first line" 0 eval_ kld "$NANO" "$NANO" --requests marked --json
expect "says nothing: $(cat err)" [ "$(first_of lines out)" = 3 ]
check "with answers" 0 eval_ kld "$NANO" changed --requests requests --answers answers --json
expect "requests without one are left out" [ "$(first_of lines out)" = 2 ]
expect "tokens of answers are told" grep -q '"answers": {"tokens": [1-9]' out
check "a part of the lines" 0 eval_ kld "$NANO" changed --requests requests --limit 2 --json
expect "two" [ "$(first_of lines out)" = 2 ]
check "kld of a text" 0 eval_ kld "$NANO" "$NANO" --text text
expect "a table: $(cat out)" grep -q '^  text  *[0-9][0-9]* *0.000000' out
expect "without pictures there is nothing to tell of them" grep -q '^  pictures  *0  *-  *-  *-  *-  *-  *-  *-  *-  *-$' out
check "as JSON" 0 eval_ kld "$NANO" "$NANO" --text text --json
expect "nor there: $(cat out)" grep -q '"pictures": {"tokens": 0, "mean": null, "mean_error": null, .*"top_dp": null}' out
# The bundled lines on a model without a tower: those with pictures are left out, and that is told.
copy_model blind
sed -i 's/"vision_config"/"no_vision"/' blind/config.json
timeout 300 "$QWREN" eval kld blind "$NANO" --limit 4 --json >out 2>err
expect "all lines: $(cat out err)" grep -q '"lines": 4, .*"pictures": {"tokens": 0, ' out
expect "a notice" grep -q 'blind has no image tower; the lines with pictures are left out' err
check "kld with the bundled lines" 0 eval_ kld "$NANO" changed --limit 5
expect "text, pictures, all and answers" [ "$(grep -c '^  \(text\|pictures\|all\|answers\) ' out)" -eq 4 ]
check "answers of others" 1 eval_ kld "$NANO" changed --requests requests --answers text
echo '{"id": "z", "content": "9"}' >other
check "answers without their requests" 1 eval_ kld "$NANO" changed --requests requests --answers other
expect "is told: $(cat err)" grep -q 'no answer has the "id" of a request' err
check "another kind of model" 1 eval_ kld "$NANO" "$QW_TEST_DATA/text/tiny-c/hf" --text text
# As many tokens, but two have changed places.
copy_model swapped
sed -e 's/^\( *\)"a": 64,/\1"b": 64,/' -e t -e 's/^\( *\)"b": 65,/\1"a": 65,/' "$NANO/tokenizer.json" >swapped/tokenizer.json
check "as many tokens, but others" 1 eval_ kld "$NANO" swapped --text text
expect "both models are named: $(cat err)" grep -q 'swapped has other tokens than .*nano' err
check "one model" 2 eval_ kld "$NANO"
check "two sources" 2 eval_ kld "$NANO" changed --text text --requests requests
check "answers alone" 2 eval_ kld "$NANO" changed --answers answers

# ---- tasks
check "tasks" 0 eval_ tasks "$NANO" "$HELDOUT" --limit 2
expect "a table" grep -q '^| task | thinking off | thinking on | bar | met |$' out
check "as JSON" 0 eval_ tasks "$NANO" "$HELDOUT" --limit 8 --json
all=$(grep -o '"right": [0-9]*, "all": [0-9]*}$' out)
expect "all of them: $all" [ "${all##* }" = "8}" ]
right=$(echo "$all" | sed 's/"right": \([0-9]*\).*/\1/')
expect "most are right: $right" [ "${right:-0}" -ge 6 ]
check "transformers' answers are judged" 0 eval_ tasks --answers "$HELDOUT/reference.jsonl" "$HELDOUT" --json
expect "461 of 500: $(tail -c 30 out)" grep -q '"right": 461, "all": 500}$' out
{
    echo '{"id": "1", "kind": "list", "thinking": false, "content": "A red star and a blue cross.", "tool_calls": []}'
    echo '{"id": "2", "kind": "list", "thinking": false, "content": "A red star.", "tool_calls": []}'
    echo '{"id": "3", "kind": "sum", "thinking": true, "content": "42", "tool_calls": []}'
    echo '{"id": "4", "kind": "call", "thinking": true, "content": "", "tool_calls": [{"name": "f", "arguments": {"a": 1, "b": "x"}}]}'
    echo '{"id": "5", "kind": "call", "thinking": true, "content": "", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}'
    echo '{"id": "6", "kind": "sum", "thinking": false, "content": "42", "tool_calls": []}'
    echo '{"id": "7", "kind": "lookup", "lines": 4, "thinking": false, "content": "x", "tool_calls": []}'
} >expected.jsonl
cat >given <<'END'
{"content": "A blue cross and a red star."}
{"content": "A red star, a red star."}
{"content": " 42\n", "reasoning_content": "40 + 2"}
{"content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"b\": \"x\", \"a\": 1}"}}]}
{"content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": \"1\"}"}}]}
{"error": "42"}
{"content": "x"}
END
check "rules for right answers" 0 eval_ tasks --answers given .
expect "lists in any order, but whole: $(cat out)" grep -q '^| picture: list all shapes | 50.0 % (2) |' out
expect "white space around an answer does not count, an error is wrong" grep -q '^| sums and differences | 0.0 % (1) | 100.0 % (1) |' out
expect "arguments by value and type" grep -q '^| tool call: name and arguments |  | 50.0 % (2) |' out
expect "lines of a lookup have a row" grep -q '^| lookup, 4 lines | 100.0 % (1) |' out
timeout 60 "$QWREN" eval -q tasks --answers given . --wrong 1 >/dev/null 2>wrong
expect "a wrong answer of each kind is shown: $(cat wrong)" [ "$(grep -c '^[256]: .*, wanted ' wrong)" -eq 3 ]
check "answers to other requests" 1 eval_ tasks --answers answers .
check "fewer answers" 1 sh -c 'head -3 given >few && timeout 60 "$0" eval tasks --answers few .' "$QWREN"
# Requests, wanted answers and given ones belong together by their ids, in any order.
mkdir mixed
for id in a b c; do
    echo '{"id": "'$id'", "messages": [{"role": "user", "content": "What is 3 + 4?"}], "enable_thinking": false}' >>mixed/requests.jsonl
done
for id in c a b; do
    [ $id = a ] && content=7 || content=other
    echo '{"id": "'$id'", "kind": "sum", "thinking": false, "content": "'$content'", "tool_calls": []}' >>mixed/expected.jsonl
done
check "answers in another order" 0 sh -c 'echo "{\"id\": \"a\", \"content\": \"7\"}" | timeout 60 "$0" eval -q tasks --answers - mixed --json' "$QWREN"
expect "are judged by id, the others counted: $(cat out)" grep -q '"unanswered": 2, "right": 1, "all": 1}$' out
timeout 60 "$QWREN" eval tasks "$NANO" mixed --wrong 9 >/dev/null 2>wrong
expect "requests too: $(cat wrong)" [ "$(grep -c '^[bc]: .*, wanted "other"' wrong)" = 2 ]
check "an unknown id" 1 sh -c 'echo "{\"id\": \"z\", \"content\": \"7\"}" | timeout 60 "$0" eval tasks --answers - mixed' "$QWREN"
expect "is named: $(cat err)" grep -q 'answer 1: there is no wanted answer with its id "z"' err
check "a doubled id" 1 sh -c 'for i in 1 2; do echo "{\"id\": \"a\", \"content\": \"7\"}"; done | timeout 60 "$0" eval tasks --answers - mixed' "$QWREN"
expect "is named: $(cat err)" grep -q 'two of the answers have the id "a"' err
# What could not be answered is told, and is the exit status when that is all.
check "no room for any request" 1 eval_ tasks "$NANO" mixed --ctx 8 --json
expect "all failed: $(cat out)" grep -q '"failed": 3, "failure": "[^"]*8[^"]*", "left_out": 0, "unanswered": 0, "right": 0, "all": 3}$' out
check "in the table" 1 eval_ tasks "$NANO" mixed --ctx 8
expect "there is a line: $(cat out)" grep -q '^3 of 3 requests could not be answered and count as wrong; the first: ' out
check "a model without a tower" 0 eval_ tasks blind "$HELDOUT" --limit 8 --json
expect "pictures are not asked: $(cat out)" grep -q '"thinking_off": null, "thinking_on": null, "reason": "the model has no image tower"}.*"failed": 0, "failure": null, "left_out": [1-7],' out
# Options of other ways.
for wrong in "perplexity --text" "perplexity --requests" "perplexity --answers" "perplexity --limit" "kld --ctx" "kld --stride" "kld --wrong" \
    "tasks --stride" "tasks --text" "tasks --requests"; do
    check "$wrong" 2 eval_ "${wrong% *}" "$NANO" text "${wrong#* }" 8
    expect "is told: $(cat err)" grep -q -e "${wrong#* } goes with .*, not with ${wrong% *}" err
done
check "no examination here" 1 eval_ tasks "$NANO" nothing
check "no way" 2 eval_
check "an unknown way" 2 eval_ everything
check "too many words" 2 eval_ tasks "$NANO" a b
finish
