# --help, help VERB and the man pages: all from one table, for every verb.
. "$(dirname "$0")/_lib.sh"

check =help 0 "$QWREN" help
cp out program
check =help 0 "$QWREN" --help
expect "--help says the same as help" cmp out program
check version 0 "$QWREN" --version
expect "--version" grep -q '^qwren [0-9]*\.[0-9]*\.[0-9]*$' out

verbs=$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' program)
expect "all verbs are listed" [ "$(echo "$verbs" | tr '\n' ' ')" = "run chat session inspect doctor quantize tokenize detokenize template parse logits preprocess eval bench help " ]

render() { # page: as a person would read it
    if command -v groff >/dev/null; then
        groff -man -ww -Tutf8 "$1" 2>complaints | sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g'
        expect "groff has no complaint about $1" [ ! -s complaints ]
    else
        cat "$1"
    fi
}

for verb in $verbs; do
    check "help $verb" 0 "$QWREN" help "$verb"
    cp out text
    check "$verb --help" 0 "$QWREN" "$verb" --help
    expect "$verb --help says the same as help $verb" cmp out text
    check "$verb -h" 0 "$QWREN" "$verb" -h --nonsense-behind-it-is-not-read
    expect "the usage line names $verb" grep -q "^usage: qwren $verb " text
    expect "$verb: lines fit into 80 columns" [ -z "$(awk 'length > 79' text)" ]
    expect "$verb: exit status is explained" grep -q '^Exit status: ' text

    check "man $verb" 0 "$QWREN" help --man -o "qwren-$verb.1" "$verb"
    expect "$verb: title line" grep -q '^\.TH QWREN\\-' "qwren-$verb.1"
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS' 'SEE ALSO'; do
        expect "$verb: section $section" grep -q "^\\.SH $section\$" "qwren-$verb.1"
    done
    # A variable is told of where it does something: $QWREN_MODEL stands in for -m.
    speaks=$(grep -c '^\.B QWREN_MODEL$' "qwren-$verb.1")
    expect "$verb: QWREN_MODEL goes with -m" [ "$speaks" -eq "$(grep -c '^ *-m, --model' text)" ]
    case $verb in
    chat) variables=4 ;;
    run | session) variables=3 ;;
    inspect | doctor | logits | bench) variables=2 ;; # and QWREN_CPU, for what computes
    eval | quantize) variables=1 ;;
    *) variables=$speaks ;;
    esac
    expect "$verb: variables" [ "$(sed -n '/^\.SH ENVIRONMENT/,/^\.SH SEE/p' "qwren-$verb.1" | grep -c '^\.B ')" -eq "$variables" ]
    render "qwren-$verb.1" >page
    expect "$verb: the page is there" [ "$(wc -l <page)" -gt 20 ]
    # every option of the help stands in the page
    grep -o '^ *\(-[a-zA-Z], \)\? *--[a-z-]*' text | grep -o -- '--[a-z-]*' | while read -r option; do
        sed 's/\\-/-/g' "qwren-$verb.1" | grep -q -- "$option" || echo "$option"
    done >missing
    expect "$verb: options in the man page, but for $(cat missing)" [ ! -s missing ]
done
check "man of the program" 0 "$QWREN" help --man
cp out qwren.1
expect "the program's page has all variables" [ "$(sed -n '/^\.SH ENVIRONMENT/,/^\.SH SEE/p' qwren.1 | grep -c '^\.B ')" -eq 4 ]
render qwren.1 >page
for verb in $verbs; do expect "qwren.1 names qwren-$verb" grep -q "^\\.BR qwren.*-$verb (1)" qwren.1; done

# What `cmake --install` installs is what the program says today.
for page in qwren*.1; do expect "docs/man/$page is up to date (qwren help --man -o docs/man/$page ...)" cmp "$tests/../../docs/man/$page" "$page"; done

check "to standard output" 0 "$QWREN" help --man -o - run
expect "the page" cmp out qwren-run.1
refute "no file is named -" [ -e ./- ]
check "an unwritable page" 1 "$QWREN" help --man -o /no/such/folder/qwren.1
finish
