/* Tables (table.h). Tested by tests/cli/inspect.sh, doctor.sh and quantize.sh. */
#include "table.h"

#include <stdio.h>

void cli_put_row(qw_buf *out, const char *name) { qw_buf_printf(out, "%-14s ", name); }

const char *cli_short(char buf[CLI_SHORT_BYTES], double n, const char *unit)
{
    static const char letters[] = " kMGT";
    size_t i = 0;
    for (; n >= 1000 && i + 2 < sizeof letters; i++)
        n /= 1000;
    if (i == 0)
        snprintf(buf, CLI_SHORT_BYTES, "%.0f%s%s", n, *unit ? " " : "", unit);
    else
        snprintf(buf, CLI_SHORT_BYTES, "%.1f %c%s", n, letters[i], unit);
    return buf;
}

void cli_put_short(qw_buf *out, double n, const char *unit)
{
    char text[CLI_SHORT_BYTES];
    qw_buf_puts(out, cli_short(text, n, unit));
}

const char *cli_text_of(const qw_json *object, const char *key)
{
    const char *text = qw_json_string(qw_json_get(object, key), NULL);
    return text ? text : "";
}
