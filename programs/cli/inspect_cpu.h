/* The processor as inspect --cpu and bench show it. */
#ifndef CLI_INSPECT_CPU_H
#define CLI_INSPECT_CPU_H

#include "base/buf.h"
#include "qwren.h"

qwren_status cli_inspect_cpu(qw_buf *out, bool json, qwren_error *err);
/* {"processor", "level", "levels", "features", "cores", "logical", "cache_bytes"} */
void cli_cpu_json(qw_buf *out, const qwren_cpu_info *c);

#endif
