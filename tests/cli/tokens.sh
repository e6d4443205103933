# qwren tokenize and detokenize with the bundled tokenizer.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
tokenize() { "$QWREN" tokenize -m "$NANO" "$@"; }
detokenize() { "$QWREN" detokenize -m "$NANO" "$@"; }

printf 'Grüße, 世界 👩‍👧!\n\n  17 + 25 = 42\tنعم <think>' >text
check tokenize 0 tokenize text
expect "a JSON array of numbers" grep -Eq '^\[[0-9]+(, [0-9]+)*\]$' out
cp out ids
check "the way back" 0 detokenize ids
expect "text -> ids -> text is the same bytes" cmp out text
tr -d '[]' <ids >numbers
check "numbers without brackets" 0 detokenize numbers
expect "the same text" cmp out text
check "from standard input" 0 tokenize <text
expect "the same ids" cmp out ids

count() { tr -cd , | wc -c; } # one less than there are ids
printf '<|im_end|>' >special
expect "a special token is one id" [ "$(tokenize special | count)" -eq 0 ]
expect "--no-special: plain text" [ "$(tokenize --no-special special | count)" -gt 2 ]
printf '<think>' >added
expect "--no-special: an added token that is not special still matches" [ "$(tokenize --no-special added | count)" -eq 0 ]
expect "--no-added: not even that" [ "$(tokenize --no-added added | count)" -gt 0 ]
expect "--skip-special" [ -z "$(tokenize special | detokenize --skip-special)" ]
expect "without it the token is spelled" [ "$(tokenize special | detokenize)" = '<|im_end|>' ]
expect "nothing in, nothing out" [ "$(printf '' | tokenize)" = '[]' ]
expect "nothing back" [ -z "$(echo '[]' | detokenize)" ]

printf '%s\n' '{"text": "<|im_end|>", "mode": "all"}' '{"text": "<|im_end|>", "mode": "none"}' '{"text": "Gr\u00fc\u00dfe"}' >lines
check "lines" 0 tokenize --jsonl lines
expect "three lines of ids" [ "$(grep -c '^{"ids": \[[0-9, ]*\]}$' out)" -eq 3 ]
expect "modes differ" [ "$(sed -n 1p out)" != "$(sed -n 2p out)" ]
cp out ids.jsonl
check =tokens-back 0 detokenize --jsonl ids.jsonl
printf '%s\n' '{"text": 1}' '{"text": "a", "mode": "some"}' '{"text": "\ud800"}' '{' '{"text": "b"}' >lines
check "broken lines" 1 tokenize --jsonl lines
expect "four errors and an answer" [ "$(grep -c '^{"error": ' out)$(tail -1 out | grep -c ids)" = 41 ]

printf 'a\377b' >bad
tokenize bad >out 2>err
expect "ill-formed text is answered" [ $? -eq 0 ]
expect "with a notice" grep -q '^qwren: .*UTF-8' err
check "and silently with -q" 0 tokenize -q bad
expect "as U+FFFD" [ "$(tokenize -q bad | detokenize)" = 'a�b' ]

for ids in '[1, 2' '[1, "a"]' '[-1]' '[1.5]' '[99999999]' '[3000000000]' '{}' 'one two' '1 2 x'; do
    echo "$ids" >broken
    check "ids $ids" 1 detokenize broken
    expect "no text" [ ! -s out ]
done
mkdir tokenizer_only
cp "$NANO/tokenizer.json" tokenizer_only/
check "a folder that holds only a tokenizer" 0 "$QWREN" tokenize -m tokenizer_only text
expect "the same ids" cmp out ids
finish
