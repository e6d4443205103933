#!/bin/sh
# Sources stay readable: no file over 900 lines, no tabs, no blanks at line ends, each file of src opens with a comment that introduces it.
# The tests that comments name exist.
#   text.sh ROOT
set -eu
cd "$1"
find src programs include tests -name '*.[ch]' | sort | xargs awk '
    FNR == 1 {
        if (FILENAME ~ /^src\// && $0 !~ /^\/\*/) { print FILENAME ": does not open with a comment"; bad = 1 }
    }
    /\t/ { print FILENAME ":" FNR ": a tab"; bad = 1 }
    / $/ { print FILENAME ":" FNR ": blanks at the end of the line"; bad = 1 }
    FNR == 901 { print FILENAME ": longer than 900 lines"; bad = 1 }
    END { exit bad || NR == 0 }
'

lost=$(find src programs include -name '*.[ch]' | xargs grep -noE 'tests/[a-z0-9_/]*\.(c|h|sh|py)' /dev/null | while IFS=: read -r file line named; do
    [ -e "$named" ] || echo "$file:$line: $named does not exist"
done)
[ -z "$lost" ] || { echo "$lost"; exit 1; }
