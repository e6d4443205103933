/* runtime/traffic.c: bytes and operations of a token against sums that are written out by hand for the shape "tiny". */
#include "support/nano.h"

#include "api/model.h"
#include "runtime/memplan.h"
#include "runtime/traffic.h"

/* "tiny": 3 DeltaNet layers and 1 of attention; H 128, I 256, V 1024; 4 heads over 2 of 64; 2 key and 4 value heads of 64; convolution of 4 */
enum { H = 128, I = 256, V = 1024, QKV = 2 * 2 * 64 + 4 * 64, Z = 4 * 64, HEADS = 4 * 64, KV = 2 * 64 };
enum {
    MLP = 3 * I * H,
    DELTA_BODY = QKV * H + Z * H,
    DELTA_AB = 2 * 4 * H,
    DELTA_OUT = H * Z,
    ATTENTION_Q = 2 * HEADS * H,
    ATTENTION_KVO = 2 * KV * H + H * HEADS,
    DELTA_VECTORS = 2 * H + 4 * QKV + 4 + 4 + 64,
    ATTENTION_VECTORS = 2 * H + 64 + 64,
    VECTORS = 3 * DELTA_VECTORS + ATTENTION_VECTORS + H,
};

static qw_traffic count(const char *recipe, size_t depth)
{
    qwren_model *m;
    qw_traffic t;
    qwren_error err;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    if (qwren_model_random(&m, "tiny", recipe, &opt, &err) || qw_traffic_of(&t, &m->core, depth, QW_KV_F16, &err))
        fail_msg("%s", err.text);
    qwren_model_close(m);
    return t;
}

static void operations_are_two_a_weight(void **state)
{
    (void)state;
    const qw_traffic t = count("bf16", 0);
    assert_int_equal(t.layer_ops, 2 * (4 * MLP + 3 * (DELTA_BODY + DELTA_AB + DELTA_OUT) + ATTENTION_Q + ATTENTION_KVO));
    assert_int_equal(t.head_ops, 2 * V * H);
    assert_int_equal(t.last_ops, 2 * (MLP + ATTENTION_Q + H * HEADS)); /* the last layer is one of attention: all but keys and values */
    assert_true(t.is_float);
    assert_false(count("6bit", 0).is_float);
}

static void weights_are_read_once(void **state)
{
    (void)state;
    const uint64_t bf16 = 2 * (uint64_t)(4 * MLP + 3 * (DELTA_BODY + DELTA_AB + DELTA_OUT) + ATTENTION_Q + ATTENTION_KVO + V * H + H);
    assert_int_equal(count("bf16", 0).weight_bytes, bf16 + VECTORS * sizeof(float));
    /* six bits and eight, and 32 for scale and bias of 64 weights */
    const uint64_t six = 4 * MLP + 3 * DELTA_BODY + ATTENTION_Q + V * H + H, eight = 3 * DELTA_OUT + ATTENTION_KVO;
    const uint64_t bytes = six * 13 / 16 + eight * 17 / 16 + 3 * DELTA_AB * 2;
    assert_int_equal(count("6bit", 0).weight_bytes, bytes + VECTORS * sizeof(float));
}

static void the_cache_grows_and_states_do_not(void **state)
{
    (void)state;
    const qw_traffic at[] = { count("6bit", 0), count("6bit", 99), count("6bit", 1999) };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(at[i].state_bytes, 2 * 3 * (qw_op_delta_state(4, 64, 64) + 3 * QKV) * sizeof(float));
        assert_int_equal(at[i].weight_bytes, at[0].weight_bytes);
    }
    assert_true(at[0].cache_bytes >= 2 * KV && at[0].cache_bytes <= 2 * KV * sizeof(float)); /* 8 to 32 bits a value */
    assert_int_equal(at[1].cache_bytes, 100 * at[0].cache_bytes);
    assert_int_equal(at[2].cache_bytes, 2000 * at[0].cache_bytes);
}

static void the_context_has_an_end(void **state)
{
    (void)state;
    qwren_model *m;
    qwren_token_cost c;
    qwren_error err;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    assert_int_equal(qwren_model_random(&m, "tiny", NULL, &opt, &err), QWREN_OK);
    assert_int_equal(qwren_model_get_token_cost(m, 4095, QWREN_KV_Q8, &c, &err), QWREN_OK);
    assert_int_equal(qwren_model_get_token_cost(m, 4096, QWREN_KV_DEFAULT, &c, &err), QWREN_E_LIMIT);
    assert_int_equal(c.weight_bytes, 0);
    qwren_model_close(m);
}

static void a_picture(void **state)
{
    (void)state;
    qwren_model *m;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    assert_int_equal(qwren_model_random(&m, "tiny", NULL, &opt, NULL), QWREN_OK);
    enum { D = 128, N = 64, BLOCK = 3 * D * D + D * D + 2 * 256 * D, PATCH = D * 3 * 2 * 16 * 16, MERGER = 4 * D * 4 * D + H * 4 * D };
    assert_int_equal(qwren_model_get_image_ops(m, N), 2 * (2 * BLOCK * N + 2 * 2 * N * N * D + PATCH * N + MERGER * N / 4));
    qwren_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_two_a_weight),
        cmocka_unit_test(weights_are_read_once),
        cmocka_unit_test(the_cache_grows_and_states_do_not),
        cmocka_unit_test(the_context_has_an_end),
        cmocka_unit_test(a_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
