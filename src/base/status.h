/* Errors inside the library: the place that knows most writes one sentence with qw_fail, everybody above passes it on with QW_TRY. */
#ifndef QW_BASE_STATUS_H
#define QW_BASE_STATUS_H

#include "qwren.h"

#if defined(__GNUC__)
#  define QW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#  define QW_PRINTF(fmt, args)
#endif

/* Writes code and sentence into *err (when err is not NULL; text is cut at a character boundary if too long) and returns code. */
qwren_status qw_fail(qwren_error *err, qwren_status code, const char *fmt, ...) QW_PRINTF(3, 4);

/* "not enough memory for N bytes of WHAT" as QWREN_E_MEMORY. */
qwren_status qw_fail_memory(qwren_error *err, size_t bytes, const char *what);

/* clang-format off */

/* Forwards a failure. */
#define QW_TRY(expr)                          \
    do {                                      \
        qwren_status qw_try_status_ = (expr); \
        if (qw_try_status_ != QWREN_OK)       \
            return qw_try_status_;            \
    } while (0)

/* Forwards a failure through a clean-up label; `st` is a qwren_status in scope. */
#define QW_TRY_GOTO(st, expr, label) \
    do {                             \
        (st) = (expr);               \
        if ((st) != QWREN_OK)        \
            goto label;              \
    } while (0)

/* clang-format on */

#endif
