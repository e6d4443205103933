/* Stop strings in visible text as it grows: passes on what can no longer become one, and ends before the first that is complete. What comes out
 * does not depend on how the text is cut into pieces. */
#ifndef QW_RUNTIME_STOP_H
#define QW_RUNTIME_STOP_H

#include "base/buf.h"

typedef struct qw_stop qw_stop;

/* The strings are copied. An empty or ill-formed one is E_ARGUMENT. n = 0 is allowed and stops nothing. Free with qw_stop_free(). */
qwren_status qw_stop_create(qw_stop **out, const char *const *strings, size_t n, qwren_error *err);
void qw_stop_free(qw_stop *s); /* NULL is allowed */
void qw_stop_reset(qw_stop *s);

/* The next piece, whole UTF-8 characters; appends to *out what is certain, whole characters again. True once a stop string is
 * complete: the one that ends first, of several that end there the longest; *out then ends before it, and everything that follows is ignored. Allocates
 * nothing itself: when memory is short *out says so, ask qw_buf_status(). */
bool qw_stop_push(qw_stop *s, const char *text, size_t len, qw_buf *out);
/* No more text comes: appends what was held back. */
void qw_stop_flush(qw_stop *s, qw_buf *out);
/* Which of the strings stopped it (index), or -1. */
ptrdiff_t qw_stop_which(const qw_stop *s);

#endif
