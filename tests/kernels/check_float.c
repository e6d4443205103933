/* The float slots. SIMD levels add in another order than plain C, so these have a limit; each says where it comes from. */
#include "check.h"

#include <math.h>
#include <string.h>

typedef struct vectors {
    size_t n;
    const float *x, *w, *b;
    float *y;
} vectors;

/* y starts as a copy of values: several slots work in place. */
static void make_vectors(check_run *r)
{
    vectors *v = r->state = check_alloc(r, sizeof *v, 0);
    v->n = r->large ? 1024 : check_between(r, 1, 300);
    v->x = check_floats(r, v->n);
    v->w = check_floats(r, v->n);
    v->b = check_floats(r, v->n);
    v->y = check_output(r, v->n);
    for (size_t i = 0; i < v->n; i++)
        v->y[i] = 4 * check_normal(r);
    r->work = 1e-9 * (double)v->n;
}

#define SLOT(name, call)                                    \
  static void run_##name(const qw_kernels *k, check_run *r) \
  {                                                         \
    const vectors *v = r->state;                            \
    call;                                                   \
  }
SLOT(rmsnorm, k->rmsnorm(v->y, v->x, v->w, v->n, 1e-6F))
SLOT(layernorm, k->layernorm(v->y, v->x, v->w, v->b, v->n, 1e-6F))
SLOT(gated_rmsnorm, k->gated_rmsnorm(v->y, v->x, v->w, v->b, v->n, 1e-6F))
SLOT(add, k->add(v->y, v->x, v->n))
SLOT(silu_mul, k->silu_mul(v->y, v->x, v->w, v->n))
SLOT(sigmoid_mul, k->sigmoid_mul(v->y, v->x, v->n))
SLOT(gelu_tanh, k->gelu_tanh(v->y, v->n))
SLOT(gelu_erf, k->gelu_erf(v->y, v->n))
SLOT(rope, k->rope(v->y, v->x, v->w, v->n / 2))

/* Weights of a float type times activations. */
typedef struct product {
    qw_matrix w;
    const float *x;
    size_t tokens, stride;
} product;

static void make_product(check_run *r)
{
    product *p = r->state = check_alloc(r, sizeof *p, 0);
    const size_t rows = r->large ? 512 : check_between(r, 1, 40), cols = r->large ? 1024 : check_between(r, 1, 300);
    p->w = (qw_matrix){ .type = (qw_type)r->param, .rows = rows, .cols = cols };
    p->tokens = r->large ? 128 : check_between(r, 1, 30);
    p->stride = rows + check_between(r, 0, 2);
    const size_t bytes = rows * qw_matrix_row_bytes(&p->w);
    uint8_t *data = check_alloc(r, bytes, check_between(r, 1, 4));
    for (size_t i = 0; i < rows * cols; i++) {
        const float value = check_normal(r);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        const uint16_t upper = (uint16_t)(bits >> 16);
        memcpy(data + i * (bytes / (rows * cols)), p->w.type == QW_TYPE_F32 ? (const void *)&value : &upper, bytes / (rows * cols));
    }
    p->w.data = data;
    p->x = check_floats(r, p->tokens * cols);
    check_output(r, p->tokens * p->stride);
    r->work = 2e-9 * (double)(rows * cols * p->tokens);
}

static void run_product(const qw_kernels *k, check_run *r)
{
    const product *p = r->state;
    k->matmul[r->param](r->out, p->stride, &p->w, 0, p->w.rows, p->x, p->w.cols, p->tokens);
}

/* Sums of up to 1024 terms differ by some roundings of 6e-8; functions by a few units of the last place, 1e-6 of the largest value. */
const check_case check_float_cases[] = {
    { "rmsnorm", "", "Gvalue/s", 1e-6, 0, make_vectors, run_rmsnorm, NULL },
    { "layernorm", "", "Gvalue/s", 1e-6, 0, make_vectors, run_layernorm, NULL },
    { "gated_rmsnorm", "", "Gvalue/s", 1e-6, 0, make_vectors, run_gated_rmsnorm, NULL },
    { "add", "", "Gvalue/s", 0, 0, make_vectors, run_add, NULL },
    { "silu_mul", "", "Gvalue/s", 1e-6, 0, make_vectors, run_silu_mul, NULL },
    { "sigmoid_mul", "", "Gvalue/s", 1e-6, 0, make_vectors, run_sigmoid_mul, NULL },
    { "gelu_tanh", "", "Gvalue/s", 1e-6, 0, make_vectors, run_gelu_tanh, NULL },
    { "gelu_erf", "", "Gvalue/s", 1e-6, 0, make_vectors, run_gelu_erf, NULL },
    { "rope", "", "Gvalue/s", 1e-6, 0, make_vectors, run_rope, NULL },
    { "matmul", "F32", "GFLOP/s", 1e-5, QW_TYPE_F32, make_product, run_product, NULL },
    { "matmul", "BF16", "GFLOP/s", 1e-5, QW_TYPE_BF16, make_product, run_product, NULL },
    { NULL, NULL, NULL, 0, 0, NULL, NULL, NULL },
};
