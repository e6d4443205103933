# qwren doctor: healthy models, and models that were damaged on purpose: the damage is named by tensor.
. "$(dirname "$0")/_lib.sh"

bare=$QW_TEST_DATA/mlx/tiny-b-mixed # has no tokenizer
mixed=whole
gate=layers.1.mlp.gate_proj # 5 bits in groups of 64

# A copy of the MLX model that may be damaged.
copy_mixed() {
    rm -rf "$1"
    mkdir -p "$1" && cp -RL "$bare/." "$1/" && chmod -R u+w "$1"
    cp "$QW_TEST_DATA"/text/tiny-b/hf/tokenizer* "$1/" && chmod -R u+w "$1"
}
copy_mixed whole
doctor() { # name, exit status, command line
    check "$@"
    [ "$2" -eq 0 ] || expect "$1: what stderr says" grep -q 'is not healthy: [0-9]* finding' err
}
# A tensor's bytes in FILE: prints where they begin.
begin_of() { # file, tensor
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    at=$(head -c $((8 + n)) "$1" | tail -c +9 | grep -ao "\"$2\": *{[^}]*}" | sed 's/.*"data_offsets": *\[\([0-9]*\),.*/\1/')
    echo $((8 + n + at))
}
overwrite() { # file, offset, bytes as for printf
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# ---- healthy
doctor "the bundled model" 0 "$QWREN" doctor "$NANO"
for row in '^files *good' '^shapes *good' '^tokenizer *good' '^values *good' '^records *skipped' '^reference *good' '^memory *good' '^memory needed .*with 4096 tokens' \
    '^expected .* tokens/s for a prompt of 512, ' '^healthy$'; do
    expect "a row $row" grep -q "$row" out
done
refute "no findings" grep -q '^findings' out
doctor "codes of many widths" 0 "$QWREN" doctor -m "$mixed"
expect "the speed of each format" grep -q 'AFFINE3/64: ' out
doctor "a GGUF file" 0 "$QWREN" doctor "$QW_TEST_DATA/gguf/tiny-b-mixed.gguf"
expect "its header" grep -q '^shapes *good .*the GGUF header' out
expect "the speed of its blocks" grep -q 'Q5_K: ' out
doctor "as JSON" 0 "$QWREN" doctor --json "$mixed"
expect "one line" [ "$(wc -l <out)" -eq 1 ]
for field in '"healthy": true' '"findings": \[\]' '"reference": null' '"decode_tokens_per_s": [1-9]' '"prefill_tokens_per_s": [1-9]' '"n_ctx": 4096'; do
    expect "field $field" grep -q "$field" out
done

doctor "estimate" 0 "$QWREN" doctor --estimate-only -t 1 "$mixed"
expect "memory" grep -q '^memory needed ' out
expect "speed" grep -q '^expected .* 1 threads' out
refute "no weight was looked at" grep -q '^values' out

# ---- what cannot be examined at all
check "no such model" 1 "$QWREN" doctor /no/model
expect "named" grep -q '/no/model' err
check "no file and no folder" 1 "$QWREN" doctor /dev/null
expect "is said" grep -q '/dev/null: is no regular file or folder' err
check "two models" 2 "$QWREN" doctor -m "$NANO" "$mixed"

# ---- scales that are no number: the tensor, then the layer that it spoils
copy_mixed nan
overwrite nan/model.safetensors "$(begin_of nan/model.safetensors "language_model.model.$gate.scales")" '\377\177'
doctor "NaN in scales" 1 "$QWREN" doctor nan
expect "the tensor" grep -q "values .*tensor language_model.model.$gate.weight holds 64 values that are not a number .* row 0, column 0" out
expect "the layer" grep -q "reference .*layer 1 is the first step whose numbers are not finite; .* is $gate.weight" out
expect "in a word" grep -q '^not healthy$' out

# ---- bits in config.json that the shapes contradict, or that are said of a tensor without codes: each by name, with what both say
copy_mixed bits
sed -i '/"quantization"/,/"quantization_config"/s/"bits": 5/"bits": 4/' bits/config.json
sed -i 's/"quantization": {/"quantization": { "language_model.model.layers.0.linear_attn.in_proj_a": {"group_size": 64, "bits": 6},/' bits/config.json
doctor "swapped bits" 1 "$QWREN" doctor bits
expect "named" grep -q "shapes .*tensor language_model.model.$gate.weight has 5 bits in groups of 64 by its shape, but config.json says 4 bits" out
expect "the other too" grep -q 'shapes .*tensor language_model.model.layers.0.linear_attn.in_proj_a.weight is BF16 without scales, but config.json says 6 bits in groups of 64' out
expect "and no other" grep -q '^findings (2)$' out
expect "nothing is computed with it" grep -q '^reference *skipped' out
copy_mixed all
sed -i '0,/"bits": 6/s//"bits": 4/' all/config.json
doctor "swapped default bits" 1 "$QWREN" doctor --json all
found=$(grep -o '"check": "shapes"' out | wc -l)
expect "all that follow the default are named: $found" [ "$found" -gt 10 ]
expect "by field" grep -q '"check": "shapes", "tensor": "layers.2.mlp.up_proj.weight", "text": "' out
expect "speed is told all the same" grep -q '"decode_tokens_per_s": [1-9]' out

# ---- a shape that contradicts, and a matrix of nothing but zeros
copy_mixed shape
sed -i "s/\(\"language_model.model.$gate.weight\": *{[^}]*\"shape\": *\[\)256,40\]/\1128,80]/" shape/model.safetensors
refute "the copy differs" cmp shape/model.safetensors "$mixed/model.safetensors"
for part in scales biases; do
    dd if=/dev/zero of=shape/model.safetensors bs=1 seek="$(begin_of shape/model.safetensors "language_model.model.layers.1.mlp.up_proj.$part")" count=2048 conv=notrunc 2>/dev/null
done
doctor "a shape that contradicts" 1 "$QWREN" doctor shape
expect "named" grep -q "shapes .*tensor language_model.model.$gate.weight is U32 \[128, 80\]; .* 256 rows" out
expect "zeros" grep -q 'values .*tensor language_model.model.layers.1.mlp.up_proj.weight holds nothing but zeros' out
copy_model lying && sed -i 's/"intermediate_size": *[0-9]*/"intermediate_size": 32/' lying/config.json
doctor "a config that contradicts" 1 "$QWREN" doctor --json lying
expect "every MLP is named" [ "$(grep -o '"tensor": "layers\.[0-9]*\.mlp\.[a-z]*_proj.weight"' out | wc -l)" -ge 9 ]

# ---- files that cannot be read: told as findings
copy_mixed cut && head -c 100000 "$mixed/model.safetensors" >cut/model.safetensors
doctor "a file that was cut off" 1 "$QWREN" doctor cut
expect "named" grep -q 'files .*model.safetensors' out
copy_model lacks && rm lacks/config.json
doctor "no config" 1 "$QWREN" doctor lacks
expect "named" grep -q 'files .*config.json' out
copy_model words && echo '{}' >words/tokenizer.json
doctor "a damaged tokenizer" 1 "$QWREN" doctor words
expect "named" grep -q 'tokenizer .*tokenizer.json' out

copy_mixed plain && rm plain/tokenizer.json
doctor "no tokenizer" 1 "$QWREN" doctor plain
expect "named" grep -q 'tokenizer .*tokenizer.json is missing' out
copy_model silent && rm silent/chat_template.jinja silent/preprocessor_config.json
sed -i '/"chat_template"/d' silent/tokenizer_config.json
doctor "no template, no sizes of pictures" 0 "$QWREN" doctor silent
expect "one note" grep -q 'note: there is no chat template' out
expect "and another" grep -q 'note: picture sizes are not stated (preprocessor_config.json), assumed 65536..16777216 pixels' out
copy_mixed head && mkdir head/mtp && cp head/model.safetensors head/mtp/ && : >head/mtp/config.json && echo '{}' >head/mtp/config.json
rm head/mtp/model.safetensors
doctor "a folder for a draft head, without one" 1 "$QWREN" doctor head
expect "named" grep -q 'files .*the folder mtp holds no draft head' out
"$QWREN" inspect head >out 2>err
expect "as a warning: $(cat err)" grep -q 'head/mtp: holds no draft head' err

# ---- a part that is half there
halve() { # from, tensor: as if the file did not have it
    sed -i "s/\"$2\"/\"$(echo "$2" | sed 's/./x/g')\"/" "$1/model.safetensors"
}
for gone in model.visual.patch_embed.proj.weight mtp.fc.weight; do
    copy_model half && halve half $gone
    check "half a part" 1 "$QWREN" inspect half
    expect "the first that is missing is named: $(cat err)" grep -q "no tensor ${gone#model.}" err
done

# ---- records: what quantize wrote down about a tensor
copy_mixed recorded
mkdir recorded/qwren
record() { # checksum, bits, rms
    printf '{"recipe": "6bit", "tensors": {"%s.weight": {"class": "mlp.gate", "bits": %s, "group": 64, "rms": %s, "error": 0.1, "xxh64": "%s"}}}\n' "$gate" "$2" "$3" "$1" >recorded/qwren/recipe.json
}
record 0000000000000000 5 1
"$QWREN" doctor recorded >out 2>err
sum=$(sed -n 's/.*its checksum is \([0-9a-f]*\),.*/\1/p' out)
rms=$(sed -n 's/.*root mean square \([0-9.e-]*\);.*/\1/p' out)
expect "checksum and size are told" [ -n "$sum" -a -n "$rms" ]
expect "the missing vectors too" grep -q 'reference .*check.safetensors is missing' out
record "$sum" 5 "$rms"
"$QWREN" doctor recorded >out 2>err
expect "only these are left" [ "$(grep -c 'check.safetensors is missing' out)" -eq 1 -a "$(grep -c '^findings (1)' out)" -eq 1 ]
expect "records are good" grep -q '^records *good *1 tensors' out
at=$(begin_of recorded/model.safetensors "language_model.model.$gate.weight")
old=$(od -An -tu1 -j $((at + 1000)) -N1 recorded/model.safetensors | tr -d ' ')
overwrite recorded/model.safetensors $((at + 1000)) "\\$(printf %03o $((old ^ 16)))"
doctor "one flipped bit in the codes" 1 "$QWREN" doctor recorded
expect "named" grep -q "records .*tensor language_model.model.$gate.weight is not as qwren quantize wrote it" out
record "$sum" 6 "$rms"
sed -i 's/"tensors": {/&"layers.9.mlp.up_proj.weight": {"bits": 6}, /' recorded/qwren/recipe.json
echo 'no safetensors' >recorded/qwren/check.safetensors
doctor "records of something else" 1 "$QWREN" doctor recorded
expect "other bits than were written" grep -q "records .*tensor language_model.model.$gate.weight has 5 bits in groups of 64, qwren/recipe.json says 6" out
expect "a tensor that is gone" grep -q 'records .*layers.9.mlp.up_proj.weight' out
expect "damaged vectors" grep -q 'reference .*check.safetensors' out
echo '[' >recorded/qwren/recipe.json
doctor "damaged records" 1 "$QWREN" doctor recorded
expect "named" grep -q 'files .*recipe.json' out

# ---- what quantize really writes: healthy, and then with one byte of one tensor flipped
check "quantize" 0 "$QWREN" quantize -q --calibrate none --bits 4 --group 32 "$QW_TEST_DATA/text/tiny-c/hf" made
doctor "a model as quantize makes it" 0 "$QWREN" doctor made
for row in '^records *good *[1-9][0-9]* tensors' '^reference *good .*against the vectors of qwren/check.safetensors' '^healthy$'; do
    expect "a row $row" grep -q "$row" out
done
up=layers.1.mlp.up_proj
at=$(begin_of made/model.safetensors "language_model.model.$up.weight")
old=$(od -An -tu1 -j $((at + 100)) -N1 made/model.safetensors | tr -d ' ')
overwrite made/model.safetensors $((at + 100)) "\\$(printf %03o $((old ^ 255)))"
doctor "one flipped byte in it" 1 "$QWREN" doctor made
expect "the tensor" grep -q "records .*tensor language_model.model.$up.weight is not as qwren quantize wrote it" out
expect "the layer" grep -q "reference .*layer 1 is the first step that differs .* is $up.weight" out
expect "and no other: $(cat out)" grep -q '^findings (2)$' out
finish
