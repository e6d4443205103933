/* Stop strings in growing text (stop.h). Stands between the detokenizer and the events of a chat. Tested by tests/unit/test_runtime_stop.c.
 *
 * Each string has a matcher after Knuth, Morris and Pratt: the longest prefix of the string that ends here. The longest of those prefixes is
 * what must be held back, and it is kept nowhere but in the stop string itself. Strings and text are UTF-8, where a prefix of one can
 * only begin at a character of the other; so whole characters come out. */
#include "runtime/stop.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <string.h>

typedef struct matcher {
    char *text;
    size_t len;
    size_t *border; /* [len], of the first i + 1 bytes: their longest proper prefix that is also their end */
    size_t matched; /* bytes of the text that are the end of what was pushed, < len */
} matcher;

struct qw_stop {
    matcher *matchers; /* [n] */
    size_t n;
    ptrdiff_t which; /* -1 while running */
};

static size_t advance(const matcher *m, size_t matched, char c)
{
    while (matched && m->text[matched] != c)
        matched = m->border[matched - 1];
    return matched + (m->text[matched] == c);
}

static qwren_status matcher_init(matcher *m, const char *text, size_t i, qwren_error *err)
{
    size_t len = strlen(text);
    if (len == 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "stop string %zu is empty, it would stop everything", i);
    if (!qw_utf8_is_valid(text, len))
        return qw_fail(err, QWREN_E_ARGUMENT, "stop string %zu is not UTF-8, no text could contain it", i);
    m->text = qw_strndup(text, len);
    m->border = qw_alloc_array(len, sizeof *m->border);
    if (!m->text || !m->border)
        return qw_fail_memory(err, len * sizeof *m->border, "a stop string");
    m->len = len;
    m->border[0] = 0;
    for (size_t k = 1; k < len; k++)
        m->border[k] = advance(m, m->border[k - 1], text[k]);
    return QWREN_OK;
}

qwren_status qw_stop_create(qw_stop **out, const char *const *strings, size_t n, qwren_error *err)
{
    qwren_status st = QWREN_OK;
    *out = NULL;
    qw_stop *s = qw_calloc(1, sizeof *s);
    if (!s)
        return qw_fail_memory(err, sizeof *s, "stop strings");
    s->which = -1;
    s->matchers = qw_calloc(n, sizeof *s->matchers);
    if (!s->matchers) {
        st = qw_fail_memory(err, n * sizeof *s->matchers, "stop strings");
        goto failed;
    }
    s->n = n;
    for (size_t i = 0; i < n; i++)
        QW_TRY_GOTO(st, matcher_init(&s->matchers[i], strings[i], i, err), failed);
    *out = s;
    return QWREN_OK;
failed:
    qw_stop_free(s);
    return st;
}

void qw_stop_free(qw_stop *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        qw_free(s->matchers[i].text);
        qw_free(s->matchers[i].border);
    }
    qw_free(s->matchers);
    qw_free(s);
}

void qw_stop_reset(qw_stop *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->matchers[i].matched = 0;
    s->which = -1;
}

/* The matcher that holds back most; NULL when nothing is held back. */
static const matcher *holder(const qw_stop *s)
{
    const matcher *most = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->matchers[i].matched > (most ? most->matched : 0))
            most = &s->matchers[i];
    return most;
}

/* One byte more. True when a string is complete; the longest is chosen, of equal ones the first. */
static bool step(qw_stop *s, char c)
{
    for (size_t i = 0; i < s->n; i++) {
        matcher *m = &s->matchers[i];
        m->matched = advance(m, m->matched, c);
        if (m->matched == m->len && (s->which < 0 || m->len > s->matchers[s->which].len))
            s->which = (ptrdiff_t)i;
    }
    return s->which >= 0;
}

bool qw_stop_push(qw_stop *s, const char *text, size_t len, qw_buf *out)
{
    if (s->which >= 0)
        return true;
    const matcher *before = holder(s);
    size_t held = before ? before->matched : 0, used = 0, keep;
    while (used < len && !step(s, text[used++])) {
    }
    if (s->which >= 0)
        keep = s->matchers[s->which].len;
    else {
        const matcher *after = holder(s);
        keep = after ? after->matched : 0;
    }
    size_t certain = held + used - keep; /* of what was held and then of the new text */
    if (before)
        qw_buf_append(out, before->text, certain < held ? certain : held);
    if (certain > held)
        qw_buf_append(out, text, certain - held);
    return s->which >= 0;
}

void qw_stop_flush(qw_stop *s, qw_buf *out)
{
    const matcher *last = holder(s);
    if (s->which >= 0 || !last)
        return;
    qw_buf_append(out, last->text, last->matched);
    qw_stop_reset(s);
}

ptrdiff_t qw_stop_which(const qw_stop *s) { return s->which; }
