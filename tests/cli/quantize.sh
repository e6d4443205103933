# qwren quantize: the plan, the work, broken off and gone on with; what is refused.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
TINY=$QW_TEST_DATA/text/tiny-c/hf
quick="--calibrate none"
field() { sed "s/.*\"$1\": \([0-9.]*\).*/\1/" "$2"; }
sum() { (cd "$1" && find . -type f | LC_ALL=C sort | xargs cat | cksum); }

# Before any work.
check "recipes" 0 "$QWREN" quantize --list-recipes
for recipe in 6bit 6bit-plain 5bit 4bit 8bit auto; do expect "the list has $recipe" grep -q "^$recipe  *[A-Z0-9]" out; done
check "a plan" 0 "$QWREN" quantize --dry-run "$NANO"
expect "a line for a matrix" grep -q '^layers.0.mlp.up_proj.weight .* 6 bits / 64 ' out
expect "and one for what is kept" grep -q '^norm.weight  *small  *256  *BF16  *512$' out
expect "its total" grep -q '^recipe  *6bit, [0-9.]* bits per weight' out
check "a plan as JSON" 0 "$QWREN" quantize --dry-run --json --recipe 6bit-plain "$NANO"
expect "one line" [ "$(wc -l <out)" -eq 1 ]
sed 's/, "tensors": .*//' out >plan
check "a bundled model's plan" 0 "$QWREN" quantize --dry-run --bits 4 qwren-nano dst
expect "with the width that was asked for" grep -q '^layers.0.mlp.up_proj.weight .* 4 bits ' out
check "auto cannot be told" 1 "$QWREN" quantize --dry-run --bpw 5 "$NANO"
expect "nothing was written: $(ls)" [ ! -e dst ]

# The work.
check "plain codes" 0 "$QWREN" quantize --recipe 6bit-plain "$NANO" plain
for word in '^made  *plain in ' '^recipe  *6bit-plain, ' '^weights  *[0-9.]* MB of 14.0 MB' '^  attention.q  *1  6 bits  error ' '^  small  *[0-9]*  kept' 'qwren chat -m plain$'; do
    expect "the summary has $word" grep -q "$word" out
done
for file in config.json model.safetensors model.safetensors.index.json tokenizer.json tokenizer_config.json chat_template.jinja generation_config.json \
    preprocessor_config.json mtp/config.json mtp/model.safetensors qwren/recipe.json qwren/check.safetensors; do
    expect "plain has $file" [ -s "plain/$file" ]
done
expect "nothing else: $(find plain -type f)" [ "$(find plain -type f | grep -vc 'qwren/vocabulary')" -eq 12 ]
expect "the plan's bytes are the files', but for headers" \
    [ "$(cat plain/model.safetensors plain/mtp/model.safetensors | wc -c)" -ge "$(field bytes plan)" ]
expect "the plan's bytes are the files', but for headers" \
    [ "$(cat plain/model.safetensors plain/mtp/model.safetensors | wc -c)" -lt $(($(field bytes plan) + 40000)) ]
check "it loads" 0 "$QWREN" inspect plain
check "it answers" 0 "$QWREN" run -q -m plain -t 1 --greedy --no-think -n 4 Hello
expect "something" [ -s out ]
# shellcheck disable=SC2086
check "with JSON at the end" 0 "$QWREN" quantize --json $quick --bits 4 --group 32 "$TINY" tiny/
expect "one line" [ "$(wc -l <out)" -eq 1 ]
expect "the folder" grep -q '"path": "tiny/", "recipe": "' out
check "the tiny one loads" 0 "$QWREN" inspect tiny
mkdir empty
# shellcheck disable=SC2086
check "into an empty folder" 0 "$QWREN" quantize $quick --bits 4 --group 32 "$TINY" empty
expect "the same bytes" [ "$(sum empty)" = "$(sum tiny)" ]

# Refused, with nothing left behind.
refused() { # what, exit status, word of the sentence, arguments
    what=$1 status=$2 word=$3
    shift 3
    check "$what" "$status" "$QWREN" quantize "$@"
    expect "$what: the sentence has '$word': $(cat err)" grep -q -- "$word" err
    expect "$what: nothing on stdout" [ ! -s out ]
}
refused "no words" 2 "SRC and DST"
refused "no DST" 2 "DST is missing" "$NANO"
refused "three words" 2 "" "$NANO" a b
refused "no SRC" 1 "no-such-model" no-such-model dst
refused "SRC is a file" 1 "config.json" "$NANO/config.json" dst
refused "DST = SRC" 1 "source itself" "$TINY" "$TINY"
refused "DST in SRC" 1 "lies in the source" "$TINY" "$TINY/out"
refused "no parent" 1 "no folder" "$TINY" no/such/dst
refused "an unknown recipe" 1 "6bit-plain" --recipe 7bit "$TINY" dst
refused "bits 7" 2 "2|3|4|5|6|8" --bits 7 "$TINY" dst
refused "group 48" 2 "32|64|128" --group 48 "$TINY" dst
refused "auto without a number" 2 "--bpw" --recipe auto "$TINY" dst
refused "auto with a body" 2 "by itself" --bpw 5 --bits 4 "$TINY" dst
refused "auto with a group" 2 "by itself" --recipe auto --bpw 5 --group 32 "$TINY" dst
refused "a number with another recipe" 2 "auto alone" --recipe 4bit --bpw 5 "$TINY" dst
refused "no such calibration" 1 "nowhere.jsonl" --calibrate nowhere.jsonl "$TINY" dst
refused "a quantised source" 1 "is in the layout of MLX" plain dst
refused "DST is there" 1 "--force" --recipe 6bit-plain "$NANO" plain
mkdir mine && echo mine >mine/mine
refused "DST is somebody else's" 1 "not made by qwren" --force --recipe 6bit-plain "$TINY" mine
expect "and stays as it was" [ "$(cat mine/mine)" = mine ]
echo mine >file
refused "DST is a file" 1 "no folder" --force --recipe 6bit-plain "$TINY" file
if [ "$(id -u)" -ne 0 ]; then # nothing is forbidden to root
    mkdir locked && chmod 555 locked
    refused "an unwritable folder" 1 "cannot be made" --recipe 6bit-plain "$TINY" locked/dst
fi
expect "nothing is left: $(ls)" [ ! -e dst -a ! -e dst.partial -a ! -e mine.partial -a ! -e plain.partial ]

copy_model source && echo hello >source/README.md && mkdir source/notes && echo tool >source/.gitattributes
check "a source with other files" 0 "$QWREN" quantize --recipe 6bit-plain source other
expect "they are named" grep -q '^left .*: README.md, notes$' out
expect "and left" [ ! -e other/README.md -a ! -e other/notes -a ! -e other/.gitattributes ]
expect "and recorded" grep -q '"left": \["README.md", "notes"\]' other/qwren/recipe.json
for file in model.safetensors config.json mtp/model.safetensors; do expect "the same $file" cmp "other/$file" "plain/$file"; done

before=$(sum plain)
check "--force replaces" 0 "$QWREN" quantize --force --recipe 6bit-plain "$NANO" plain
expect "with the same bytes" [ "$(sum plain)" = "$before" ]

# A disk that is full: told, and gone on with when there is room.
(
    ulimit -f 100 # in blocks of 512 or 1024 bytes
    "$QWREN" quantize --recipe 6bit-plain "$NANO" full >out 2>err
    echo $? >status
)
expect "a full disk is an error: $(cat status)" [ "$(cat status)" = 1 ]
expect "that names the file: $(cat err)" grep -q '^qwren: full.partial/model.safetensors: cannot be written: ' err

# Ctrl-C, again and again: it goes on, and the bytes are those of a run that was left alone. It has to last some seconds.
tokens=32 seconds=0
while [ "$seconds" -lt 2 ] && [ $tokens -lt 100000 ]; do
    tokens=$((tokens * 2))
    slow="--calibrate-tokens $tokens --recipe 4bit --force"
    # shellcheck disable=SC2086
    check "left alone" 0 "$QWREN" quantize -t 1 $slow "$TINY" whole
    seconds=$(sed -n 's/^made .* in \([0-9]*\) s$/\1/p' out)
done
expect "no bar in a pipe" [ "$(grep -c 'weights \[' out)" = 0 ]
if [ "$seconds" -ge 2 ] && script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    timeout 600 script -qec "'$QWREN' quantize -t 1 $slow '$TINY' shown" /dev/null >raw </dev/null
    expect "a bar on a terminal" grep -q 'weights \[[#.]*\]' raw
    expect "that is gone at the end" [ "$(plain raw | tail -1 | cut -c1-8)" = "try it  " ]
    expect "the same bytes" [ "$(sum shown)" = "$(sum whole)" ]
fi
# Each try has more time than the one before. One that ends before it was ever stopped is begun anew with half the time, so a machine that
# becomes faster changes nothing.
written() { cat broken.partial/qwren-journal 2>/dev/null | wc -c; }
interrupted() { # milliseconds; true when it came to its end. --foreground: one signal, a second would end it on the spot
    before=$(written)
    # shellcheck disable=SC2086
    timeout --foreground --preserve-status -s INT "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" "$QWREN" quantize -t 1 $slow "$TINY" broken >out 2>err
    status=$?
    [ $status -eq 0 ]
}
tries=0 stopped=0 patience=$((seconds * 300 + 100))
while interrupted $patience && [ $stopped -eq 0 ] && [ $tries -lt 12 ] || [ $status -eq 130 ] && [ $tries -lt 60 ]; do
    tries=$((tries + 1))
    if [ $status -eq 0 ]; then
        rm -rf broken
        patience=$((patience / 2))
        continue
    fi
    stopped=$((stopped + 1))
    expect "no model yet" [ ! -e broken -a ! -e broken.partial/config.json ]
    # a try that is stopped before it has begun to work says nothing
    if [ "$(written)" -gt "$before" ]; then expect "how to go on is told: $(cat err)" grep -q 'the same command goes on from there' err; fi
    patience=$((patience + patience / 3))
done
expect "it came to its end: $status" [ $status -eq 0 ]
expect "it was stopped" [ $stopped -gt 0 ]
expect "the same bytes" [ "$(sum broken)" = "$(sum whole)" ]
finish
