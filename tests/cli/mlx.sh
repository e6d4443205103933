# Directories quantised for MLX: every verb takes them as it takes those of Hugging Face.
. "$(dirname "$0")/_lib.sh"

mkdir tiny-a-6bit
for f in "$QW_TEST_DATA/mlx/tiny-a-6bit"/* "$QW_TEST_DATA"/text/tiny-a/hf/tokenizer*; do ln -s "$f" tiny-a-6bit/; done
TOWER=$QW_TEST_DATA/mlx/tower

check "a draft head in its own folder" 0 "$QWREN" inspect tiny-a-6bit
expect "its weights are counted" grep -q 'draft head [1-9]' out
check "text" 0 "$QWREN" run -q -m tiny-a-6bit -t 1 --greedy --no-think -n 6 Hello
cp out first
check "the same answer again" 0 "$QWREN" run -q -m tiny-a-6bit -t 2 --greedy --no-think -n 6 Hello
expect "with more threads too" cmp first out
printf Hello >text
check "tokens" 0 "$QWREN" tokenize -m tiny-a-6bit text

echo '[1, 2, 3, 4, 5]' >ids
check "logits" 0 "$QWREN" logits -q -m tiny-a-6bit --ids ids -o six.npy
expect "640 for each of five tokens, behind a header" [ "$(wc -c <six.npy)" -eq $((128 + 5 * 640 * 4)) ]

picture=$QW_TEST_DATA/vision/images/grey_32x32.png
echo '[10, 265, 268, 266, 11]' >ids # start, pad and end of a picture, which becomes 64 rows
check "a picture" 0 "$QWREN" logits -q -m "$TOWER" --ids ids --image "$picture" -o picture.npy
expect "a row for each of them" [ "$(wc -c <picture.npy)" -eq $((128 + 68 * 320 * 4)) ]
check "the tower is counted" 0 "$QWREN" inspect --tensors "$TOWER"
expect "a matrix of codes" grep -q 'vision_tower.blocks.0.attn.qkv.weight .*\[192, 64\]' out
expect "one whose columns fit no group" grep -q 'vision_tower.blocks.0.mlp.linear_fc2.weight .*BF16 .*\[64, 144\]' out

# What config.json says must be what the shapes say.
rm tiny-a-6bit/config.json
sed '0,/"bits": 6/s//"bits": 4/' "$QW_TEST_DATA/mlx/tiny-a-6bit/config.json" >tiny-a-6bit/config.json
check "a config of another model" 1 "$QWREN" run -q -m tiny-a-6bit Hello
expect "tensor and both widths" grep -q 'embed_tokens.weight has 6 bits in groups of 64 by its shape, but config.json says 4 bits in groups of 64' err
finish
