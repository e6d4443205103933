# qwren parse: raw output to thought, answer, calls.
. "$(dirname "$0")/_lib.sh"

cases=$QW_TEST_DATA/parse/cases.jsonl tools=$QW_TEST_DATA/parse/tools.json
check =parse 0 "$QWREN" parse --jsonl --tools "$tools" "$cases"
expect "one line for each case" [ "$(wc -l <out)" -eq "$(wc -l <"$cases")" ]

parse() { check "parse $1" 0 sh -c "printf '$2' | \"\$QWREN\" parse $3" && expect "$1: $(cat out)" [ "$(cat out)" = "$4" ]; }
export QWREN
parse thinking 'Easy.\n</think>\n\n42' '' '{"reasoning_content": "Easy.", "content": "42", "tool_calls": [], "finish_reason": "stop"}'
parse 'not thinking' '42' --no-think '{"reasoning_content": null, "content": "42", "tool_calls": [], "finish_reason": "stop"}'
parse 'cut thought' 'Hm' '--finish length' '{"reasoning_content": "Hm", "content": null, "tool_calls": [], "finish_reason": "length"}'
call='<tool_call>\n<function=get_weather>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>'
parse call "$call" "--no-think --tools $tools" \
    '{"reasoning_content": null, "content": null, "tool_calls": [{"name": "get_weather", "arguments": {"days": 3}}], "finish_reason": "tool_calls"}'
parse 'no tools, no calls' '<tool_call>' --no-think '{"reasoning_content": null, "content": "<tool_call>", "tool_calls": [], "finish_reason": "stop"}'
parse 'ill-formed UTF-8' 'a\377b' --no-think '{"reasoning_content": null, "content": "a�b", "tool_calls": [], "finish_reason": "stop"}'
parse empty '' --no-think '{"reasoning_content": null, "content": null, "tool_calls": [], "finish_reason": "stop"}'
check "calls switched off" 0 sh -c "printf '$call' | \"\$QWREN\" parse --no-think --tools $tools --tool-choice none"
expect "the markup stays text" grep -q '"content": "<tool_call>' out

printf '%s\n' '{"chunks": ["a"], "tools": "TOOLS"}' '{"chunks": "a"}' '{"chunks": ["a", 1]}' '{"chunks": ["b"]}' >lines
check "broken lines" 1 "$QWREN" parse --jsonl lines
expect "three errors and an answer" [ "$(grep -c '^{"error": ' out)$(tail -1 out | grep -c '"content": "b"')" = 31 ]
echo '{"not": "a list"}' >object.json
check "tools are a list" 1 "$QWREN" parse --tools object.json </dev/null
check "tools are there" 1 "$QWREN" parse --tools nothing.json </dev/null
finish
