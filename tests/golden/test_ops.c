/* The operations one by one against stored values of the reference (tests/oracle/make_text.py): norms, convolution, decay, delta rule, rotation, one whole
 * attention block. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "kernels/kernels.h"
#include "model/text.h"

#define OPS "text/ops.safetensors"

static qw_kernels table;

static qw_ops *new_ops(void)
{
    qw_ops *ops = NULL;
    qwren_error err = { 0 };
    const qw_ops_needs needs = { .cols = 8192, .key_dim = 1, .value_dim = 1, .values_per_key = 1, .head_dim = 256, .heads_per_kv = 8 };
    if (qw_ops_create(&ops, &(qw_ops_options){ .n_threads = 3, .arithmetic = QWREN_ARITHMETIC_EXACT }, &err) ||
        qw_ops_reserve(ops, &needs, &err))
        fail_msg("%s", err.text);
    return ops;
}

static float *floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static float *copy(const float *from, size_t n, float plus)
{
    float *p = floats(n);
    for (size_t i = 0; i < n; i++)
        p[i] = from[i] + plus;
    return p;
}

static float *transposed(const float *from, size_t rows, size_t cols)
{
    float *p = floats(rows * cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            p[c * rows + r] = from[r * cols + c];
    return p;
}

static void norms_are_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    qw_ops *ops = new_ops();
    size_t n, width = golden_dim(g, "norm.x", 1);
    const float *x = golden_f32(g, "norm.x", &n);
    float *w = copy(golden_f32(g, "norm.w", NULL), width, 1), *y = floats(n);
    qw_op_rmsnorm(ops, y, x, w, n / width, width, 1e-6F);
    golden_compare("norm", y, golden_f32(g, "norm.out", NULL), n, 1e-5);

    width = golden_dim(g, "gnorm.x", 1);
    x = golden_f32(g, "gnorm.x", &n);
    float *gated = floats(n);
    const float *z = golden_f32(g, "gnorm.z", NULL);
    for (size_t i = 0; i < n; i += width)
        table.gated_rmsnorm(gated + i, x + i, golden_f32(g, "gnorm.w", NULL), z + i, width, 1e-6F);
    golden_compare("gnorm", gated, golden_f32(g, "gnorm.out", NULL), n, 1e-5);
    free(gated), free(y), free(w);
    qw_ops_free(ops);
    golden_close(g);
}

static void decay_is_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    size_t n;
    const float *a = golden_f32(g, "decay.a", &n), *log_a = golden_f32(g, "decay.A_log", NULL);
    float *neg = floats(n), *out = floats(n), *beta = floats(n);
    for (size_t i = 0; i < n; i++)
        neg[i] = -expf(log_a[i]);
    table.delta_gates(out, beta, a, a, neg, golden_f32(g, "decay.dt_bias", NULL), 1, n);
    const float *want = golden_f32(g, "decay.g", NULL);
    for (size_t i = 0; i < n; i++) /* values from 1e-9 to 100: relative */
        if (fabsf(out[i] - want[i]) > 1e-5F * fabsf(want[i]))
            fail_msg("decay %zu: %.9g, the reference has %.9g", i, (double)out[i], (double)want[i]);
    free(neg), free(out), free(beta);
    golden_close(g);
}

/* The file holds channels first, [C, T]; ours are tokens first. */
static void convolution_is_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    const size_t C = golden_dim(g, "conv.x", 0), T = golden_dim(g, "conv.x", 1), taps = golden_dim(g, "conv.w", 1);
    float *x = transposed(golden_f32(g, "conv.x", NULL), C, T), *w = transposed(golden_f32(g, "conv.w", NULL), C, taps);
    float *want = transposed(golden_f32(g, "conv.out", NULL), C, T),
          *want_tail = transposed(golden_f32(g, "conv.step_state", NULL), C, taps - 1);
    for (size_t cut = 0; cut <= T; cut++) { /* in two pieces, cut anywhere: the tail carries over */
        float *y = floats(T * C), *tail = floats((taps - 1) * C);
        table.conv_silu(y, C, x, tail, w, C, C, cut, taps);
        table.conv_silu(y + cut * C, C, x + cut * C, tail, w, C, C, T - cut, taps);
        golden_compare("conv", y, want, T * C, 1e-6);
        free(tail), free(y);
    }
    /* One step from a carried state: the file's state is that after 10 tokens. */
    float *y = floats(T * C), *tail = floats((taps - 1) * C), *step = floats(C);
    table.conv_silu(y, C, x, tail, w, C, C, 10, taps);
    golden_compare("conv.step_state", tail, want_tail, (taps - 1) * C, 0);
    table.conv_silu(step, C, golden_f32(g, "conv.step_x", NULL), tail, w, C, C, 1, taps);
    golden_compare("conv.step", step, golden_f32(g, "conv.step_out", NULL), C, 1e-6);
    free(step), free(tail), free(y);
    free(x), free(w), free(want), free(want_tail);
    golden_close(g);
}

/* One head of the golden through a kernel; stride-wise as the operation lays its rows out: [q heads | k heads | v heads]. */
static void run_delta(qw_golden *g, const char *set, const qw_kernels *kernels, const char *suffix)
{
    char name[64];
#define NAMED(what) (snprintf(name, sizeof name, "delta.%s.%s", set, what), name)
    const size_t T = golden_dim(g, NAMED("q"), 0), Hk = golden_dim(g, NAMED("q"), 1), dk = golden_dim(g, NAMED("q"), 2),
                 Hv = golden_dim(g, NAMED("v"), 1), dv = golden_dim(g, NAMED("v"), 2);
    const size_t row = 2 * Hk * dk + Hv * dv;
    float *qkv = floats(T * row), *out = floats(T * Hv * dv), *S = copy(golden_f32(g, NAMED("state_in"), NULL), Hv * dk * dv, 0),
          *head = floats(qw_delta_state_floats(dk, dv));
    const float *q = golden_f32(g, NAMED("q"), NULL), *k = golden_f32(g, NAMED("k"), NULL), *v = golden_f32(g, NAMED("v"), NULL);
    for (size_t t = 0; t < T; t++) {
        memcpy(qkv + t * row, q + t * Hk * dk, Hk * dk * sizeof *q);
        memcpy(qkv + t * row + Hk * dk, k + t * Hk * dk, Hk * dk * sizeof *q);
        memcpy(qkv + t * row + 2 * Hk * dk, v + t * Hv * dv, Hv * dv * sizeof *q);
    }
    float *scratch = floats(qw_delta_scratch(dk, dv));
    for (size_t h = 0; h < Hv; h++) {
        memcpy(head, S + h * dk * dv, dk * dv * sizeof *head);
        head[dk * dv] = 0;
        qw_delta_args a = { .out = out + h * dv,
                            .state = head,
                            .q = qkv + h / (Hv / Hk) * dk,
                            .k = qkv + Hk * dk + h / (Hv / Hk) * dk,
                            .v = qkv + 2 * Hk * dk + h * dv,
                            .log_decay = golden_f32(g, NAMED("g"), NULL) + h,
                            .beta = golden_f32(g, NAMED("beta"), NULL) + h,
                            .out_stride = Hv * dv,
                            .in_stride = row,
                            .gate_stride = Hv,
                            .n_tokens = T,
                            .key_dim = dk,
                            .value_dim = dv,
                            .scratch = scratch };
        kernels->delta(&a);
        qw_delta_state_get(head, dk, dv, S + h * dk * dv);
    }
    char what[96], value[32];
    snprintf(what, sizeof what, "delta.%s%s out", set, suffix);
    snprintf(value, sizeof value, "out%s", suffix);
    golden_compare(what, out, golden_f32(g, NAMED(value), NULL), T * Hv * dv, 2e-6);
    snprintf(what, sizeof what, "delta.%s%s state", set, suffix);
    snprintf(value, sizeof value, "state_out%s", suffix);
    golden_compare(what, S, golden_f32(g, NAMED(value), NULL), Hv * dk * dv, 2e-6);
#undef NAMED
    free(scratch), free(qkv), free(out), free(S), free(head);
}

static void delta_rule_is_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    const qw_kernels *k = &table;
    run_delta(g, "small", k, "");
    run_delta(g, "small", k, "_chunk"); /* the reference in matrix products: the same up to rounding */
    run_delta(g, "real", k, "");
    run_delta(g, "real", k, "_chunk");
    golden_close(g);
}

/* The decoder's rotation at the real size: theta 1e7, 64 of 256 values, sections 11, 11, 10. */
static qw_text_config real_rope = {
    .head_dim = 256, .rotary_dim = 64, .rope_theta = 1e7, .mrope_section = { 11, 11, 10 }, .rms_eps = 1e-6
};

static void positions_of(qw_golden *g, int32_t (*pos)[3], size_t T)
{
    const int32_t *p = golden_i32(g, "rope.pos", NULL);
    for (size_t t = 0; t < T; t++)
        for (size_t axis = 0; axis < 3; axis++)
            pos[t][axis] = p[axis * T + t];
}

static void rotation_is_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    const qw_kernels kernels = qw_kernels_get();
    qw_arena arena;
    qw_arena_init(&arena, 4096);
    qw_text_model m = { .config = &real_rope };
    qwren_error err = { 0 };
    assert_int_equal(qw_rope_bind(&m, &arena, &err), QWREN_OK);
    size_t T = golden_dim(g, "rope.pos", 1), half = 32, n;
    const int32_t *axis = golden_i32(g, "rope.axis", &n);
    assert_int_equal(n, half);
    for (size_t i = 0; i < half; i++)
        assert_int_equal(m.rope_axis[i], axis[i]);

    int32_t(*pos)[3] = calloc(T, sizeof *pos);
    positions_of(g, pos, T);
    float *cosines = floats(T * half), *sines = floats(T * half), *want = floats(T * half);
    qw_rope_table(&m, cosines, sines, (const int32_t(*)[3])pos, T);
    for (int which = 0; which < 2; which++) {
        const double *exact = golden_f64(g, which ? "rope.sin_f64" : "rope.cos_f64", &n);
        for (size_t i = 0; i < n; i++)
            want[i] = (float)exact[i];
        golden_compare(which ? "rope.sin_f64" : "rope.cos_f64", which ? sines : cosines, want, n, 1e-7);
        golden_compare(which ? "rope.sin" : "rope.cos", which ? sines : cosines, golden_f32(g, which ? "rope.sin" : "rope.cos", NULL), n,
                       6e-3); /* float angles at 262,143 */
    }
    /* Rotation itself: with the reference's own tables, heads first in the file */
    memcpy(cosines, golden_f32(g, "rope.cos", NULL), T * half * sizeof *cosines);
    memcpy(sines, golden_f32(g, "rope.sin", NULL), T * half * sizeof *sines);
    for (int which = 0; which < 2; which++) {
        const char *in = which ? "rope.k" : "rope.q";
        size_t heads = golden_dim(g, in, 0);
        const float *from = golden_f32(g, in, &n);
        float *x = copy(from, n, 0);
        for (size_t row = 0; row < heads * T; row++)
            kernels.rope(x + row * 256, cosines + row % T * half, sines + row % T * half, half);
        golden_compare(in, x, golden_f32(g, which ? "rope.k_out" : "rope.q_out", NULL), n, 2e-6);
        free(x);
    }
    free(pos), free(cosines), free(sines), free(want);
    qw_arena_deinit(&arena);
    golden_close(g);
}

/* A BF16 tensor of the file as a matrix of floats. */
static qw_matrix matrix_of(qw_golden *g, const char *name)
{
    return (qw_matrix){
        .type = QW_TYPE_F32, .rows = golden_dim(g, name, 0), .cols = golden_dim(g, name, 1), .data = golden_f32(g, name, NULL)
    };
}

static void attention_block_is_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(OPS);
    qw_ops *ops = new_ops();
    const size_t T = golden_dim(g, "attn.x", 0), H = golden_dim(g, "attn.x", 1), hd = 256, half = 32;
    qw_text_config c = real_rope;
    c.n_heads = (int)(golden_dim(g, "attn.o_proj.weight", 1) / hd);
    c.n_kv_heads = (int)(golden_dim(g, "attn.k_proj.weight", 0) / hd);
    c.hidden_size = (int)H;
    c.linear_key_heads = c.linear_value_heads = c.linear_key_dim = c.linear_value_dim = 1;
    float *q_norm = copy(golden_f32(g, "attn.q_norm.weight", NULL), hd, 1),
          *k_norm = copy(golden_f32(g, "attn.k_norm.weight", NULL), hd, 1);
    qw_attention_layer l = { .q = matrix_of(g, "attn.q_proj.weight"),
                             .k = matrix_of(g, "attn.k_proj.weight"),
                             .v = matrix_of(g, "attn.v_proj.weight"),
                             .o = matrix_of(g, "attn.o_proj.weight"),
                             .q_norm = q_norm,
                             .k_norm = k_norm };
    qw_layer_state st = { .cache = qw_alloc_aligned(qw_cache_bytes(&c, QW_KV_F32, T)), .cache_type = QW_KV_F32, .capacity = T };
    void *block = qw_alloc_aligned(qw_text_scratch_bytes(&c, T, T));
    float *out = floats(T * H);
    for (size_t step = 1; step <= T; step += T - 1) { /* token by token, then all at once */
        for (size_t t = 0; t < T; t += step) {
            qw_text_scratch s;
            qw_text_scratch_init(&s, block, &c, T, T);
            s.n = step;
            qw_op_input(ops, &s.in, golden_f32(g, "attn.x", NULL) + t * H, step, H, QW_ROLE_NORMED, QW_FORM_F32);
            memset(s.x, 0, step * H * sizeof *s.x);
            memcpy(s.cos, golden_f32(g, "rope.cos", NULL) + t * half, step * half * sizeof *s.cos);
            memcpy(s.sin, golden_f32(g, "rope.sin", NULL) + t * half, step * half * sizeof *s.sin);
            const qw_segment segment = { .states = &st, .n = step, .start = t };
            qw_attention_forward(&(qw_pass){ ops, &c, &s, &segment, 1 }, &l, 0, QW_ALL_ROWS);
            memcpy(out + t * H, s.x, step * H * sizeof *out);
        }
        golden_compare(step == 1 ? "attn, token by token" : "attn, at once", out, golden_f32(g, "attn.out", NULL), T * H, 1e-5);
    }
    free(q_norm), free(k_norm), free(out);
    qw_free_aligned(st.cache);
    qw_free_aligned(block);
    qw_ops_free(ops);
    golden_close(g);
}

int main(void)
{
    table = qw_kernels_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_the_reference),      cmocka_unit_test(decay_is_the_reference),
        cmocka_unit_test(convolution_is_the_reference), cmocka_unit_test(delta_rule_is_the_reference),
        cmocka_unit_test(rotation_is_the_reference),    cmocka_unit_test(attention_block_is_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
