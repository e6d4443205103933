/* Growing bytes, always NUL-terminated. Failure is sticky: after memory ran short every append is ignored and qw_buf_status()
 * tells, so that text can be built without a check per line. */
#ifndef QW_BASE_BUF_H
#define QW_BASE_BUF_H

#include "base/status.h"

#include <stdarg.h>

typedef struct qw_buf {
    char *data; /* NULL until the first append; read it through qw_buf_text() */
    size_t len; /* without the NUL */
    size_t cap;
    bool failed;
} qw_buf;

#define QW_BUF_INIT ((qw_buf){ 0 })

void qw_buf_free(qw_buf *b);  /* frees and re-initialises */
void qw_buf_clear(qw_buf *b); /* length 0, memory kept, failure forgotten */
void qw_buf_append(qw_buf *b, const void *p, size_t n);
void qw_buf_puts(qw_buf *b, const char *s);
void qw_buf_putc(qw_buf *b, char c);
void qw_buf_printf(qw_buf *b, const char *fmt, ...) QW_PRINTF(2, 3);
void qw_buf_truncate(qw_buf *b, size_t len);                   /* len <= b->len */
void qw_buf_remove_front(qw_buf *b, size_t n);                 /* n <= b->len */
const char *qw_buf_text(const qw_buf *b);                      /* "" when empty */
qwren_status qw_buf_status(const qw_buf *b, qwren_error *err); /* QWREN_E_MEMORY after a failed append */
/* Hands the bytes over (qw_free them) and re-initialises b. *len may be NULL. On failure *out is NULL and b is freed. */
qwren_status qw_buf_take(qw_buf *b, char **out, size_t *len, qwren_error *err);

#endif
