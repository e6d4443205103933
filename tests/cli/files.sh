# Bad files: a clear error that names the file, status 1, nothing on stdout.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
bad() { # what the message must name, command line
    named=$1
    shift
    check "bad $named: $*" 1 timeout 60 "$QWREN" "$@"
    expect "the message names $named: $(cat err)" grep -q -- "$named" err
    expect "one line of error" [ "$(wc -l <err)" -eq 1 ]
    expect "stdout stays empty" [ ! -s out ]
}

# ---- models
bad /no/model run -m /no/model x
bad /no/model chat -m /no/model
bad /no/model inspect /no/model
bad /no/model tokenize -m /no/model
mkdir empty
bad empty run -m empty x
bad model.safetensors run -m "$NANO/model.safetensors" x

for file in config.json model.safetensors tokenizer.json; do
    copy_model lacks_it && rm "lacks_it/$file"
    bad "$file" run -m lacks_it x
    copy_model cut_off && head -c $(($(wc -c <"$NANO/$file") / 2)) "$NANO/$file" >"cut_off/$file"
    bad "$file" run -m cut_off x
    copy_model emptied && : >"emptied/$file"
    bad "$file" run -m emptied x
done
copy_model lying && sed 's/"hidden_size": *[0-9]*/"hidden_size": 512/' "$NANO/config.json" >lying/config.json
bad . run -m lying x
copy_model hostile && { printf '\377\377\377\377\377\377\377\177'; tail -c +9 "$NANO/model.safetensors"; } >hostile/model.safetensors
bad model.safetensors inspect hostile
if [ "$(id -u)" -ne 0 ]; then
    copy_model locked && chmod a-r locked/model.safetensors
    bad model.safetensors run -m locked x
fi

# ---- pictures
: >empty.png
echo 'not a picture' >text.png
printf '\211PNG\r\n\032\n' >magic.png
head -c 300 "$QW_MODELS/demo/shapes.png" >cut.png
printf 'BM......' >picture.bmp
for picture in empty.png text.png magic.png cut.png picture.bmp missing.png; do
    bad "$picture" run -m "$NANO" --image "$picture" x
    bad "$picture" preprocess -m "$NANO" "$picture" -o x.npy
done
bad demo run -m "$NANO" --image "$QW_MODELS/demo" x
expect "no array was written" [ ! -e x.npy ]
request() { printf '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "%s"}}]}]}' "$1" >request.json; }
request http://example.com/a.png && bad example.com run -m "$NANO" --request request.json
request file://elsewhere/a.png && bad elsewhere run -m "$NANO" --request request.json
request file:///no/picture.png && bad /no/picture.png run -m "$NANO" --request request.json
request data:image/png,x && bad . run -m "$NANO" --request request.json

# ---- texts
printf 'a\377b' >latin1
bad UTF-8 run -m "$NANO" - <latin1
bad UTF-8 run -m "$NANO" "$(cat latin1)"
bad UTF-8 run -m "$NANO" --system "$(cat latin1)" x
bad nothing.json run -m "$NANO" --tools nothing.json x
echo '{' >broken.json
bad broken.json run -m "$NANO" --tools broken.json x
bad broken.json run -m "$NANO" --request broken.json
bad broken.json logits -m "$NANO" --ids broken.json -o x.npy
echo '[]' >list.json
bad list.json run -m "$NANO" --request list.json
bad . logits -m "$NANO" --ids list.json -o x.npy
echo '{"messages": [{"role": "user", "content": 5}], "temperature": "hot"}' >typed.json
bad temperature run -m "$NANO" --request typed.json
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "word " }' >long
bad . run -q -m "$NANO" --ctx 256 - <long
expect "the message speaks of the context: $(cat err)" grep -Eqi 'context|room' err
finish
