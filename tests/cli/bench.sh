# qwren bench and inspect --cpu: the figures are there, positive, and agree with each other. How fast anything is, is not tested.
. "$(dirname "$0")/_lib.sh"

small="-r 2 -t 1"
number() { grep -o "\"$1\": [0-9.e+-][0-9.e+-]*" out | head -"${2-1}" | tail -1 | sed 's/.*: //'; } # key, which of them
holds() { awk "BEGIN { exit !($1) }"; }                                              # an expression of awk

# ---- a made-up model, as JSON
check "made up" 0 "$QWREN" bench -q --json --random tiny $small -p 16,40 -n 3 -d 0,8 -b 1,2 --image-size 256
expect "one line" [ "$(wc -l <out)" -eq 1 ]
expect "a row for each" [ "$(grep -o '"test": "[a-z]*"' out | sed 's/.*: //' | tr -d '"' | tr '\n' ' ')" = "prefill prefill decode decode decode image " ]
for key in tokens_per_s median_s peak_share ops_per_token; do
    for i in 1 2 3 4 5 6; do expect "$key of row $i is positive" holds "$(number $key $i) > 0"; done
done
for key in read_bytes_per_s dot_ops_per_s float_ops_per_s make_s text_bytes weights_bytes session_bytes bits_per_weight_text first_token_s first_token_cold_s bytes_per_token read_share; do
    expect "$key is positive" holds "$(number $key 1) > 0"
done
expect "as many samples as were asked for" [ "$(grep -o '"samples_s": \[[^,]*, [^,]*\]' out | wc -l)" -eq 6 ]
expect "tokens by seconds are the rate" holds "($(number tokens_per_s 1) * $(number median_s 1) / 16 - 1)^2 < 1e-6"
expect "of several sequences, too" holds "($(number tokens_per_s 4) * $(number median_s 4) / 6 - 1)^2 < 1e-6"
expect "the median lies between the samples" awk -v m="$(number median_s 1)" -v s="$(grep -o '"samples_s": \[[^]]*' out | head -1 | sed 's/.*\[//')" \
    'BEGIN { split(s, x, ", "); exit !((x[1] - m) * (x[2] - m) <= 0) }'
bytes() { grep -o '"bytes_per_token": [0-9.][0-9.]*' out | sed 's/.*: //' | sed -n "$1p"; }
expect "two sequences share the weights" holds "$(bytes 2) < $(bytes 1)"
expect "a cache is read at a depth" holds "$(bytes 3) > $(bytes 1)"
expect "a share is bytes by seconds by the limit" holds "($(number read_share 1) / ($(bytes 1) * $(number tokens_per_s 3) / $(number read_bytes_per_s)) - 1)^2 < 1e-6"
expect "the recipe" grep -q '"size": "custom", "format": "MLX", "recipe": "6bit", ' out
bits=$(number bits_per_weight_text)
expect "bits per weight of six bits with their scales: $bits" holds "$bits > 6.5 && $bits < 7"
check "another recipe" 0 "$QWREN" bench -q --json --random tiny --recipe bf16 $small -p 0 -n 1
expect "is another number of bits" grep -q '"bits_per_weight_text": 16.0, ' out
expect "no prompt" [ "$(grep -o '"test"' out | wc -l)" -eq 1 ]

# ---- a model in files; the other forms
check "files" 0 "$QWREN" bench -q $small -p 8 -n 2 "$NANO"
for row in '^model  *.*qwren-nano: Hugging Face' '^machine .* 1 of ' '^limits .*B/s read, ' '^opened  *in [0-9.]* s, .* again in [0-9.]* s' '^memory .* at most: weights ' '^prompt 8 .* first token ' \
    '^decode 2 at 0 .* a token'; do
    expect "a row $row" grep -q "$row" out
done
check "as CSV" 0 "$QWREN" bench -q --csv $small -p 8 -n 2 -m "$QW_TEST_DATA/gguf/tiny-b-mixed.gguf"
expect "a line of names and two more" [ "$(wc -l <out)" -eq 3 ]
expect "as many values as names" [ "$(awk -F, '{ print NF }' out | sort -u | wc -l)" -eq 1 ]
expect "a row of decoding" grep -q '^custom,,[a-z0-9]*,1,decode,2,0,1,0,[0-9.]*,' out

# ---- how it is computed
for way in deterministic exact; do
    check "--$way" 0 "$QWREN" bench -q --json --random tiny -r 1 -t 1 -p 8 -n 1 --$way
    expect "is told" grep -q "\"arithmetic\": \"$way\"" out
    check "an answer with --$way" 0 "$QWREN" run -q -m "$NANO" --greedy --no-think -n 4 --$way Hello
done
expect "float products are held against floats" [ "$("$QWREN" bench -q --json --random tiny -r 1 -t 1 -p 8 -n 0 --exact | grep -o '"peak": "[a-z]*"')" = '"peak": "float"' ]

for type in f32 f16 q8 q4; do
    check "keys and values of $type" 0 "$QWREN" bench -q --json --random tiny -r 1 -t 1 -p 0 -n 1 -d 64 --kv $type
    expect "take less than the wider ones: $(bytes 1) bytes a token" holds "$(bytes 1) < ${wider:-1e9}"
    wider=$(bytes 1)
done
check "the option's older name" 0 "$QWREN" bench -q --json --random tiny -r 1 -t 1 -p 0 -n 1 -d 64 --kv-type bf16
expect "means the same: bf16 is as large as f16" holds "$(bytes 1) > $wider"

# ---- where the time goes
check "profile" 0 "$QWREN" bench -q --profile $small --random tiny -p 8 -n 2 --image-size 256
for row in '^prompt 8 .* of wall ' '^decode 2 at 0 .* of wall ' '^picture 256 x 256 .* of wall ' '^  projections in  *[0-9.]*  *[0-9.]* %  [0-9]*$' '^  gate and up .* 8$' '^  DeltaNet .* 3$' '^  attention ' '^  head .* 2$' \
    '^  between operations  *[0-9.-]*  *[0-9.-]* %' '^  wall '; do
    expect "a row $row" grep -q "$row" out
done
# What none of the kinds explains is a rest by definition: a kind that counts twice makes it negative.
expect "parts make the wall" awk '/of wall/ { sum = 0; next } /^  wall/ { d = sum - $2; if (d > 0.1 || d < -0.1) bad = 1; n++; next }
    match($0, /[0-9.-]+ +[0-9.-]+ %/) && /^  / { split(substr($0, RSTART), x, " "); sum += x[1]; if (/between operations/ && x[1] < -0.05) bad = 1 }
    END { exit bad || n != 3 }' out
check "profile as JSON" 0 "$QWREN" bench -q --profile --json $small --random tiny -p 8 -n 0
expect "by kind" grep -q '"profile_s": {"embeddings": [0-9.e-]*, .*"between operations": [0-9.e-]*}, "mean_s": ' out

# ---- Ctrl-C while the machine itself is measured, before and after the model
timeout --foreground --preserve-status -s INT 0.2 "$QWREN" bench -q --random tiny -r 1 -p 0 -n 0 >out 2>err
expect "Ctrl-C ends it: $?" [ $? -eq 130 ]

# ---- what is refused
check "no such model" 1 "$QWREN" bench /no/model
expect "is named" grep -q /no/model err
check "too deep" 1 "$QWREN" bench -q --random tiny $small -p 0 -n 1 -d 5000
expect "is said" grep -q 'takes 1 to 4096' err
check "no tower" 1 "$QWREN" bench -q $small -p 0 -n 0 --image-size 64 "$QW_TEST_DATA/text/tiny-c/hf"
expect "is said" grep -q 'no image tower' err
for words in "--random 3B" "--random tiny --recipe 7bit" "--random tiny --recipe auto" "--recipe 4bit" "--random tiny $NANO" "-m a b" "-p 1,,2" "-p 1, " "-p x" "-b 0" "-r 0" "--json --csv"; do
    # shellcheck disable=SC2086
    check "usage: $words" 2 "$QWREN" bench $words
done

# ---- the processor
check "the processor" 0 "$QWREN" inspect --cpu
for row in '^processor .* cores for this process' '^features ' '^caches  *L1 ' '^kernels  *[a-z0-9]* (there are: portable'; do expect "a row $row" grep -q "$row" out; done
check "as JSON" 0 "$QWREN" inspect --cpu --json
levels=$(sed 's/.*"levels": \[\([^]]*\)\].*/\1/; s/[",]//g' out)
for level in $levels; do
    check "QWREN_CPU=$level" 0 env QWREN_CPU="$level" "$QWREN" inspect --cpu --json
    expect "is chosen" grep -q "\"level\": \"$level\"" out
    check "bench with $level" 0 env QWREN_CPU="$level" "$QWREN" bench -q --json --random tiny -r 1 -t 1 -p 4 -n 1
    expect "measures it" grep -q "\"level\": \"$level\"" out
done
check "an answer with no such level" 1 env QWREN_CPU=abacus "$QWREN" run -q -m "$NANO" -n 1 Hello
expect "is not given" grep -q 'QWREN_CPU is "abacus"; this machine can run: portable' err
check "no such level" 1 env QWREN_CPU=abacus "$QWREN" inspect --cpu
expect "is said, with those that there are" grep -q 'QWREN_CPU is "abacus"; this machine can run: portable' err
check "a model with --cpu" 2 "$QWREN" inspect --cpu "$NANO"
finish
