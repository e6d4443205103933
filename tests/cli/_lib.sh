# Shared by the tests of the program; each is `sh NAME.sh` with QWREN (the program), QW_MODELS and QW_TEST_DATA (folders) set.
#
#   check WHAT STATUS COMMAND...   runs it and compares the exit status; stderr must be empty when STATUS is 0, and have a line "qwren: ..." otherwise
#   check =NAME STATUS COMMAND...  the same, with stdout as in expected/NAME.out and stderr as in expected/NAME.err (one of them may be missing)
#   expect WHAT CONDITION...       a test(1)-like command that must be true
# A failure prints what was seen and goes on; `finish` gives the exit status.
set -u
: "${QWREN:?the program}" "${QW_MODELS:?the folder of models}" "${QW_TEST_DATA:?tests/golden/data}"
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
NANO=$QW_MODELS/qwren-nano
LC_ALL=C.UTF-8 HOME=$work XDG_STATE_HOME=$work/state TERM=xterm
export LC_ALL HOME XDG_STATE_HOME TERM
unset QWREN_MODEL NO_COLOR
n_checks=0 n_failures=0

failed() {
    n_failures=$((n_failures + 1))
    echo "FAILED: $1"
}

# What differs from one machine to the next is written $MODELS and $WORK in the expected files.
neutral() { sed -e "s|$QW_MODELS|\$MODELS|g" -e "s|$work|\$WORK|g" "$1"; }

compare() { # name, kind, what was seen
    neutral "$3" >"$work/.seen"
    if ! diff "$tests/expected/$1.$2" "$work/.seen" >"$work/.diff"; then
        failed "$1: $2 is not as expected (< expected, > seen)"
        head -20 "$work/.diff"
    fi
}

# For names that begin with "=": true when stderr has been compared too.
compare_all() {
    case $name in =*) stored=${name#=} ;; *) return 1 ;; esac
    found=0
    for kind in out err; do
        [ -f "$tests/expected/$stored.$kind" ] || continue
        found=1
        compare "$stored" $kind "$work/$kind"
    done
    [ $found = 1 ] || failed "$stored: nothing is stored in expected/"
    [ -f "$tests/expected/$stored.err" ]
}

check() {
    name=$1 status=$2
    shift 2
    n_checks=$((n_checks + 1))
    "$@" >"$work/out" 2>"$work/err"
    seen=$?
    if [ "$seen" -ne "$status" ]; then
        failed "$name: exit status $seen, expected $status: $*"
        head -5 "$work/err"
    fi
    if compare_all; then
        :
    elif [ "$status" -eq 0 ] && [ -s "$work/err" ]; then
        failed "$name: stderr should be empty"
        head -5 "$work/err"
    elif [ "$status" -ne 0 ] && [ "$status" -ne 130 ] && ! grep -q '^qwren: ' "$work/err"; then
        failed "$name: no line 'qwren: what, where, what to do' on stderr"
        head -5 "$work/err"
    fi
}

expect() {
    what=$1
    shift
    n_checks=$((n_checks + 1))
    "$@" >/dev/null 2>&1 || failed "$what: $*"
}
refute() {
    what=$1
    shift
    n_checks=$((n_checks + 1))
    if "$@" >/dev/null 2>&1; then failed "$what: not ($*)"; fi
}

# A copy of the bundled model that may be damaged. -L: a link to the model must become a copy of its files, never a way back to them.
copy_model() {
    rm -rf "$1"
    mkdir -p "$1" && cp -RL "$NANO/." "$1/" && chmod -R u+w "$1"
    [ ! -L "$1/config.json" ] && [ -f "$1/config.json" ] || { echo "$NANO cannot be copied"; exit 1; }
}

# The value of "content" in the JSON lines of a file (the last one), escapes left as they are: enough for answers of this size.
content_of() { sed -n 's/.*"content": "\(\([^"\\]\|\\.\)*\)".*/\1/p' "$1" | tail -1; }

# Seconds that two words take from the start of the program, rounded down: sanitizers and busy machines need patience.
slowness() {
    begun=$(date +%s)
    "$QWREN" run -q -m "$NANO" -t 1 --greedy --no-think -n 2 Hello >/dev/null
    echo $(($(date +%s) - begun))
}

# What the terminal saw, without carriage returns and escape sequences.
plain() { sed -e 's/\r//g' -e 's/\x1b\[[0-9;]*[A-Za-z]//g' "$1"; }

finish() {
    echo "$n_checks checks, $n_failures failed"
    [ "$n_checks" -gt 0 ] && [ "$n_failures" -eq 0 ]
    exit
}
