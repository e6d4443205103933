/* Pieces of the tables that inspect, doctor and quantize print. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/json.h"

/* The name of a row, as wide as the first column is. */
void cli_put_row(qw_buf *out, const char *name);

/* Large numbers, short: 7015424 -> "7.0 M", or "7.0 MB" with the unit "B". */
#define CLI_SHORT_BYTES 48
const char *cli_short(char buf[CLI_SHORT_BYTES], double n, const char *unit);
void cli_put_short(qw_buf *out, double n, const char *unit);

/* The text of a member; "" when there is none. */
const char *cli_text_of(const qw_json *object, const char *key);

#endif
