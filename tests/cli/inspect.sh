# qwren inspect: the same facts as text and as JSON.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
check "as text" 0 "$QWREN" inspect "$NANO"
for word in '^text ' 'attention ' 'DeltaNet ' 'vocabulary ' '^vision ' '^parameters ' '^files ' '^memory of a session'; do expect "text has $word" grep -q "$word" out; done
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
expect "a line for each" [ "$(sed '1,/^tensors$/d' out | wc -l)" -eq "$listed" ]
total=$(sed 's/.*"parameters": {"total": \([0-9]*\).*/\1/' json)
bytes=$(sed 's/.*"tensor_count": [0-9]*, "bytes": \([0-9]*\).*/\1/' json)
expect "parameters in bf16 are two bytes each" [ "$bytes" -eq $((2 * total)) ]
expect "and fit into the file" [ "$bytes" -lt "$(cat "$NANO"/*.safetensors | wc -c)" ]

memory() { "$QWREN" inspect --json --ctx "$1" "$NANO" | sed "s/.*\"$2\": \([0-9]*\).*/\1/"; }
expect "keys and values grow with the length" [ "$(memory 2000 kv_bytes)" -gt "$(memory 1000 kv_bytes)" ]
expect "states do not" [ "$(memory 2000 state_bytes)" -eq "$(memory 1000 state_bytes)" ]
finish
