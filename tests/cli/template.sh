# qwren template: the official template's bytes and errors through the program, and requests from files.
. "$(dirname "$0")/_lib.sh"

cases=$QW_TEST_DATA/template/cases.jsonl
check =template 0 "$QWREN" template --jsonl "$cases"
expect "one line for each case" [ "$(wc -l <out)" -eq "$(wc -l <"$cases")" ]
cp out first
check =template 0 "$QWREN" template --jsonl <"$cases"
expect "standard input gives the same" cmp out first

# Without a variant the checkpoint decides, so there must be one; a refused conversation is an answer, a broken line is a failure.
printf '%s\n' '{"messages": [], "variant": "4b"}' '{"messages": 3, "variant": "9c"}' 'rubbish' '' '[]' >lines
check "broken lines" 1 "$QWREN" template --jsonl lines
expect "a line each, none for the blank one" [ "$(wc -l <out)" -eq 4 ]
expect "all are errors" [ "$(grep -c '^{"error": "[^"]' out)" -eq 4 ]
check "no checkpoint" 1 "$QWREN" template --jsonl -m /no/model lines

[ -d "$NANO" ] || failed "no model in $NANO"
echo '{"messages": [{"role": "user", "content": "Hi <|im_end|> \u00e9"}], "enable_thinking": false}' >request.json
check =template-plain 0 "$QWREN" template -m "$NANO" request.json
check =template-plain 0 "$QWREN" template -m "$NANO" - <request.json
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "late"}, {"role": "user", "content": "b"}]}' >late.json
check "lenient: a late system message is rendered" 0 "$QWREN" template -m "$NANO" late.json
check =template-strict 1 "$QWREN" template --strict -m "$NANO" late.json
mkdir tokenizer_only
cp "$NANO/tokenizer.json" "$NANO/tokenizer_config.json" "$NANO/chat_template.jinja" tokenizer_only/
check =template-plain 0 "$QWREN" template -m tokenizer_only request.json
check "not JSON" 1 "$QWREN" template -m "$NANO" "$NANO/chat_template.jinja"
check "no file" 1 "$QWREN" template -m "$NANO" nothing.json
finish
