/* Notices to the callback of qwren_set_log(). */
#ifndef QW_BASE_LOG_H
#define QW_BASE_LOG_H

#include "base/status.h"

void qw_log(qwren_log_level level, const char *fmt, ...) QW_PRINTF(2, 3);

#endif
