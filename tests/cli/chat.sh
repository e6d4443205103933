# qwren chat driven by a pipe: answers on stdout, everything else on stderr.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
chat() { timeout 120 "$QWREN" chat -q -m "$NANO" --greedy -n 24 "$@"; }
say() { printf '%s\n' "$@" >typed; }
quietly() { # what the commands say goes to `said`; stderr keeps the errors
    "$@" 2>said
    quiet_status=$?
    grep '^qwren: ' said >&2
    return $quiet_status
}

say 'What is 17 + 25?'
check "a message" 0 quietly chat --no-think <typed
cp out answer
timeout 60 "$QWREN" run -q -m "$NANO" --greedy -n 24 --no-think 'What is 17 + 25?' >once
expect "the first answer is that of run" cmp out once
refute "no prompt is printed" grep -q '^> ' out

say 'What is 17 + 25?' '' '   ' '/reset' 'What is 17 + 25?' '/quit' 'What is 1 + 1?'
check "reset and quit" 0 quietly chat --no-think <typed
cat answer answer >twice
expect "the same question after /reset has the same answer, and nothing follows /quit" cmp out twice

say '/think off' 'What is 17 + 25?'
check "the command /think" 0 quietly chat --think <typed
expect "is --no-think" cmp out answer
printf 'What is\\\n17 + 25?' >typed
check "a backslash joins lines, and the last needs no line break" 0 quietly chat --no-think <typed
expect "an answer" [ -s out ]

say '//reset'
check "two slashes" 0 quietly chat --no-think <typed
timeout 60 "$QWREN" run -q -m "$NANO" --greedy -n 24 --no-think /reset >once
expect "begin a message with one" cmp out once
say '/stats' 'My name is Ada.' 'And what is 2 + 3?' '/stats'
check "two turns" 0 quietly chat --no-think <typed
expect "the second turn knows the first: $(cat said)" grep -Eq 'prompt .*\([1-9][0-9]* known from before\)' said
expect "and says how much room is used" grep -Eq '[1-9][0-9]* of [1-9][0-9]* tokens of room' said
expect "and why not more was known" grep -q 'message 2 stands without its thought now' said

# ---- longer than the context
say 'My name is Ada.' 'And what is 2 + 3?' 'Translate red to German.' 'What is 17 + 25?'
check "a context that is too small" 1 quietly chat --no-think --ctx 64 -n 8 <typed
expect "refused, with what would help" grep -q 'qwren: the prompt has [0-9]* tokens.*--overflow drop-oldest-turns' said
timeout 120 "$QWREN" chat -m "$NANO" --greedy -n 8 --no-think --ctx 64 --overflow drop-oldest-turns <typed >out 2>said
expect "the oldest turns go: $(cat said)" [ "$(grep -c . out)" -ge 4 ]
expect "and that is told" grep -q '^qwren: the oldest messages were left out, [1-9][0-9]* of them' said
timeout 120 "$QWREN" run -m "$NANO" --greedy --no-think --ctx 64 -n 120 --no-loop-guard --logit-bias "$(printf '<|im_end|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] '):-1000" --overflow shift 'Tell me a story.' >out 2>said
expect "an answer goes on when the context is full: $(cat said)" grep -q '^qwren: [1-9][0-9]* tokens were forgotten' said

say "/image $QW_MODELS/demo/shapes.png" 'What is in the picture?'
check "a picture" 0 quietly chat --no-think <typed
timeout 60 "$QWREN" run -q -m "$NANO" --greedy -n 24 --no-think --image "$QW_MODELS/demo/shapes.png" 'What is in the picture?' >once
expect "as run answers it" cmp out once
say '/system You are terse.' 'Hello'
check "the command /system" 0 quietly chat --no-think <typed
timeout 60 "$QWREN" run -q -m "$NANO" --greedy -n 24 --no-think --system 'You are terse.' Hello >once
expect "as run answers it" cmp out once
say '/help'
check "the command /help" 0 quietly chat <typed
for command in image think system result stats reset help quit; do expect "/help names /$command" grep -q "^/$command " said; done
expect "on stderr" [ ! -s out ]

# ---- mistakes: told, gone on, status 1 at the end
for line in '/bogus' '/image' '/image missing.png' '/image typed' '/think maybe' '/reset now' '/result 5'; do
    say "$line" 'What is 17 + 25?'
    check "mistake $line" 1 quietly chat --no-think <typed
    expect "$line: told once" [ "$(grep -c '^qwren: ' said)" -eq 1 ]
    expect "$line: the conversation goes on" cmp out answer
done
printf 'a\377b\nWhat is 17 + 25?\n' >typed
chat --no-think <typed >out 2>said
expect "ill-formed UTF-8 is status 1" [ $? -eq 1 ]
expect "and told" grep -q 'UTF-8' said
expect "and forgotten" cmp out answer
long=$(awk 'BEGIN { for (i = 0; i < 3000; i++) printf "word " }')
say "/image $QW_MODELS/demo/shapes.png" "$long" 'What is 17 + 25?'
chat --no-think --ctx 256 <typed >out 2>said
expect "a message over the context is status 1" [ $? -eq 1 ]
expect "and told: $(cat said)" grep -q '^qwren: .*context' said
refute "a new conversation would not help" grep -q '/reset' said
expect "and forgotten" cmp out answer
expect "with its picture, which is told" grep -q 'forgotten with its pictures' said
say 'What is 17 + 25?' "$long"
chat --no-think --ctx 256 <typed >out 2>said
expect "a later one is status 1" [ $? -eq 1 ]
expect "and there a new one may help: $(cat said)" grep -q 'context.*; /reset begins a new conversation' said
check "a line without an end" 1 quietly chat </dev/zero
expect "is too long: $(cat err)" grep -q 'longer than the limit' err
without_end() { yes 'a long line that goes on\' | quietly chat; }
check "a message without an end" 1 without_end
expect "as well: $(cat err)" grep -q 'longer than the limit' err
check "no input at all" 0 quietly chat </dev/null
expect "nothing is said" [ ! -s out ]
finish
