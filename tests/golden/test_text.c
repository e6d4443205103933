/* The whole decoder against the reference, stage by stage: hidden states after each layer, states after the prompt, logits at every position, greedy continuation, the
 * MTP head, prompts with picture rows. Three tiny checkpoints of the real architecture (tests/oracle/make_text.py). */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "kernels/kernels.h"
#include "runtime/session.h"

#define LOGIT_LIMIT 1e-3 /* of docs/model.md: fp32 arithmetic on exact weights */

typedef struct subject {
    const char *name;
    qw_model model;
    qw_golden *g;
    qw_session *session;
    size_t T, V, H;
} subject;

static void open_subject(subject *s, const char *name)
{
    char dir[512], file[128];
    qwren_error err = { 0 };
    qw_model_params p = { .n_threads = 2, .arithmetic = QWREN_ARITHMETIC_EXACT };
    s->name = name;
    snprintf(dir, sizeof dir, "%s/text/%s/hf", QW_TEST_DATA, name);
    snprintf(file, sizeof file, "text/%s/ref.safetensors", name);
    if (qw_model_init(&s->model, dir, &p, &err) || qw_session_create(&s->session, &s->model, &(qw_session_options){ .n_ctx = 512 }, &err))
        fail_msg("%s", err.text);
    s->g = golden_open(file);
    s->T = golden_dim(s->g, "input_ids", 0);
    s->V = (size_t)s->model.config.text.vocab_size;
    s->H = (size_t)s->model.config.text.hidden_size;
}

static void close_subject(subject *s)
{
    golden_close(s->g);
    qw_session_free(s->session);
    qw_model_deinit(&s->model);
}

static void compare(const subject *s, const char *what, const float *got, const float *want, size_t n, double limit)
{
    char label[96];
    snprintf(label, sizeof label, "%s %s", s->name, what);
    golden_compare(label, got, want, n, limit);
}

static float *floats(size_t n)
{
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

/* A timeline of plain text. */
static qw_timeline text_timeline(const subject *s, const int32_t *ids, size_t n)
{
    qw_timeline t;
    qwren_error err = { 0 };
    if (qw_timeline_build(&t, &s->model.config, ids, n, NULL, NULL, 0, 0, &err))
        fail_msg("%s", err.text);
    return t;
}

static void eval(subject *s, const qw_timeline *t, size_t first, size_t end, float *all)
{
    qwren_error err = { 0 };
    qw_eval_options opt = { .all_logits = all, .n_hidden = SIZE_MAX };
    if (qw_session_eval(s->session, t, first, end, &opt, &err))
        fail_msg("%s", err.text);
}

static int32_t best(const float *logits, size_t n)
{
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        top = logits[i] > logits[top] ? i : top;
    return (int32_t)top;
}

/* ---- inside */

typedef struct watcher {
    subject *s;
    size_t rows; /* rows of hidden that are stored */
} watcher;

static void watch(void *ctx, int step, const float *x, size_t n)
{
    watcher *w = ctx;
    char what[32];
    assert_true(n >= w->rows);
    snprintf(what, sizeof what, "hidden %d", step);
    compare(w->s, what, x, golden_f32(w->s->g, "hidden", NULL) + (size_t)step * w->rows * w->s->H, w->rows * w->s->H, 1e-4);
}

/* Keys and values of all positions, head by head, as the file has them. */
static void compare_cache(subject *s, int layer, const qw_layer_state *st)
{
    char what[2][32];
    const qw_text_config *c = &s->model.config.text;
    const size_t heads = (size_t)c->n_kv_heads, hd = (size_t)c->head_dim, floats_of_head = s->T * hd;
    float *k = floats(heads * floats_of_head), *v = floats(heads * floats_of_head);
    snprintf(what[0], sizeof what[0], "state.%d.key", layer);
    snprintf(what[1], sizeof what[1], "state.%d.value", layer);
    for (size_t g = 0; g < heads; g++) {
        const qw_kv head = { .type = st->cache_type,
                             .head_dim = hd,
                             .pages = st->pages,
                             .offset = st->offset + g * qw_kv_bytes(st->cache_type, hd, QW_KV_PAGE) };
        for (size_t pos = 0; pos < s->T; pos++)
            qw_kv_get(&head, pos, k + g * floats_of_head + pos * hd, v + g * floats_of_head + pos * hd);
    }
    compare(s, what[0], k, golden_f32(s->g, what[0], NULL), heads * floats_of_head, 1e-4);
    compare(s, what[1], v, golden_f32(s->g, what[1], NULL), heads * floats_of_head, 1e-4);
    free(k), free(v);
}

static void compare_delta(subject *s, int layer, const qw_layer_state *st)
{
    const qw_text_config *c = &s->model.config.text;
    const size_t taps = (size_t)c->conv_kernel - 1, channels = qw_conv_floats(c) / taps;
    char what[32];
    float *conv = floats(channels * taps);
    for (size_t j = 0; j < taps; j++)
        for (size_t ch = 0; ch < channels; ch++)
            conv[ch * taps + j] = st->conv[j * channels + ch];
    snprintf(what, sizeof what, "state.%d.conv", layer);
    compare(s, what, conv, golden_f32(s->g, what, NULL), channels * taps, 1e-4);
    free(conv);
    snprintf(what, sizeof what, "state.%d.recurrent", layer);
    const size_t heads = (size_t)c->linear_value_heads, dk = (size_t)c->linear_key_dim, dv = (size_t)c->linear_value_dim;
    float *state = floats(heads * dk * dv);
    for (size_t h = 0; h < heads; h++)
        qw_delta_state_get(st->recurrent + h * qw_delta_state_floats(dk, dv), dk, dv, state + h * dk * dv);
    compare(s, what, state, golden_f32(s->g, what, NULL), heads * dk * dv, 1e-4);
    free(state);
}

static void compare_states(subject *s)
{
    for (int i = 0; i < s->model.config.text.n_layers; i++) {
        const qw_layer_state *st = qw_session_layer(s->session, i);
        if (s->model.config.text.layer_kinds[i] == QW_LAYER_DELTA)
            compare_delta(s, i, st);
        else
            compare_cache(s, i, st);
    }
}

/* 32 tokens, each the best after the one before; row k of the file: logits after feeding token k. */
static void compare_greedy(subject *s, const char *ids_name, const char *logits_name)
{
    size_t n;
    const int32_t *ids = golden_i32(s->g, ids_name, &n);
    const float *want = golden_f32(s->g, logits_name, NULL);
    float *got = floats(n * s->V);
    qwren_error err = { 0 };
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(best(qw_session_logits(s->session), s->V), ids[i]);
        assert_int_equal(qw_session_step(s->session, ids[i], &err), QWREN_OK);
        memcpy(got + i * s->V, qw_session_logits(s->session), s->V * sizeof *got);
    }
    compare(s, logits_name, got, want, n * s->V, LOGIT_LIMIT);
    free(got);
}

static void prompt_at_once(const char *name)
{
    subject s = { 0 };
    open_subject(&s, name);
    watcher w = { &s, golden_dim(s.g, "hidden", 1) };
    qw_trace trace = { watch, &w };
    qw_timeline t = text_timeline(&s, golden_i32(s.g, "input_ids", NULL), s.T);
    float *logits = floats(s.T * s.V);
    qw_session_set_trace(s.session, &trace);
    eval(&s, &t, 0, s.T, logits);
    qw_session_set_trace(s.session, NULL);
    compare(&s, "final_hidden", qw_session_hidden(s.session), golden_f32(s.g, "final_hidden", NULL), w.rows * s.H, 1e-4);
    compare(&s, "logits", logits, golden_f32(s.g, "logits", NULL), s.T * s.V, LOGIT_LIMIT);
    compare_states(&s);
    compare_greedy(&s, "greedy_ids", "greedy_logits");
    free(logits);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* The decode path: the recurrent form of the delta rule, one query a time. */
static void prompt_by_tokens(const char *name)
{
    subject s = { 0 };
    open_subject(&s, name);
    const int32_t *ids = golden_i32(s.g, "input_ids", NULL);
    float *logits = floats(s.T * s.V);
    qwren_error err = { 0 };
    for (size_t i = 0; i < s.T; i++) {
        assert_int_equal(qw_session_step(s.session, ids[i], &err), QWREN_OK);
        memcpy(logits + i * s.V, qw_session_logits(s.session), s.V * sizeof *logits);
    }
    compare(&s, "logits, token by token", logits, golden_f32(s.g, "logits", NULL), s.T * s.V, LOGIT_LIMIT);
    compare_states(&s);
    free(logits);
    close_subject(&s);
}

/* ---- MTP: over the prompt, each row with the trunk's hidden state and the token that follows */

static void mtp_head(const char *name)
{
    subject s = { 0 };
    open_subject(&s, name);
    const qw_text_config *c = &s.model.config.text;
    if (!golden_has(s.g, "mtp.logits") || !s.model.has_mtp)
        fail_msg("%s has no MTP head", name);
    qw_timeline t = text_timeline(&s, golden_i32(s.g, "input_ids", NULL), s.T);
    eval(&s, &t, 0, s.T, NULL);
    void *block = qw_alloc_aligned(qw_text_scratch_bytes(c, s.T, s.T));
    float *hidden = floats(s.T * s.H), *logits = floats(s.T * s.V);
    memcpy(hidden, qw_session_hidden(s.session), s.T * s.H * sizeof *hidden);
    qw_layer_state st = { .cache = qw_alloc_aligned(qw_cache_bytes(c, QW_KV_F32, s.T)), .cache_type = QW_KV_F32, .capacity = s.T };
    qw_text_scratch scratch;
    qw_text_scratch_init(&scratch, block, c, s.T, s.T);
    qw_batch b = { .ids = golden_i32(s.g, "mtp.next_ids", NULL),
                   .pos = (const int32_t(*)[3])t.pos,
                   .n = s.T,
                   .segments = &(qw_segment){ .states = &st, .n = s.T },
                   .n_segments = 1,
                   .n_last = QW_ALL_ROWS };
    qw_mtp_forward(s.model.ops, &s.model.text, &s.model.mtp, &scratch, &b, hidden);
    compare(&s, "mtp.hidden", scratch.in.f32, golden_f32(s.g, "mtp.hidden", NULL), golden_dim(s.g, "mtp.hidden", 0) * s.H, 1e-4);
    qw_text_logits(s.model.ops, &s.model.text, logits, &scratch.in, s.T);
    compare(&s, "mtp.logits", logits, golden_f32(s.g, "mtp.logits", NULL), s.T * s.V, LOGIT_LIMIT);
    qw_free_aligned(block);
    free(hidden), free(logits);
    qw_free_aligned(st.cache);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* ---- rows of pictures and films over their pads, positions on three axes */

static void place_rows(subject *s, qw_timeline *t, const int32_t *kind)
{
    const float *rows = golden_f32(s->g, "mm.features", NULL);
    size_t used = 0;
    t->spans = calloc(t->n, sizeof *t->spans);
    for (size_t i = 0; i < t->n; i++) {
        if (!kind[i])
            continue;
        qw_image_span *last = t->n_spans ? &t->spans[t->n_spans - 1] : NULL;
        if (last && last->begin + last->n == i)
            last->n++;
        else
            t->spans[t->n_spans++] = (qw_image_span){ .begin = i, .n = 1, .rows = rows + used * s->H };
        used++;
    }
    assert_int_equal(used, golden_dim(s->g, "mm.features", 0));
}

static void picture_rows(const char *name)
{
    subject s = { 0 };
    open_subject(&s, name);
    size_t n;
    qw_timeline t = { .ids = (int32_t *)(uintptr_t)golden_i32(s.g, "mm.input_ids", &n) };
    const int32_t *pos = golden_i32(s.g, "mm.position_ids", NULL);
    t.n = n;
    t.pos = calloc(n, sizeof *t.pos);
    t.keys = calloc(n, sizeof *t.keys);
    for (size_t i = 0; i < 3 * n; i++)
        t.pos[i % n][i / n] = pos[i];
    t.next_pos = (int32_t)n + golden_i32(s.g, "mm.rope_delta", NULL)[0];
    place_rows(&s, &t, golden_i32(s.g, "mm.kind", NULL));
    float *logits = floats(n * s.V);
    eval(&s, &t, 0, n, logits);
    compare(&s, "mm.logits", logits, golden_f32(s.g, "mm.logits", NULL), n * s.V, LOGIT_LIMIT);
    compare_greedy(&s, "mm.greedy_ids", "mm.greedy_logits");
    free(logits), free(t.pos), free(t.keys), free(t.spans);
    close_subject(&s);
}

/* clang-format off */
#define SUBJECT_TESTS(id, name)                                                  \
    static void id##_at_once(void **state) { (void)state; prompt_at_once(name); } \
    static void id##_by_tokens(void **state) { (void)state; prompt_by_tokens(name); }
SUBJECT_TESTS(a, "tiny-a")
SUBJECT_TESTS(b, "tiny-b")
SUBJECT_TESTS(c, "tiny-c")
static void a_mtp(void **state) { (void)state; mtp_head("tiny-a"); }
static void a_pictures(void **state) { (void)state; picture_rows("tiny-a"); }
static void b_pictures(void **state) { (void)state; picture_rows("tiny-b"); }
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_at_once),   cmocka_unit_test(b_at_once),   cmocka_unit_test(c_at_once),
        cmocka_unit_test(a_by_tokens), cmocka_unit_test(b_by_tokens), cmocka_unit_test(c_by_tokens),
        cmocka_unit_test(a_mtp),       cmocka_unit_test(a_pictures),  cmocka_unit_test(b_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
