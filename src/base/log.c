/* Notices to the callback of qwren_set_log(); the library itself never prints. Tested by tests/unit/test_base_status.c. */
#include "base/log.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void (*sink)(void *ctx, qwren_log_level level, const char *text);
static void *sink_ctx;

void qwren_set_log(void (*fn)(void *ctx, qwren_log_level level, const char *text), void *ctx)
{
    sink = fn;
    sink_ctx = ctx;
}

void qw_log(qwren_log_level level, const char *fmt, ...)
{
    if (!sink)
        return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text[qw_utf8_complete_prefix(text, strlen(text))] = '\0'; /* a long notice is cut between characters */
    sink(sink_ctx, level, text);
}
