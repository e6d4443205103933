/* Models in GGUF files against the reference: llama.cpp's own converter and quantiser made the files, transformers computed the logits in fp32 on exactly the
 * dequantised weights (tests/oracle/make_gguf.py). Every number format is in one of the files. Pictures: tests/golden/test_vision_prompts.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/alloc.h"
#include "runtime/session.h"
#include "support/golden.h"
#include "support/gguf_make.h"

#define LOGIT_LIMIT 1e-3 /* of docs/model.md: fp32 arithmetic on exact weights */

typedef struct subject {
    qw_model model;
    qw_session *session;
    qw_golden *g;
    qw_timeline t;
    size_t n, V, H;
} subject;

static void open_in(subject *s, const char *path, const char *ref, qwren_arithmetic arithmetic)
{
    qwren_error err = { 0 };
    *s = (subject){ 0 };
    if (qw_model_init(&s->model, path, &(qw_model_params){ .n_threads = 2, .arithmetic = arithmetic }, &err) ||
        qw_session_create(&s->session, &s->model, &(qw_session_options){ .n_ctx = 128 }, &err))
        fail_msg("%s", err.text);
    s->g = golden_open(ref);
    const int32_t *ids = golden_i32(s->g, "input_ids", &s->n);
    s->V = (size_t)s->model.config.text.vocab_size;
    s->H = (size_t)s->model.config.text.hidden_size;
    if (qw_timeline_build(&s->t, &s->model.config, ids, s->n, NULL, NULL, 0, 0, &err))
        fail_msg("%s", err.text);
}

static void open_subject(subject *s, const char *path, const char *ref) { open_in(s, path, ref, QWREN_ARITHMETIC_EXACT); }

static void close_subject(subject *s)
{
    golden_close(s->g);
    qw_timeline_deinit(&s->t);
    qw_session_free(s->session);
    qw_model_deinit(&s->model);
}

static void compare_logits(subject *s, const char *what)
{
    qwren_error err = { 0 };
    float *logits = calloc(s->n * s->V, sizeof *logits);
    assert_non_null(logits);
    if (qw_session_eval(s->session, &s->t, 0, s->n, &(qw_eval_options){ .all_logits = logits }, &err))
        fail_msg("%s", err.text);
    golden_compare(what, logits, golden_f32(s->g, "logits", NULL), s->n * s->V, LOGIT_LIMIT);
    free(logits);
}

/* The state of the recurrence and the cache instead of one long batch. */
static void compare_steps(subject *s, const char *what)
{
    qwren_error err = { 0 };
    qw_session_reset(s->session);
    for (size_t i = 0; i < s->n; i++)
        if (qw_session_step(s->session, s->t.ids[i], &err))
            fail_msg("%s", err.text);
    golden_compare(what, qw_session_logits(s->session), golden_f32(s->g, "logits", NULL) + (s->n - 1) * s->V, s->V, LOGIT_LIMIT);
}

static void file_against(const char *name, const char *ref_name)
{
    char path[512], ref[128];
    subject s;
    snprintf(path, sizeof path, "%s/gguf/%s", QW_TEST_DATA, name);
    snprintf(ref, sizeof ref, "gguf/%s.ref.safetensors", ref_name);
    open_subject(&s, path, ref);
    compare_logits(&s, name);
    compare_steps(&s, "token by token");
    close_subject(&s);
}

/* As most programs compute: activations in eight bits, keys and values in sixteen. */
static void near_in_default(const char *name, const char *ref_name, double max_relative)
{
    char path[512], ref[128];
    subject s;
    qwren_error err = { 0 };
    snprintf(path, sizeof path, "%s/gguf/%s", QW_TEST_DATA, name);
    snprintf(ref, sizeof ref, "gguf/%s.ref.safetensors", ref_name);
    open_in(&s, path, ref, QWREN_ARITHMETIC_DEFAULT);
    float *logits = calloc(s.n * s.V, sizeof *logits);
    assert_non_null(logits);
    if (qw_session_eval(s.session, &s.t, 0, s.n, &(qw_eval_options){ .all_logits = logits }, &err))
        fail_msg("%s", err.text);
    golden_near(name, logits, golden_f32(s.g, "logits", NULL), s.n * s.V, max_relative);
    free(logits);
    close_subject(&s);
}

static void in_eight_bits(void **state)
{
    (void)state;
    near_in_default("tiny-a-Q8_0.gguf", "tiny-a", 0.01);
    near_in_default("tiny-b-mixed.gguf", "tiny-b", 0.008);
    near_in_default("tiny-c-BF16.gguf", "tiny-c", 0.006);
}

static void q8_0_tiled_by_two(void **state)
{
    (void)state;
    file_against("tiny-a-Q8_0.gguf", "tiny-a");
}

static void every_format(void **state)
{
    (void)state;
    file_against("tiny-b-mixed.gguf", "tiny-b");
}

static void bf16_tiled_by_three(void **state)
{
    (void)state;
    file_against("tiny-c-BF16.gguf", "tiny-c");
}

/* Every format that messages promise is in the mixed file: the test above has met it. */
static void the_mixed_file_has_all(void **state)
{
    (void)state;
    qw_gguf *g;
    qwren_error err = { 0 };
    size_t n, met[QW_TYPE_COUNT] = { 0 };
    if (qw_gguf_open(&g, QW_TEST_DATA "/gguf/tiny-b-mixed.gguf", &err))
        fail_msg("%s", err.text);
    const qw_tensor *t = qw_gguf_tensors(g, &n);
    for (size_t i = 0; i < n; i++)
        met[t[i].type]++;
    for (qw_type k = 0; k < QW_TYPE_OTHER; k++)
        if ((qw_type_is_float(k) || qw_type_kind(k) == QW_KIND_BLOCK) && !met[k])
            fail_msg("no tensor of tiny-b-mixed.gguf is %s", qw_type_name(k));
    qw_gguf_close(g);
}

static void mtp_head(void **state)
{
    (void)state;
    subject s;
    open_subject(&s, QW_TEST_DATA "/gguf/tiny-a-Q8_0.gguf", "gguf/tiny-a.ref.safetensors");
    const qw_text_config *c = &s.model.config.text;
    assert_true(s.model.has_mtp);
    void *block = qw_alloc_aligned(qw_text_scratch_bytes(c, s.n, s.n));
    float *logits = calloc(s.n * s.V, sizeof *logits);
    qw_layer_state st = { .cache = qw_alloc_aligned(qw_cache_bytes(c, QW_KV_F32, s.n)), .cache_type = QW_KV_F32, .capacity = s.n };
    qw_text_scratch scratch;
    qw_text_scratch_init(&scratch, block, c, s.n, s.n);
    qw_batch b = { .ids = golden_i32(s.g, "mtp.next_ids", NULL),
                   .pos = (const int32_t(*)[3])s.t.pos,
                   .n = s.n,
                   .segments = &(qw_segment){ .states = &st, .n = s.n },
                   .n_segments = 1,
                   .n_last = QW_ALL_ROWS };
    qw_mtp_forward(s.model.ops, &s.model.text, &s.model.mtp, &scratch, &b, golden_f32(s.g, "hidden", NULL));
    qw_text_logits(s.model.ops, &s.model.text, logits, &scratch.in, s.n);
    golden_compare("mtp.logits", logits, golden_f32(s.g, "mtp.logits", NULL), s.n * s.V, LOGIT_LIMIT);
    qw_free_aligned(block);
    free(logits);
    qw_free_aligned(st.cache);
    close_subject(&s);
}

/* Version 2 has the same bytes behind its number. */
static void version_2(void **state)
{
    (void)state;
    char dir[64], path[600], *bytes;
    size_t n;
    qwren_error err = { 0 };
    subject s;
    if (qw_file_read(QW_TEST_DATA "/gguf/tiny-c-BF16.gguf", SIZE_MAX / 2, &bytes, &n, &err))
        fail_msg("%s", err.text);
    bytes[4] = 2;
    gguf_folder(dir);
    gguf_write(dir, "v2.gguf", &(qw_buf){ .data = bytes, .len = n });
    snprintf(path, sizeof path, "%s/v2.gguf", dir);
    open_subject(&s, path, "gguf/tiny-c.ref.safetensors");
    compare_logits(&s, "version 2");
    close_subject(&s);
    gguf_folder_remove(dir);
    qw_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q8_0_tiled_by_two),   cmocka_unit_test(in_eight_bits),          cmocka_unit_test(every_format),
        cmocka_unit_test(bf16_tiled_by_three), cmocka_unit_test(the_mixed_file_has_all), cmocka_unit_test(mtp_head),
        cmocka_unit_test(version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
