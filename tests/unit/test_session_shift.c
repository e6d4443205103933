/* A window that is moved: keys stand where they would stand at their new positions, values and states are as they were, and nobody takes the timeline for another. */
#include <math.h>

#include "support/tiny.h"

#define KEEP 16
#define BY 144

static qw_prefix *new_prefix(void)
{
    qw_page_shape shape;
    qw_prefix *p = NULL;
    qwren_error err = { 0 };
    ok(qw_page_shape_make(&shape, &model.config.text, QW_KV_F16, &err), &err);
    ok(qw_prefix_create(&p, &shape, &(qw_prefix_options){ .budget_bytes = SIZE_MAX }, &err), &err);
    return p;
}

static qw_session *new_session(qwren_kv_type type, qw_prefix *p)
{
    return session_with(&(qw_session_options){ .n_ctx = 1200, .kv_type = type, .prefix = p });
}

static int attention_layer(void)
{
    int i = 0;
    while (model.config.text.layer_kinds[i] != QW_LAYER_ATTENTION)
        i++;
    return i;
}

/* A key and a value of head 0 of the first attention layer. */
static void get(qw_session *s, size_t pos, float *k, float *v)
{
    const qw_layer_state *st = qw_session_layer(s, attention_layer());
    const qw_kv kv = { .type = st->cache_type, .head_dim = (size_t)model.config.text.head_dim, .pages = st->pages, .offset = st->offset };
    qw_kv_get(&kv, pos, k, v);
}

/* k turned back by so many positions. */
static void turn(float *k, int32_t by)
{
    const size_t half = (size_t)model.config.text.rotary_dim / 2;
    for (size_t i = 0; i < half; i++) {
        const double angle = -by * model.text.rope_freq[i], a = k[i], b = k[i + half];
        k[i] = (float)(a * cos(angle) - b * sin(angle));
        k[i + half] = (float)(b * cos(angle) + a * sin(angle));
    }
}

static void keys_move_and_states_stay(void **state)
{
    (void)state;
    enum { N = 700, MOST = 512 };
    qw_session *s = new_session(QWREN_KV_F32, NULL);
    qw_timeline t = timeline(N, N, 0);
    qwren_error err = { 0 };
    float(*keys)[MOST] = malloc(N * sizeof *keys), (*values)[MOST] = malloc(N * sizeof *values), k[MOST], v[MOST];
    const size_t hd = (size_t)model.config.text.head_dim;
    assert_true(hd <= MOST);
    eval(s, &t, 0, N);
    for (size_t i = 0; i < N; i++)
        get(s, i, keys[i], values[i]);
    const int delta = attention_layer() == 0 ? 1 : 0;
    const size_t floats = qw_recurrent_floats(&model.config.text);
    float *before = malloc(floats * sizeof *before);
    memcpy(before, qw_session_layer(s, delta)->recurrent, floats * sizeof *before);

    ok(qw_session_shift(s, KEEP, BY, &err), &err);
    assert_int_equal(qw_session_length(s), N - BY);
    assert_int_equal(qw_session_next_pos(s), N - BY);
    assert_non_null(qw_session_logits(s));
    assert_memory_equal(before, qw_session_layer(s, delta)->recurrent, floats * sizeof *before);
    for (size_t i = 0; i < N - BY; i++) {
        const size_t from = i < KEEP ? i : i + BY;
        get(s, i, k, v);
        if (from != i)
            turn(keys[from], BY);
        for (size_t d = 0; d < hd; d++) {
            assert_float_equal(k[d], keys[from][d], 2e-5);
            assert_float_equal(v[d], values[from][d], 0);
        }
    }
    for (int i = 0; i < 10; i++)
        ok(qw_session_step(s, i, &err), &err);
    for (int i = 0; i < model.config.text.vocab_size; i++)
        assert_true(isfinite(qw_session_logits(s)[i]));
    free(before), free(keys), free(values);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* The timeline that it was is still found, by itself and by others; what it has become is not found. */
static void nobody_takes_it_for_another(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix();
    qw_session *s = new_session(QWREN_KV_F16, p), *other = new_session(QWREN_KV_F16, p);
    qw_timeline t = timeline(700, 700, 0), longer = timeline(720, 720, 0);
    qwren_error err = { 0 };
    eval(s, &t, 0, 700);
    ok(qw_session_shift(s, KEEP, BY, &err), &err);
    ok(qw_session_step(s, 7, &err), &err);
    assert_int_equal(qw_session_reuse(other, &longer).length, 700);
    eval(other, &longer, 700, 720);
    is_as_fresh(other, &longer, 720);
    assert_int_equal(qw_session_rewind(s, 300, &err), QWREN_E_ARGUMENT); /* its tokens cannot be computed again */
    assert_int_equal(qw_session_length(s), 700 - BY + 1);
    assert_int_equal(qw_session_reuse(s, &longer).length, 700);
    eval(s, &longer, 700, 720);
    is_as_fresh(s, &longer, 720);
    qw_session_free(s), qw_session_free(other);
    qw_prefix_free(p);
    qw_timeline_deinit(&t), qw_timeline_deinit(&longer);
}

/* No request can find its end, so the cache keeps none; but what is made on the way serves the session itself. */
static void what_is_moved_takes_no_room_when_it_is_left(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix();
    qw_session *s = new_session(QWREN_KV_F16, p);
    qw_timeline t = timeline(1000, 1000, 0);
    qwren_error err = { 0 };
    for (int how = 0; how < 2; how++) {
        qw_session_reset(s);
        eval(s, &t, 0, 700);
        ok(qw_session_shift(s, KEEP, BY, &err), &err);
        const size_t before = qw_prefix_statistics(p).n_checkpoints;
        if (how)
            ok(qw_session_step(s, 7, &err), &err);
        ok(qw_session_shift(s, KEEP, BY, &err), &err);
        qw_session_reset(s);
        assert_int_equal(qw_prefix_statistics(p).n_checkpoints, before);
    }
    eval(s, &t, 0, 700);
    ok(qw_session_shift(s, KEEP, BY, &err), &err);
    eval(s, &t, 700, 1000);
    ok(qw_session_rewind(s, 800, &err), &err); /* from the interval at 768 */
    assert_int_equal(qw_session_length(s), 800);
    qw_session_free(s);
    qw_prefix_free(p);
    qw_timeline_deinit(&t);
}

/* Logits that stand behind another token do not come back, and no moved token is taken for a picture. */
static bool stop_at_once(void *ctx, size_t done, size_t total) { return (void)ctx, done >= total; }

static void what_is_moved_is_what_it_was(void **state)
{
    (void)state;
    qw_session *s = new_session(QWREN_KV_F16, NULL);
    qw_timeline t = timeline(1100, 1100, 0);
    qwren_error err = { 0 };
    eval(s, &t, 0, 50);
    assert_int_equal(qw_session_eval(s, &t, 50, 1100, &(qw_eval_options){ .progress = stop_at_once }, &err), QWREN_E_CANCELLED);
    assert_null(qw_session_logits(s));
    ok(qw_session_shift(s, KEEP, BY, &err), &err);
    assert_null(qw_session_logits(s));
    for (size_t i = 0; i < qw_session_length(s); i++)
        assert_false(qw_session_keys(s)[i] & QW_PICTURE_KEY);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

static void wrong_moves_are_refused(void **state)
{
    (void)state;
    qw_session *s = new_session(QWREN_KV_F16, NULL);
    qw_timeline t = timeline(100, 100, 0);
    qwren_error err = { 0 };
    eval(s, &t, 0, 100);
    assert_int_equal(qw_session_shift(s, 8, 16, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_shift(s, 16, 8, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_shift(s, 16, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_shift(s, 16, 96, &err), QWREN_E_ARGUMENT);
    is_as_fresh(s, &t, 100);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_move_and_states_stay),
        cmocka_unit_test(nobody_takes_it_for_another),
        cmocka_unit_test(what_is_moved_takes_no_room_when_it_is_left),
        cmocka_unit_test(what_is_moved_is_what_it_was),
        cmocka_unit_test(wrong_moves_are_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
