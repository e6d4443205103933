# qwren logits and preprocess: .npy files of the right shape, whole or not there.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
PICTURE=$QW_MODELS/demo/shapes.png
vocab=$("$QWREN" inspect --json "$NANO" | sed 's/.*"vocab_size": \([0-9]*\).*/\1/')
header() { head -c 128 "$1" | tail -c +11; }
magic() { head -c 10 "$1" | od -An -tx1 | tr -d ' \n'; }
size_is() { [ "$(wc -c <"$1")" -eq $((128 + 4 * $2)) ]; }

printf 'What is 17 + 25?' | "$QWREN" tokenize -m "$NANO" >ids.json
n=$(($(tr -cd , <ids.json | wc -c) + 1))
check "logits" 0 "$QWREN" logits -m "$NANO" --ids ids.json -o logits.npy
expect "nothing on stdout" [ ! -s out ]
expect "magic and version" [ "$(magic logits.npy)" = 934e554d505901007600 ]
expect "shape: $(header logits.npy)" [ "$(header logits.npy | tr -d ' \n')" = "{'descr':'<f4','fortran_order':False,'shape':($n,$vocab),}" ]
expect "size" size_is logits.npy $((n * vocab))
cp logits.npy first.npy
check "again, from standard input, one thread" 0 "$QWREN" logits -m "$NANO" --ids - -t 1 -o logits.npy <ids.json
expect "the same bytes" cmp logits.npy first.npy
expect "nothing else is left" [ "$(ls | grep -c npy)" -eq 2 ]

check "to standard output" 0 "$QWREN" logits -m "$NANO" --ids ids.json -o -
expect "the same bytes there" cmp out first.npy
refute "no file is named -" [ -e ./- ]

check "preprocess" 0 "$QWREN" preprocess -m "$NANO" "$PICTURE" -o patches.npy
expect "the grid: $(cat out)" grep -Eq '^\{"grid_thw": \[1, [0-9]+, [0-9]+\]\}$' out
high=$(sed 's/.*\[1, \([0-9]*\),.*/\1/' out) wide=$(sed 's/.*, \([0-9]*\)\]}/\1/' out)
rows=$((high * wide))
row_len=$(header patches.npy | sed "s/.*'shape': ([0-9]*, \([0-9]*\)).*/\1/")
expect "shape: $(header patches.npy)" [ "$(header patches.npy | sed "s/.*'shape': (\([0-9]*\),.*/\1/")" -eq "$rows" ]
expect "size" size_is patches.npy $((rows * row_len))

"$QWREN" preprocess -m "$NANO" "$PICTURE" -o - >out 2>err
expect "preprocess to standard output" cmp out patches.npy
expect "the grid elsewhere: $(cat err)" grep -Eq '^\{"grid_thw": \[1, [0-9]+, [0-9]+\]\}$' err
check "a full disk behind it" 1 sh -c '"$0" preprocess -m "$1" "$2" -o - >/dev/full' "$QWREN" "$NANO" "$PICTURE"

# A picture among the ids: one pad token becomes as many rows as the picture has tokens.
merge=$("$QWREN" inspect --json "$NANO" | sed 's/.*"merge_size": \([0-9]*\).*/\1/')
printf '<|vision_start|><|image_pad|><|vision_end|>What?' | "$QWREN" tokenize -m "$NANO" >ids.json
n=$(($(tr -cd , <ids.json | wc -c) + rows / (merge * merge)))
check "logits with a picture" 0 "$QWREN" logits -m "$NANO" --ids ids.json --image "$PICTURE" -o logits.npy
expect "rows: $(header logits.npy)" size_is logits.npy $((n * vocab))
rm logits.npy
check "a pad without a picture" 1 "$QWREN" logits -m "$NANO" --ids ids.json -o logits.npy
check "a picture without a pad" 1 "$QWREN" logits -m "$NANO" --ids ids.json --image "$PICTURE" --image "$PICTURE" -o logits.npy
echo "[$vocab]" >ids.json
check "an id outside the vocabulary" 1 "$QWREN" logits -m "$NANO" --ids ids.json -o logits.npy
expect "nothing was written" [ ! -e logits.npy ]

# A weight that is no number: rows of NaN are no result.
copy_model damaged
size=$(wc -c <damaged/model.safetensors)
printf '\377\377' | dd of=damaged/model.safetensors bs=1 seek=$((size / 2 + size / 2 % 2)) conv=notrunc 2>/dev/null
rm -f logits.npy
echo "[1, 2]" >ids.json
check "logits that are not finite" 1 "$QWREN" logits -m damaged --ids ids.json -o logits.npy
expect "are told: $(cat err)" grep -q "damaged: the model's numbers are not finite" err
refute "nothing is written" [ -e logits.npy ]
finish
