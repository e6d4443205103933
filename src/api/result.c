/* qwren_result: what the output parser found, with the usage beside it. The last stop of qwren_chat. Tested by tests/unit/test_chat.c. */
#include "api/result.h"

#include "base/alloc.h"

#include <string.h>

/* The parser's object with one member more: its closing brace makes way for the usage. */
static void join_usage(qw_buf *b, const char *answer, const qwren_stats *s)
{
    size_t n = strlen(answer);
    while (n && answer[n - 1] != '}')
        n--;
    qw_buf_append(b, answer, n ? n - 1 : 0);
    qw_buf_printf(b, ", \"usage\": {\"prompt_tokens\": %zu, \"completion_tokens\": %zu, \"total_tokens\": %zu", s->prompt_tokens,
                  s->completion_tokens, s->prompt_tokens + s->completion_tokens);
    qw_buf_printf(b, ", \"prompt_tokens_details\": {\"cached_tokens\": %zu, \"image_tokens\": %zu, \"computed_tokens\": %zu",
                  s->reused_tokens, s->image_tokens, s->computed_tokens);
    qw_buf_puts(b, ", \"cache_miss_reason\": ");
    if (s->reuse == QWREN_REUSE_ALL)
        qw_buf_puts(b, "null");
    else
        qw_json_dump_string(b, s->reuse_reason, strlen(s->reuse_reason));
    qw_buf_printf(b, "}, \"dropped_messages\": %zu, \"shifted_tokens\": %zu", s->dropped_messages, s->shifted_tokens);
    qw_buf_printf(b, ", \"completion_tokens_details\": {\"reasoning_tokens\": %zu}}}", s->reasoning_tokens);
}

qwren_status qw_result_create(qwren_result **out, const char *answer, const qwren_stats *stats, qwren_error *err)
{
    *out = NULL;
    qwren_result *r = qw_calloc(1, sizeof *r);
    if (!r)
        return qw_fail_memory(err, sizeof *r, "a result");
    r->stats = *stats;
    qw_buf b = QW_BUF_INIT;
    join_usage(&b, answer, stats);
    size_t len = 0;
    qwren_status st;
    QW_TRY_GOTO(st, qw_buf_take(&b, &r->json, &len, err), failed);
    QW_TRY_GOTO(st, qw_json_parse(&r->root, r->json, len, "result", err), failed);
    r->reasoning = qw_json_string(qw_json_get(r->root, "reasoning_content"), NULL);
    r->content = qw_json_string(qw_json_get(r->root, "content"), NULL);
    r->finish_reason = qw_json_string(qw_json_get(r->root, "finish_reason"), NULL);
    *out = r;
    return QWREN_OK;
failed:
    qwren_result_free(r);
    return st;
}

const char *qwren_result_reasoning(const qwren_result *r) { return r->reasoning; }
const char *qwren_result_content(const qwren_result *r) { return r->content; }
const char *qwren_result_finish_reason(const qwren_result *r) { return r->finish_reason; }
const char *qwren_result_json(const qwren_result *r) { return r->json; }
const qwren_stats *qwren_result_stats(const qwren_result *r) { return &r->stats; }

void qwren_result_free(qwren_result *r)
{
    if (!r)
        return;
    qw_json_free(r->root);
    qw_free(r->json);
    qw_free(r);
}
