/* Growing bytes (buf.h). Capacity doubles; failure is remembered in the buffer. Tested by tests/unit/test_base_memory.c. */
#include "base/buf.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

void qw_buf_free(qw_buf *b)
{
    qw_free(b->data);
    *b = QW_BUF_INIT;
}

void qw_buf_clear(qw_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for n bytes more and the NUL. */
static bool reserve(qw_buf *b, size_t n)
{
    size_t need;
    if (b->failed || !qw_add_size(b->len, n, &need) || !qw_add_size(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < 32 ? 64 : b->cap * 2;
    if (cap < need)
        cap = need;
    char *data = qw_realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void qw_buf_append(qw_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void qw_buf_puts(qw_buf *b, const char *s) { qw_buf_append(b, s, strlen(s)); }
void qw_buf_putc(qw_buf *b, char c) { qw_buf_append(b, &c, 1); }

void qw_buf_printf(qw_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        b->failed = true;
    else if (reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void qw_buf_truncate(qw_buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
}

void qw_buf_remove_front(qw_buf *b, size_t n)
{
    if (!n)
        return;
    memmove(b->data, b->data + n, b->len - n);
    qw_buf_truncate(b, b->len - n);
}

const char *qw_buf_text(const qw_buf *b) { return b->data ? b->data : ""; }

qwren_status qw_buf_status(const qw_buf *b, qwren_error *err)
{
    return b->failed ? qw_fail_memory(err, b->len, "a growing text") : QWREN_OK;
}

qwren_status qw_buf_take(qw_buf *b, char **out, size_t *len, qwren_error *err)
{
    qw_buf_append(b, "", 0); /* so that an empty buffer owns its NUL */
    qwren_status st = qw_buf_status(b, err);
    *out = NULL;
    if (len)
        *len = 0;
    if (st != QWREN_OK) {
        qw_buf_free(b);
        return st;
    }
    *out = b->data;
    if (len)
        *len = b->len;
    *b = QW_BUF_INIT;
    return QWREN_OK;
}
