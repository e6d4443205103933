# A GGUF file instead of a folder, in every verb that takes a model. The model is small and random; its vocabulary is also there as tokenizer.json.
. "$(dirname "$0")/_lib.sh"

data=$QW_TEST_DATA/gguf
[ -f "$data/small/model.gguf" ] || failed "no model in $data/small"
mkdir both alone
cp "$data/small/model.gguf" "$data/small/mmproj-model.gguf" both/
cp "$data/small/model.gguf" alone/
MODEL=$work/both/model.gguf
PICTURE=$QW_MODELS/demo/shapes.png

# ---- text
grep '"text"' "$QW_TEST_DATA/tokenizer/cases.jsonl" | sed 's/"mode": "some"/"mode": "no_special"/' >texts
check "texts by tokenizer.json" 0 "$QWREN" tokenize -m "$data/small-json" --jsonl texts
cp out by_json
check "by the file's lists" 0 "$QWREN" tokenize -m "$MODEL" --jsonl texts
expect "$(wc -l <texts) texts have the same ids" cmp out by_json
check "by the folder" 0 "$QWREN" tokenize -m both --jsonl texts
expect "the same" cmp out by_json
cp by_json ids
check "the way back" 0 "$QWREN" detokenize -m "$MODEL" --jsonl ids
cp out texts_back
check "by tokenizer.json" 0 "$QWREN" detokenize -m "$data/small-json" --jsonl ids
expect "the same texts" cmp out texts_back
printf '{"messages": [{"role": "user", "content": "Hello"}]}' >request
check "a prompt" 0 "$QWREN" template -m "$MODEL" request
cp out prompt
check "the bundled model's, whose template it has" 0 "$QWREN" template -m "$NANO" request
expect "is the same" cmp out prompt

# ---- answers
check "an answer" 0 "$QWREN" run -q -m "$MODEL" --greedy --no-think -n 4 --json Hello
cp out answer
expect "four tokens: $(cat out)" grep -q '"completion_tokens": 4[,}]' out
check "the folder's" 0 "$QWREN" run -q -m both --greedy --no-think -n 4 --json Hello
expect "is the same" cmp out answer
check "by \$QWREN_MODEL" 0 env QWREN_MODEL="$MODEL" "$QWREN" run -q --greedy --no-think -n 4 --json Hello
expect "is the same" cmp out answer
(cd both && "$QWREN" run -q -m model.gguf --greedy --no-think -n 4 --json Hello) >out 2>err
expect "by a name without a slash" cmp out answer
check "by a request" 0 "$QWREN" run -q -m "$MODEL" --greedy --no-think -n 4 --json --request request
expect "is the same" cmp out answer
echo '[1, 2, 3]' >ids.json
check "logits" 0 "$QWREN" logits -m "$MODEL" --ids ids.json -o logits.npy
expect "three rows of 640" [ "$(wc -c <logits.npy)" -eq $((128 + 3 * 640 * 4)) ]

# ---- pictures
picture() { "$QWREN" run -q --greedy --no-think -n 4 --json --image "$PICTURE" "$@" "What is this?"; }
check "a picture: the tower lies beside the model" 0 picture -m "$MODEL"
cp out seen
check "the tower by name" 0 picture -m alone/model.gguf --mmproj both/mmproj-model.gguf
expect "sees the same" cmp out seen
check "a file that is no tower" 1 picture -m alone/model.gguf --mmproj "$MODEL"
expect "is named: $(cat err)" grep -q 'model.gguf' err
check "a tower that is not there" 1 picture -m "$MODEL" --mmproj no-tower.gguf
expect "is named" grep -q 'no-tower.gguf' err
check "no tower" 1 picture -m alone
check "no tower, although there is one" 1 picture -m both --mmproj none
check "a tower for a folder of Hugging Face" 1 "$QWREN" run -q -m "$NANO" --mmproj both/mmproj-model.gguf x
check "patches" 0 "$QWREN" preprocess -m "$MODEL" "$PICTURE" -o patches.npy

# ---- what it is
check "inspect" 0 "$QWREN" inspect "$MODEL" --json
expect "the path: $(cat out)" grep -q "\"path\": \"$MODEL\"" out
expect "a tower" grep -q '"has_vision": true\|"vision": {' out
check "inspect without the tower" 0 "$QWREN" inspect --mmproj none "$MODEL" --json

cp both/mmproj-model.gguf both/mmproj-b.gguf
check "inspect a tower, beside another" 1 "$QWREN" inspect both/mmproj-b.gguf
expect "is told what it is: $(cat err)" grep -q 'mmproj-b.gguf: is the image tower of a model; give the path of the model' err
rm both/mmproj-b.gguf
mkdir empty.gguf
check "an empty folder" 1 "$QWREN" inspect empty.gguf
expect "what is missing: $(cat err)" grep -q 'empty.gguf: has neither config.json nor a .gguf file' err
mkfifo pipe.gguf
for path in pipe.gguf /dev/null; do
    check "no regular file: $path" 1 "$QWREN" inspect $path
    expect "is told: $(cat err)" grep -q "$path: is no regular file or folder" err
done

# ---- damaged files
for n in 3 1000 20000 100000; do
    head -c $n "$MODEL" >cut.gguf
    check "cut after $n bytes" 1 "$QWREN" run -q -m cut.gguf Hello
    expect "the file is named: $(cat err)" grep -q 'cut\.gguf' err
    expect "nothing on stdout" [ ! -s out ]
done
sed 's/qwen35/qwen36/' "$MODEL" >other.gguf
check "another architecture" 1 "$QWREN" inspect other.gguf
expect "is named: $(cat err)" grep -q qwen36 err
check "no such file" 1 "$QWREN" tokenize -m nothing.gguf texts
expect "is named: $(cat err)" grep -q 'nothing\.gguf' err
check "no such model" 1 "$QWREN" run -m nothing.gguf x
expect "is named as well: $(cat err)" grep -q '^qwren: nothing\.gguf: no such file' err
check "no such folder" 1 "$QWREN" run -m /no/model x
expect "what a model is, is told: $(cat err)" grep -q 'or a \.gguf file' err
check "of Hugging Face's files one" 1 "$QWREN" run -q -m "$NANO/config.json" Hello
expect "what a model is, is told: $(cat err)" grep -q 'a folder with config.json' err
finish
