/* Names and texts of the status codes (one list in qwren.h), and the sentence that travels up the stack. Tested by
 * tests/unit/test_base_status.c. */
#include "base/status.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

const char *qwren_version(void) { return TEXT_OF(QWREN_VERSION_MAJOR) "." TEXT_OF(QWREN_VERSION_MINOR) "." TEXT_OF(QWREN_VERSION_PATCH); }

const char *qwren_status_name(qwren_status code)
{
    switch (code) {
#define CASE(name, value, text) \
  case QWREN_##name: return #name;
        QWREN_STATUS_LIST(CASE)
#undef CASE
    }
    return "E_UNKNOWN";
}

const char *qwren_status_text(qwren_status code)
{
    switch (code) {
#define CASE(name, value, text) \
  case QWREN_##name: return text;
        QWREN_STATUS_LIST(CASE)
#undef CASE
    }
    return "unknown status";
}

/* Control characters of hostile names must not reach a terminal; what was cut inside a character, or never was UTF-8, becomes "?". */
static void make_printable(char *s)
{
    for (size_t n = strlen(s), used; n; s += used, n -= used) {
        uint32_t cp;
        bool valid;
        used = qw_utf8_decode(s, n, &cp, &valid);
        if (!valid)
            memset(s, '?', used);
        else if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0))
            memset(s, ' ', used);
    }
}

qwren_status qw_fail(qwren_error *err, qwren_status code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    err->text[qw_utf8_complete_prefix(err->text, strlen(err->text))] = '\0';
    make_printable(err->text);
    err->code = code;
    return code;
}

qwren_status qw_fail_memory(qwren_error *err, size_t bytes, const char *what)
{
    return qw_fail(err, QWREN_E_MEMORY, "not enough memory: %zu bytes for %s", bytes, what);
}
