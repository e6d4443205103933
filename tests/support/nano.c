/* The bundled model in tests (nano.h). */
#include "support/nano.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

static qwren_model *open_with(const char *path, int n_threads, qwren_arithmetic arithmetic, size_t cache_bytes)
{
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = n_threads;
    opt.arithmetic = arithmetic;
    opt.cache_bytes = cache_bytes;
    if (qwren_model_open(&m, path, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return m;
}

qwren_model *model_open(const char *path, int n_threads, qwren_arithmetic arithmetic) { return open_with(path, n_threads, arithmetic, 1); }
qwren_model *model_open_cached(const char *path, int n_threads, qwren_arithmetic arithmetic)
{
    return open_with(path, n_threads, arithmetic, 0);
}
qwren_model *nano_open_cached(int n_threads) { return model_open_cached(NANO, n_threads, QWREN_ARITHMETIC_DEFAULT); }
qwren_model *nano_open(int n_threads) { return model_open(NANO, n_threads, QWREN_ARITHMETIC_DEFAULT); }
qwren_model *nano_open_exact(int n_threads) { return model_open(NANO, n_threads, QWREN_ARITHMETIC_EXACT); }
qwren_model *tiny_open(int n_threads) { return model_open(TINY, n_threads, QWREN_ARITHMETIC_DEFAULT); }

qwren_session *nano_session(const qwren_model *m, size_t n_ctx)
{
    qwren_session *s = NULL;
    qwren_error err = { 0 };
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = n_ctx;
    if (qwren_session_create(&s, m, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

char *nano_text(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = qw_malloc((size_t)n + 1);
    assert_non_null(text);
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return text;
}

qwren_result *nano_ask(qwren_session *s, const qwren_chat_options *opt, const char *request)
{
    qwren_result *r = NULL;
    qwren_error err = { 0 };
    char *text = nano_text("%s", request);
    if (qwren_chat(s, text, opt, &r, &err) != QWREN_OK)
        fail_msg("%s: %s", text, err.text);
    qw_free(text);
    return r;
}

void nano_refuses(qwren_session *s, const qwren_chat_options *opt, const char *request, qwren_status status, const char *word)
{
    qwren_result *r = (qwren_result *)1;
    qwren_error err = { 0 };
    char *text = nano_text("%s", request);
    qwren_status st = qwren_chat(s, text, opt, &r, &err);
    if (st != status || err.code != status || !strstr(err.text, word))
        fail_msg("%s: %s, %s: \"%s\" where %s with \"%s\" was expected", text, qwren_status_name(st), qwren_status_name(err.code), err.text,
                 qwren_status_name(status), word);
    assert_null(r);
    qw_free(text);
}

char *nano_data_url(const char *path)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *bytes = NULL, *url = NULL;
    size_t n = 0;
    qw_buf b = QW_BUF_INIT;
    assert_int_equal(qw_file_read(path, 1 << 24, &bytes, &n, NULL), QWREN_OK);
    qw_buf_puts(&b, "data:image/png;base64,");
    for (size_t i = 0; i < n; i += 3) {
        unsigned word = 0;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (i + k < n ? (unsigned char)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            qw_buf_putc(&b, i + k > n ? '=' : digits[word >> (18 - 6 * k) & 63]);
    }
    qw_free(bytes);
    assert_int_equal(qw_buf_take(&b, &url, NULL, NULL), QWREN_OK);
    return url;
}

qwren_chat_options nano_greedy(void)
{
    qwren_chat_options opt = qwren_chat_options_default();
    opt.greedy = true;
    return opt;
}

bool nano_record(void *ctx, const qwren_event *ev)
{
    nano_events *e = ctx;
    size_t n = 0;
    if (e->stop_at == SIZE_MAX)
        e->after_stop++;
    switch (ev->kind) {
    case QWREN_EVENT_PREFILL:
        assert_true(ev->done >= e->prefill_done && ev->done <= ev->total);
        e->prefill_done = ev->done;
        e->prefill_total = ev->total;
        n = ++e->n_prefill;
        break;
    case QWREN_EVENT_REASONING:
        assert_int_equal(strlen(ev->text), ev->len);
        qw_buf_append(&e->reasoning, ev->text, ev->len);
        n = ++e->n_reasoning;
        break;
    case QWREN_EVENT_CONTENT:
        assert_int_equal(strlen(ev->text), ev->len);
        qw_buf_append(&e->content, ev->text, ev->len);
        n = ++e->n_content;
        break;
    case QWREN_EVENT_TOOL_CALL:
        assert_int_equal(ev->index, e->n_calls);
        qw_buf_clear(&e->last_call);
        qw_buf_printf(&e->last_call, "%s %s", ev->name, ev->arguments);
        n = ++e->n_calls;
        break;
    }
    if (!e->stop_at || ev->kind != e->stop_kind || n != e->stop_at)
        return true;
    e->stop_at = SIZE_MAX;
    return false;
}

void nano_events_free(nano_events *e)
{
    qw_buf_free(&e->reasoning);
    qw_buf_free(&e->content);
    qw_buf_free(&e->last_call);
    *e = (nano_events){ 0 };
}

static void same_text(const qw_buf *joined, const char *whole) { assert_string_equal(qw_buf_text(joined), whole ? whole : ""); }

void nano_events_match(const nano_events *e, const qwren_result *r)
{
    same_text(&e->reasoning, qwren_result_reasoning(r));
    same_text(&e->content, qwren_result_content(r));
}
