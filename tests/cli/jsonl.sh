# qwren run --jsonl: a request a line, an answer a line, whatever happens in between.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
run() { timeout 120 "$QWREN" run -q -m "$NANO" --greedy -n 12 --no-think "$@"; }
line() { printf '{"messages": [{"role": "user", "content": "%s"}]%s}\n' "$1" "${2-}"; }

{ line "What is 3 + 4?"; line "Translate red to German."; } >good
check "two requests" 0 run --jsonl good
expect "two answers" [ "$(grep -c '"finish_reason"' out)" -eq 2 ]
cp out answers
check "from standard input, without the last line break" 0 sh -c 'printf %s "$(cat good)" | timeout 120 "$0" run -q -m "$1" --greedy -n 12 --no-think --jsonl' "$QWREN" "$NANO"
expect "the same" cmp out answers
check "each is answered for itself" 0 run --json "Translate red to German."
expect "as alone" [ "$(content_of out)" = "$(content_of answers)" ]

{ line "What is 3 + 4?"; echo rubbish; echo; echo '[1]'; echo '{}'; line x ', "temperature": "hot"'; printf 'a\377b\n'; line "Translate red to German."; } >mixed
check "broken lines" 1 run --jsonl mixed
expect "one line for each that is not blank" [ "$(wc -l <out)" -eq 7 ]
expect "five errors" [ "$(grep -c '^{"error": "[^"]' out)" -eq 5 ]
expect "the first is answered" [ "$(content_of answers | head -1)" != "" ]
expect "the good ones as before" [ "$(sed -n '1p;7p' out | sed 's/, "usage".*//')" = "$(sed 's/, "usage".*//' answers)" ]

{ line "What is 3 + 4?" ', "id": "a\u00e9"'; echo '{"id": 7, "messages": 3}'; } >named
check "names" 1 run --jsonl named
expect "come back with the answer" grep -q '^{"id": "aé", "reasoning_content"' out
expect "and with the error" grep -q '^{"id": 7, "error": ' out
expect "the first line that failed is named: $(cat err)" grep -q '^qwren: named: 1 of 2 lines failed, the first is line 2' err

{ line "What is 3 + 4?"; echo '  {"messages": rubbish}'; } >column
check "a column" 1 run --jsonl column
expect "the place is told once: $(tail -1 out)" grep -q '^{"error": "line 2, column 16: not a JSON value"}$' out
{ printf '\357\273\277'; cat good; } >marked
check "a byte order mark before the first line" 0 run --jsonl marked
expect "is not read" [ "$(sed 's/, "usage".*//' out)" = "$(sed 's/, "usage".*//' answers)" ]
{ cat good; printf '\357\273\277'; cat good; } >marked
check "one in the middle is an error" 1 run --jsonl marked
expect "of its line" grep -q 'line 3, column 1' out
printf '\357\273\277' >marked
check "a mark and nothing else" 0 run --jsonl marked
{ printf '\357\273\277'; head -1 good; } >marked
check "before a request" 0 run --json --request marked
check "before a request to be rendered" 0 "$QWREN" template -m "$NANO" marked
printf '\357\273\277[1, 2]' >marked
check "before ids" 0 "$QWREN" detokenize -m "$NANO" marked

line "What is 3 + 4?" ', "max_tokens": 1' >own
check "a line's own words count" 0 run --jsonl own
expect "not the option's" grep -q '"completion_tokens": 1[,}]' out
check "nothing in" 0 run --jsonl /dev/null
expect "nothing out" [ ! -s out ]
check "no file" 1 run --jsonl nothing.jsonl
# A line without an end stops the reading when memory does. (The sanitizers need more address space than this leaves.)
short_of_memory() { (ulimit -v 60000; timeout 60 "$QWREN" "$@"); }
if short_of_memory --version >/dev/null 2>&1; then
    check "an endless line" 1 short_of_memory tokenize --jsonl -m "$NANO" /dev/zero
    expect "memory is the reason: $(cat err)" grep -q 'not enough memory' err
fi
# An answer must come before the next request is sent: another program waits for it.
mkfifo requests
timeout 120 "$QWREN" run -q -m "$NANO" --greedy -n 4 --no-think --jsonl <requests >fifo_out &
exec 3>requests
line Hello >&3
tries=0
while [ ! -s fifo_out ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
expect "answered while the pipe is open" [ -s fifo_out ]
exec 3>&-
wait
finish
