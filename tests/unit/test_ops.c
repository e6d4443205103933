/* The CPU device: what it computes does not depend on the number of threads, to the bit; each operation is its kernel over all rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/thread.h"
#include "compute/ops.h"
#include "support/fault.h"

#define N 37 /* tokens */
#define HEADS 6
#define KV 2
#define HD 24
#define HALF 5
#define COLS 200
#define ROWS 300
#define TAPS 4
#define DK 12
#define DV 20
#define CHANNELS (2 * KV * DK + HEADS * DV)

/* Everything that the operations read and write, filled alike for every number of threads. */
typedef struct world {
    float w[ROWS * COLS], bias[ROWS], x[N * COLS], y[N * ROWS], normed[N * COLS], layer[N * COLS], gated[N * COLS];
    float q[N * HEADS * HD], k[N * KV * HD], v[N * KV * HD], cos[N * HALF], sin[N * HALF], causal[N * HEADS * HD], full[N * HEADS * HD];
    float conv_w[TAPS * CHANNELS], tail[(TAPS - 1) * CHANNELS], qkv[N * CHANNELS], mixed[N * CHANNELS];
    float a[N * HEADS], b[N * HEADS], decay[N * HEADS], beta[N * HEADS], rate[HEADS], state[HEADS * DK * DV], delta[N * HEADS * DV];
    float gelu_tanh[N * COLS], gelu_erf[N * COLS], silu[N * COLS], sum[N * COLS];
} world;

static void fill(world *w)
{
    qw_rng rng;
    qw_rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof *w / sizeof(float); i++)
        ((float *)w)[i] = (float)(2 * qw_rng_double(&rng) - 1);
    for (size_t i = 0; i < HEADS; i++)
        w->rate[i] = -0.5F;
    for (size_t i = 0; i < N * COLS; i++)
        w->gelu_tanh[i] = w->gelu_erf[i] = w->sum[i] = w->x[i];
}

static void compute(world *w, int threads)
{
    qw_ops *ops = NULL;
    qw_matrix m = { .type = QW_TYPE_F32, .rows = ROWS, .cols = COLS, .data = w->w };
    assert_int_equal(qw_ops_create(&ops, threads, NULL), QWREN_OK);
    assert_int_equal(qw_ops_reserve_delta(ops, DK, DV, NULL), QWREN_OK);
    qw_op_linear(ops, w->y, &m, w->bias, w->x, N);
    qw_op_rmsnorm(ops, w->normed, w->x, w->bias, N, COLS, 1e-6F);
    qw_op_layernorm(ops, w->layer, w->x, w->bias, w->bias, N, COLS, 1e-6F);
    qw_op_gated_rmsnorm(ops, w->gated, w->x, w->bias, w->normed, N, COLS, 1e-6F);
    qw_op_add(ops, w->sum, w->layer, N * COLS);
    qw_op_silu_mul(ops, w->silu, w->x, w->layer, N * COLS);
    qw_op_gelu_tanh(ops, w->gelu_tanh, N * COLS);
    qw_op_gelu_erf(ops, w->gelu_erf, N * COLS);
    qw_op_rope(ops, w->q, N, HEADS, HEADS * HD, HD, w->cos, w->sin, HALF);
    qw_attention_args a = { .out = w->causal,
                            .q = w->q,
                            .k = w->k,
                            .v = w->v,
                            .out_stride = HEADS * HD,
                            .q_token_stride = HEADS * HD,
                            .q_head_stride = HD,
                            .kv_token_stride = KV * HD,
                            .kv_head_stride = HD,
                            .n_queries = N,
                            .n_keys = N,
                            .n_heads = HEADS,
                            .n_kv_heads = KV,
                            .head_dim = HD,
                            .causal = true,
                            .scale = 0.2F };
    qw_op_attention(ops, &a);
    a.out = w->full;
    a.causal = false;
    qw_op_attention(ops, &a);
    qw_op_sigmoid_gate(ops, w->full, w->q, HEADS * HD, HD, N, HEADS, HD);
    qw_op_conv_silu(ops, w->mixed, w->qkv, w->tail, w->conv_w, CHANNELS, N, TAPS);
    qw_op_delta_gates(ops, w->decay, w->beta, w->a, w->b, w->rate, w->rate, N, HEADS);
    qw_delta_op_args d = { .out = w->delta,
                           .state = w->state,
                           .qkv = w->mixed,
                           .log_decay = w->decay,
                           .beta = w->beta,
                           .n = N,
                           .key_heads = KV,
                           .value_heads = HEADS,
                           .key_dim = DK,
                           .value_dim = DV };
    qw_op_delta(ops, &d);
    qw_ops_free(ops);
}

static void results_do_not_depend_on_threads(void **state)
{
    (void)state;
    world *one = malloc(sizeof *one), *many = malloc(sizeof *many);
    assert_true(one && many);
    fill(one);
    compute(one, 1);
    for (int threads = 2; threads <= 5; threads++) {
        fill(many);
        compute(many, threads);
        assert_memory_equal(one, many, sizeof *one);
    }
    free(one), free(many);
}

/* A query of the causal form sees the keys up to its own: it is the full form over those. */
static void causal_is_full_over_what_came_before(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    assert_non_null(w);
    fill(w);
    compute(w, 2);
    qw_ops *ops = NULL;
    assert_int_equal(qw_ops_create(&ops, 2, NULL), QWREN_OK);
    for (size_t i = 0; i < N; i++) {
        float out[HEADS * HD];
        qw_attention_args a = { .out = out,
                                .q = w->q + i * HEADS * HD,
                                .k = w->k,
                                .v = w->v,
                                .out_stride = HEADS * HD,
                                .q_token_stride = HEADS * HD,
                                .q_head_stride = HD,
                                .kv_token_stride = KV * HD,
                                .kv_head_stride = HD,
                                .n_queries = 1,
                                .n_keys = i + 1,
                                .n_heads = HEADS,
                                .n_kv_heads = KV,
                                .head_dim = HD,
                                .causal = false,
                                .scale = 0.2F };
        qw_op_attention(ops, &a);
        assert_memory_equal(out, w->causal + i * HEADS * HD, sizeof out);
    }
    qw_ops_free(ops);
    free(w);
}

static qwren_status create(void *ctx, qwren_error *err)
{
    qw_ops *ops = NULL;
    (void)ctx;
    qwren_status st = qw_ops_create(&ops, 2, err);
    if (st == QWREN_OK)
        st = qw_ops_reserve_delta(ops, 16, 16, err);
    qw_ops_free(ops);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(create, NULL, 1) >= 2);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_do_not_depend_on_threads),
        cmocka_unit_test(causal_is_full_over_what_came_before),
        cmocka_unit_test(memory_may_be_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
