/* The slots of eight-bit activations: quantize and matmul_q8 of every type, equal to the bit on every level. */
#include "check.h"

#include "quant/half.h"

#include <math.h>
#include <string.h>

typedef struct product {
    qw_q8 q;
    const float *x;
    qw_matrix w;
    qw_q8_matmul args;
} product;

static qw_q8 make_q8(check_run *r, size_t tokens, size_t cols, int n_fix)
{
    const size_t groups = tokens * (cols / QW_Q8_GROUP);
    return (qw_q8){ .cols = cols,
                    .n_fix = n_fix,
                    .low = check_alloc(r, tokens * cols, 0),
                    .groups = check_alloc(r, groups * sizeof(qw_q8_group), 0),
                    .fixes = check_alloc(r, groups * (size_t)n_fix * sizeof(qw_q8_fix), 0) };
}

/* Normal values with outliers. */
static const float *make_values(check_run *r, size_t n)
{
    float *x = check_floats(r, n);
    for (size_t i = 0; i < n; i += check_between(r, 1, 200))
        x[i] *= 50;
    if (!r->large && check_between(r, 0, 9) == 0) /* and now and then something that is no value */
        x[check_between(r, 0, n - 1)] = check_between(r, 0, 1) ? NAN : -INFINITY;
    return x;
}

/* Random codes; scales that are small numbers. */
static qw_matrix make_matrix(check_run *r, qw_type type, size_t rows, size_t cols)
{
    qw_matrix w = { .type = type, .rows = rows, .cols = cols };
    const size_t off = check_between(r, 1, 4), bytes = rows * qw_matrix_row_bytes(&w), block = qw_type_block_bytes(type);
    uint8_t *data = check_alloc(r, bytes, off);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)qw_rng_u32(&r->rng);
    w.data = data;
    if (!qw_type_is_affine(type)) {
        const size_t at = type == QW_TYPE_Q6_K ? 208 : 0;
        for (size_t i = 0; i < bytes; i += block) {
            uint16_t h[2] = { qw_f32_to_f16(check_normal(r) * 0.01F), qw_f32_to_f16(check_normal(r) * 0.01F) };
            memcpy(data + i + at, h, type == QW_TYPE_Q6_K ? 2 : 4);
        }
        return w;
    }
    w.group = r->large ? 64 : cols % 128 ? 32 << check_between(r, 0, 1) : 32 << check_between(r, 0, 2);
    static const qw_type scale_types[] = { QW_TYPE_BF16, QW_TYPE_F16, QW_TYPE_F32 };
    w.scale_type = r->large ? QW_TYPE_BF16 : scale_types[check_between(r, 0, 2)];
    const size_t n = rows * cols / (size_t)w.group, size = qw_type_block_bytes(w.scale_type);
    uint8_t *scales = check_alloc(r, size * n, check_between(r, 1, 4)), *biases = check_alloc(r, size * n, check_between(r, 1, 4));
    for (size_t i = 0; i < n; i++) {
        const float scale = check_normal(r) * 0.01F, bias = check_normal(r) * 0.1F;
        qw_narrow(w.scale_type, &scale, 1, scales + i * size);
        qw_narrow(w.scale_type, &bias, 1, biases + i * size);
    }
    w.scales = scales;
    w.biases = biases;
    return w;
}

/* ---- quantize: its arrays are looked at as bytes */

static void make_quantize(check_run *r)
{
    product *p = r->state = check_alloc(r, sizeof *p, 0);
    const size_t cols = r->large ? 3584 : 64 * check_between(r, 1, 12);
    p->q = make_q8(r, 1, cols, r->param);
    p->x = make_values(r, cols);
    check_output(r, cols + cols / 64 * (8 + 16 * 4));
    r->work = (double)cols * 1e-9;
}

static void run_quantize(const qw_kernels *k, check_run *r)
{
    const product *p = r->state;
    const size_t groups = p->q.cols / QW_Q8_GROUP, n_fix = (size_t)r->param;
    k->quantize(&(qw_q8_quantize){ .out = &p->q, .n_tokens = 1, .n_groups = groups, .x = p->x });
    if (r->large)
        return;
    float *out = r->out;
    for (size_t i = 0; i < p->q.cols; i++)
        *out++ = p->q.low[i];
    memcpy(out, p->q.groups, groups * sizeof *p->q.groups);
    out += groups * 8;
    for (size_t g = 0; g < groups; g++) /* by quad: the list has no order */
        for (size_t f = 0; f < n_fix; f++)
            for (size_t i = 0; i < 4; i++)
                out[g * 64 + 4 * p->q.fixes[g * n_fix + f].quad + i] = p->q.fixes[g * n_fix + f].high[i];
}

/* ---- matmul_q8 */

#define TOKENS_SHIFT 8 /* param: type | tokens << 8; 0 tokens: a random number */

static void make_product(check_run *r)
{
    static const int n_fixes[] = { 0, 1, 2, 3, 4, 7, 16 };
    const qw_type type = (qw_type)(r->param & 255);
    const size_t block = qw_type_block(type) > 64 ? qw_type_block(type) : 64;
    const size_t cols = r->large ? 1024 : block * check_between(r, 1, block > 64 ? 3 : 9),
                 rows = r->large ? (r->param >> TOKENS_SHIFT ? 65536 : 256) : check_between(r, 1, 50);
    const size_t some = r->large ? 256 : check_between(r, 1, 40),
                 tokens = r->param >> TOKENS_SHIFT ? (size_t)r->param >> TOKENS_SHIFT : some;
    product *p = r->state = check_alloc(r, sizeof *p, 0);
    p->w = make_matrix(r, type, rows, cols);
    const size_t before = r->large ? 0 : check_between(r, 0, 2); /* tokens that the call leaves out */
    p->q = make_q8(r, before + tokens, cols, r->large ? 1 : n_fixes[check_between(r, 0, 6)]);
    const float *x = make_values(r, (before + tokens) * cols);
    qw_kernels_of(QW_CPU_PORTABLE)
        .quantize(&(qw_q8_quantize){ .out = &p->q, .n_tokens = before + tokens, .n_groups = cols / QW_Q8_GROUP, .x = x, .x_stride = cols });
    const size_t first = r->large ? 0 : check_between(r, 0, rows - 1), stride = rows + check_between(r, 0, 3);
    p->args = (qw_q8_matmul){ .y = check_output(r, tokens * stride),
                              .y_stride = stride,
                              .w = &p->w,
                              .first = first,
                              .n_rows = rows - first,
                              .x = &p->q,
                              .first_token = before,
                              .n_tokens = tokens,
                              .add = check_between(r, 0, 1) == 1,
                              .scratch = check_alloc(r, qw_q8_scratch(cols), 0) };
    r->work = r->param >> TOKENS_SHIFT < 16 && r->param >> TOKENS_SHIFT ? (double)qw_matrix_bytes(&p->w) * 1e-9
                                                                        : 2e-9 * (double)(rows * cols * tokens);
}

static void run_product(const qw_kernels *k, check_run *r)
{
    const product *p = r->state;
    k->matmul_q8[r->param & 255](&p->args);
}

static bool has_product(const qw_kernels *k, int param) { return k->matmul_q8[param & 255] != NULL; }

#define PRODUCT(type)                                                                                                    \
  { "matmul_q8", #type, "Gop/s", 0, QW_TYPE_##type, make_product, run_product, has_product },                            \
  {                                                                                                                      \
    "matmul_q8", #type " 1 token", "GB/s", 0, QW_TYPE_##type | 1 << TOKENS_SHIFT, make_product, run_product, has_product \
  }

const check_case check_q8_cases[] = {
    { "quantize", "0 fixed quads", "Gvalue/s", 0, 0, make_quantize, run_quantize, NULL },
    { "quantize", "1 fixed quad", "Gvalue/s", 0, 1, make_quantize, run_quantize, NULL },
    { "quantize", "2 fixed quads", "Gvalue/s", 0, 2, make_quantize, run_quantize, NULL },
    { "quantize", "4 fixed quads", "Gvalue/s", 0, 4, make_quantize, run_quantize, NULL },
    { "quantize", "16 fixed quads", "Gvalue/s", 0, 16, make_quantize, run_quantize, NULL },
    PRODUCT(AFFINE6),
    PRODUCT(AFFINE8),
    PRODUCT(AFFINE5),
    PRODUCT(AFFINE4),
    PRODUCT(AFFINE3),
    PRODUCT(AFFINE2),
    PRODUCT(Q8_0),
    PRODUCT(Q6_K),
    PRODUCT(Q5_K),
    PRODUCT(Q4_K),
    PRODUCT(Q4_0),
    PRODUCT(Q4_1),
    PRODUCT(Q5_0),
    PRODUCT(Q5_1),
    { "matmul_q8", "AFFINE6 4 tokens", "GB/s", 0, QW_TYPE_AFFINE6 | 4 << TOKENS_SHIFT, make_product, run_product, has_product },
    { "matmul_q8", "AFFINE6 8 tokens", "GB/s", 0, QW_TYPE_AFFINE6 | 8 << TOKENS_SHIFT, make_product, run_product, has_product },
    { NULL, NULL, NULL, 0, 0, NULL, NULL, NULL },
};
