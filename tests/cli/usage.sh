# Wrong usage: status 2, nothing on stdout, one line that says which word was wrong and what would be right.
. "$(dirname "$0")/_lib.sh"

i=0
wrong() { # command line
    i=$((i + 1))
    check "usage/$i" 2 "$QWREN" "$@"
    expect "stdout stays empty" [ ! -s out ]
    cat err >>all
}
: >all
wrong
wrong rum
wrong dance
wrong --frobnicate
wrong -m x
wrong run
wrong run --temprature 1 x
wrong run --wings x
wrong run -Z x
wrong run one two
wrong run -n
wrong run -n 0 x
wrong run -n 1.5 x
wrong run -n 99999999999999999999 x
wrong run --temperature hot x
wrong run --temperature nan x
wrong run --temperature -1 x
wrong run --top-p 1.5 x
wrong run --seed 0x10 x
wrong run --color pink x
wrong run --json=yes x
wrong run --logit-bias 7 x
wrong run --logit-bias 7:big x
wrong run --logit-bias -1:0 x
wrong run --stop '' x
wrong run --jsonl --request r.json
wrong run --request r.json prompt
wrong run --jsonl --image a.png
wrong run -5
wrong chat word
wrong chat --top-k -3
wrong inspect a b
wrong inspect -m a b
wrong inspect --ctx 0
wrong tokenize a b
wrong template
wrong parse --tool-choice maybe
wrong logits
wrong logits --ids x.json
wrong preprocess x.png
wrong preprocess -o x.npy
wrong help cook
wrong help --output x
expect "each says it in one line" [ "$(wc -l <all)" -eq "$i" ]
cp all out
compare usage err out

# What must be accepted: joined letters, joined values, "=", "--", options after words. The model is missing, so the usage was right when that is the complaint.
right() { check "accepted: $*" 1 "$QWREN" "$@" && expect "the model is what is missing: $*" grep -q '/no/model' err; }
right run -qn5 -m/no/model x
right run --max-tokens=5 --model=/no/model x
right run x -m /no/model -t 2
right run -m /no/model -- -5
right run -m /no/model --think --no-think --think --temperature 1e-1 --seed -5 --logit-bias 3:-100 --stop a --stop b x
finish
