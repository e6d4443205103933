# On a terminal (made by `script` of util-linux): dimmed thoughts, line editing, history, Ctrl-C at the prompt and in an answer.
. "$(dirname "$0")/_lib.sh"

[ -d "$NANO" ] || failed "no model in $NANO"
if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    echo "no usable script(1): the terminal is not tried here"
    expect "the program is there" [ -x "$QWREN" ]
    finish
fi
# on_terminal COMMAND: stdin of this function is what is typed; `seen` is what the terminal showed. The command runs in /bin/sh, whatever the shell
# of the user is (script takes $SHELL).
SHELL=/bin/sh
export SHELL
on_terminal() { timeout 240 script -qec "$1" /dev/null >raw; plain raw >seen; }

on_terminal "'$QWREN' run -m '$NANO' --think --greedy -n 400 'What is 17 + 25?'; echo status \$?" </dev/null
expect "status 0" grep -q '^status 0' seen
expect "the thought is dimmed" grep -q "$(printf '\033\\[2m')" raw
expect "and the colour taken back" grep -q "$(printf '\033\\[0m')" raw
NO_COLOR=1 on_terminal "'$QWREN' run -m '$NANO' --think --greedy -n 400 'What is 17 + 25?'" </dev/null
refute "NO_COLOR is respected" grep -q "$(printf '\033\\[2m')" raw
expect "the thought is marked instead" grep -q '<think>' seen
on_terminal "'$QWREN' run -m '$NANO' --no-think --greedy -n 40 'What is 17 + 25?' | cat" </dev/null
refute "a pipe gets no escape sequences" grep -q "$(printf '\033\\[[02]m')" raw

# ---- a terminal obeys control characters: those of a model, and of names, do not reach it
escape=$(printf '\033')
id=$(printf '\033' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
speak="'$QWREN' run -q -m '$NANO' --greedy --no-loop-guard -n 3 --logit-bias $id:1000"
for mode in --no-think '--think --color never'; do
    on_terminal "$speak $mode Hello" </dev/null
    refute "$mode: no ESC of the model" grep -q "$escape" raw
    expect "$mode: U+FFFD instead" grep -q '���' seen
done
on_terminal "$speak --no-think Hello | cat -v" </dev/null
expect "a pipe gets the character itself" grep -q '\^\[\^\[\^\[' seen
ODD=$work/$(printf 'odd\033[31m\302\233name')
export ODD
ln -s "$NANO" "$ODD"
on_terminal "'$QWREN' inspect \"\$ODD\"; '$QWREN' inspect \"\$ODD/no\"; '$QWREN' chat -m \"\$ODD\" </dev/null" </dev/null
expect "a name is shown" grep -q 'odd�\[31m�name' seen
refute "without its control characters" grep -q "$escape\\|$(printf '\302\233')" raw

# ---- a conversation. Each line is typed when the terminal shows what must come before it: a slow machine changes nothing. A line for the editor
# waits for the prompt, which libedit shows when it reads keys.
# typed [PATTERN LINE]... LAST: types LINE (or runs the command after its "!") when PATTERN stands in what was shown since
# the line before; at the end it waits for LAST. A command (/...) or Ctrl-D that has no effect in half a minute is typed again.
shows() { # pattern, the line that was typed
    for tenth in $(seq 1200); do
        tail -c "+$from" raw >since && plain since | grep -q "$1" && return
        [ $((tenth % 300)) -ne 0 ] || case $2 in /*) printf "\\025$2" ;; '\004') printf "$2" ;; esac
        sleep 0.1
    done
    echo "the terminal does not show: $1; its last lines:" >&2
    tail -5 raw | cat -v >&2
}
typed() {
    from=1 last=
    while [ $# -gt 1 ]; do
        shows "$1" "$last"
        from=$(($(wc -c <raw) + 1))
        last=$2
        case $last in !*) eval "${last#!}" ;; *) printf "$last" ;; esac
        shift 2
    done
    shows "$1" "$last"
}
# converse COMMAND [PATTERN LINE]... LAST
# (Ctrl-C reaches the shell of the terminal too: dash would end without saying the status. A trap, unlike '', is not handed down.)
converse() {
    command="trap : INT; $1; echo status \$?"
    shift
    : >raw
    typed "$@" | on_terminal "$command"
}
prompt='^> $'
converse "'$QWREN' chat -m '$NANO' --no-think --greedy -n 24" "$prompt" 'What is 17 + 25?\r' \
    "$prompt" 'half a line' 'half a line' '\003' "$prompt" '/think on\r' "$prompt" '/quit\r' '^status'
expect "a greeting" grep -q '/help lists the commands' seen
expect "a prompt" grep -q '^> ' seen
expect "Ctrl-C at the prompt says how to leave" grep -q '/quit or Ctrl-D leaves' seen
expect "and the next line is read" grep -q '(thinking on)' seen
expect "status 0" grep -q '^status 0' seen
if [ -f "$XDG_STATE_HOME/qwren/history" ]; then # builds without libedit have none
    expect "the history is kept" grep -q 'What' "$XDG_STATE_HOME/qwren/history"
    expect "for its owner alone" [ "$(ls -l "$XDG_STATE_HOME/qwren/history" | cut -c 1-10)" = '-rw-------' ]
    refute "nothing half-written beside it" [ -n "$(find "$XDG_STATE_HOME/qwren" -name '*.tmp*')" ]
    converse "'$QWREN' chat -m '$NANO' --no-think --greedy -n 24" "$prompt" '\033[A\033[A\033[A' '17 + 25' '\r' "$prompt" '/quit\r' '^status'
    expect "the arrow keys bring old lines back" grep -q '> What is 17 + 25?' seen
fi

end=$(printf '<|im_end|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
eot=$(printf '<|endoftext|>' | "$QWREN" tokenize -m "$NANO" | tr -d '[] \n')
# (plain C: slow enough to be stopped)
converse "QWREN_CPU=portable '$QWREN' chat -m '$NANO' -t 1 --no-think --greedy --no-loop-guard -n 1000000 --logit-bias $end:-1000 --logit-bias $eot:-1000" \
    "$prompt" 'say hello\r' '^[A-Z]' '\003' "$prompt" '/stats\r' "$prompt" '/quit\r' '^status'
expect "Ctrl-C stops the answer" grep -q '(stopped)' seen
expect "without leaving" grep -q 'tokens of room used' seen
expect "status 0 after /quit" grep -q '^status 0' seen
if [ -f "$XDG_STATE_HOME/qwren/history" ]; then
    converse "sh -c 'echo \$\$ >pid; exec \"\$@\"' - '$QWREN' chat -m '$NANO' -n 4" \
        "$prompt" 'Remember this\r' "$prompt" '!kill -KILL $(cat pid)' '^status'
    expect "the program was killed" grep -q '^status 137' seen
    expect "a sudden end does not lose the history" grep -q 'Remember' "$XDG_STATE_HOME/qwren/history"
fi
converse "'$QWREN' chat -m '$NANO'" "$prompt" '\004' '^status'
expect "Ctrl-D leaves" grep -q '^status 0' seen
finish
