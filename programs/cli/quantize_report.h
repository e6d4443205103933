/* What `qwren quantize` tells: the plan beforehand, the summary at the end. */
#ifndef CLI_QUANTIZE_REPORT_H
#define CLI_QUANTIZE_REPORT_H

#include "base/buf.h"

/* The JSON of qwren_quantize_plan() as a table. */
qwren_status cli_quantize_put_plan(qw_buf *out, const char *json, qwren_error *err);

typedef struct cli_quantize_made {
    const char *src, *dst;
    double seconds;
} cli_quantize_made;

/* Read from what stands in DST now. */
qwren_status cli_quantize_put_summary(qw_buf *out, const cli_quantize_made *made, qwren_error *err);
qwren_status cli_quantize_put_json(qw_buf *out, const cli_quantize_made *made, qwren_error *err); /* one line */

#endif
