# qwren inspect: the same facts as text and as JSON.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
check "as text" 0 "$QWREN" inspect "$NANO"
for word in '^text ' '^bits a weight  *16.000 (text 16.000, vision 16.000, draft head 16.000)' '^files  *Hugging Face, ' 'attention ' 'DeltaNet ' 'vocabulary ' '^vision ' '^parameters ' '^files ' '^memory of a session'; do expect "text has $word" grep -q "$word" out; done
cp out text
check "with -m" 0 "$QWREN" inspect -m "$NANO"
expect "the same" cmp out text
check "bundled" 0 env QWREN_MODEL="$NANO" "$QWREN" inspect
expect "the same" cmp out text

check "as JSON" 0 "$QWREN" inspect --json --tensors "$NANO"
expect "one line" [ "$(wc -l <out)" -eq 1 ]
field() { sed "s/.*\"$1\": \([0-9]*\).*/\1/" json; }
sed 's/, "tensors": .*//' out >json
listed=$(grep -o '"shape": \[' out | wc -l)
expect "as many tensors as are counted" [ "$listed" -eq "$(field tensor_count)" ]
check "tensors as text" 0 "$QWREN" inspect --tensors "$NANO"
expect "a line for each, under a heading" [ "$(sed '1,/^tensors$/d' out | wc -l)" -eq $((listed + 1)) ]
total=$(sed 's/.*"parameters": {"total": \([0-9]*\).*/\1/' json)
bytes=$(sed 's/.*"tensor_count": [0-9]*, "bytes": \([0-9]*\).*/\1/' json)
expect "parameters in bf16 are two bytes each" [ "$bytes" -eq $((2 * total)) ]
expect "and fit into the file" [ "$bytes" -lt "$(cat "$NANO"/*.safetensors | wc -c)" ]

memory() { "$QWREN" inspect --json --ctx "$1" "$NANO" | sed "s/.*\"$2\": \([0-9]*\).*/\1/"; }
# a model that takes 262144 tokens: what they cost, with each type of keys and values
LONG="$QW_TEST_DATA/text/tiny-a/hf"
expect "lengths" sh -c '"$0" inspect "$1" | grep -q "^  of 262144 .* as f16, .* as q8"' "$QWREN" "$LONG"
expect "and a million with YaRN" sh -c '"$0" inspect --yarn 4 "$1" | grep -q "^  of 1048576 "' "$QWREN" "$LONG"
expect "which is said" sh -c '"$0" inspect --yarn 4 "$1" | grep -q "1048576 tokens: 4 times the 262144 of the training, by YaRN"' "$QWREN" "$LONG"
expect "as JSON" sh -c '"$0" inspect --json "$1" | grep -q "\"session_bytes\": \[{\"n_ctx\": 32768, \"f16\": [0-9]*, "' "$QWREN" "$LONG"
expect "keys and values grow with the length" [ "$(memory 2000 kv_bytes)" -gt "$(memory 1000 kv_bytes)" ]
expect "states do not" [ "$(memory 2000 state_bytes)" -eq "$(memory 1000 state_bytes)" ]

# ---- codes of MLX: a matrix is one line, with its scales and biases
mixed=$QW_TEST_DATA/mlx/tiny-b-mixed
check "mixed widths" 0 "$QWREN" inspect --tensors "$mixed"
expect "the format" grep -q '^files  *MLX, ' out
for line in 'layers.1.mlp.gate_proj.weight  *text  *AFFINE5/64 .* \[256, 256\]' 'layers.1.mlp.down_proj.weight  *text  *AFFINE3/64 ' 'layers.2.mlp.gate_proj.weight  *text  *AFFINE2/32 ' \
    'embed_tokens.weight  *text  *AFFINE8/64  *8.500  *139264 ' 'in_proj_a.weight  *text  *BF16  *16.000 '; do
    expect "a line $line" grep -q "$line" out
done
refute "no line for scales" grep -q 'scales' out
refute "no line for biases" grep -q '\.biases' out
expect "no class without records" [ "$(sed '1,/^  name/d' out | grep -cv ' -  *\[')" -eq 0 ]
check "mixed widths as JSON" 0 "$QWREN" inspect --json --tensors "$mixed"
expect "width and group" grep -q 'layers.1.mlp.gate_proj.weight", "type": "AFFINE5", .*"shape": \[256, 256\], "bytes": 45056, "bits_per_weight": 5.500000, "bits": 5, "group": 64, "class": null}' out
bits=$(sed 's/.*"bits_per_weight": {"total": \([0-9.]*\).*/\1/' out)
expect "bits a weight are between 2 and 16" [ "${bits%.*}" -ge 2 -a "${bits%.*}" -lt 16 ]
expect "bits a weight are bytes by weights" [ "$(sed 's/.*"total": \([0-9]*\), "text.*"tensor_count": [0-9]*, "bytes": \([0-9]*\).*"total": '"$bits"'.*/\1 \2/' out |
    awk -v bits="$bits" '{ d = $2 * 8 / $1 - bits; print (d < 1e-5 && d > -1e-5) }')" = 1 ]

# ---- blocks of GGUF
check "a GGUF file" 0 "$QWREN" inspect --tensors "$QW_TEST_DATA/gguf/tiny-b-mixed.gguf"
expect "the format" grep -q '^files  *GGUF, ' out
for line in '^  output.weight  *text  *Q6_K  *6.562  *107520  *-  *\[512, 256\] tiny-b-mixed.gguf' '^  blk.0.attn_qkv.weight  *text  *Q5_K  *5.500 ' '^  output_norm.weight  *text  *F32  *32.000 '; do
    expect "a line $line" grep -q "$line" out
done

# ---- what qwren quantize wrote down; damage to it keeps nothing from running
copy_model recorded
mkdir recorded/qwren
echo '{"recipe": "6bit", "tensors": {"layers.0.mlp.up_proj.weight": {"class": "mlp.up", "bits": 0}}}' >recorded/qwren/recipe.json
check "with records" 0 "$QWREN" inspect --tensors recorded
expect "the recipe" grep -q '^files  *Hugging Face, recipe 6bit, ' out
expect "the class" grep -q 'layers.0.mlp.up_proj.weight .* mlp.up  *\[' out
check "with records, as JSON" 0 "$QWREN" inspect --json --tensors recorded
expect "the recipe" grep -q '"recipe": "6bit"' out
expect "the class" grep -q '"class": "mlp.up"' out
echo '{' >recorded/qwren/recipe.json
"$QWREN" inspect recorded >out 2>err
expect "damaged records are told, and no reason to stop" grep -q 'recipe.json' err
expect "and the rest is as before" grep -q '^files  *Hugging Face, [0-9]' out

# A folder whose name is no UTF-8: JSON is UTF-8 all the same.
odd=$(printf 'od\351d')
if copy_model "$odd" 2>/dev/null; then
    for verb in inspect "doctor --estimate-only"; do
        check "$verb of an odd name" 0 "$QWREN" $verb -q --json "$odd"
        expect "as JSON in UTF-8: $(cut -c 1-80 out)" grep -qF "od�d" out
    done
fi
finish
