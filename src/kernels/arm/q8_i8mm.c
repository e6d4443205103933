/* Weights times activations in eight bits (kernels/q8.h), level i8mm: products of 2 rows x 8 columns with 2 tokens x 8 columns, unsigned codes with signed
 * activations. Eight rows are unpacked once and meet four tokens at a time. Up to two tokens, and activations with many outliers (a matrix product uses a
 * quarter of its width for one), are left to level neon. Tested by tests/kernels/check_q8.c. */
#include "kernels/arm/q8_body.h"

#define PAIRS_OF_ROWS (PANEL_ROWS / 2)
#define LANES (2 * PANEL_ROWS)
#define MOST_FIXES 6 /* 80 + 16 n operations for 64 columns and a block; neon: 128 + 8 n */

/* Of each eight lanes the first four become two of each. */
static void double_lanes(float *p, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        const float32x4_t v = vld1q_f32(p + i);
        vst1q_f32(p + i, vzip1q_f32(v, v));
        vst1q_f32(p + i + 4, vzip2q_f32(v, v));
    }
}

/* Rows [r, r + 8) of the call: codes [cols / 8][4 pairs of rows][2][8], scales and biases as they stand beside sums: row, row, next row, next row. */
ALWAYS void fill_panel(qw_type type, const size_t unit, const qw_q8_matmul *a, size_t r, const panel *p)
{
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *row[4];
        enter_rows(type, a, r + 4 * half, row, p->scales + 8 * half, p->biases + 8 * half, LANES);
        for (size_t g = 0; g < a->w->cols / QW_Q8_GROUP; g++)
            for (size_t pair = 0; pair < 2; pair++) {
                const uint8x16x4_t even = codes_as_columns(type, row[2 * pair], g), odd = codes_as_columns(type, row[2 * pair + 1], g);
                for (size_t i = 0; i < 4; i++) {
                    uint8_t *to = p->codes + PANEL_ROWS * (QW_Q8_GROUP * g + 16 * i) + 32 * half + 16 * pair;
                    const uint64x2_t e = vreinterpretq_u64_u8(even.val[i]), o = vreinterpretq_u64_u8(odd.val[i]);
                    vst1q_u8(to, vreinterpretq_u8_u64(vzip1q_u64(e, o)));
                    vst1q_u8(to + 64, vreinterpretq_u8_u64(vzip2q_u64(e, o)));
                }
            }
    }
    double_lanes(p->scales, a->w->cols / unit * LANES);
    double_lanes(p->biases, a->w->cols / unit * LANES);
}

/* Sums of a block: [pair of tokens][pair of rows], each row 0 token 0, row 0 token 1, row 1 token 0, row 1 token 1. */
typedef struct sums {
    int32x4_t v[BLOCK_TOKENS / 2][PAIRS_OF_ROWS];
} sums;

/* What the kernel reads of a pair of tokens; when the call has but one left, it stands for both. */
typedef struct two {
    size_t token[2];
} two;

/* The outliers' upper bits of a group, each into its unit, times 128: the other token and the other four columns of the product are zero. */
ALWAYS void add_fixes(sums *s, const uint8_t *w, const qw_q8 *x, const two *pairs, size_t g, const size_t n, const size_t unit)
{
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < 2; t++)
            for (const qw_q8_fix *f = fixes_of(x, pairs[i].token[t], g), *end = f + x->n_fix; f < end; f++) {
                sums *in = s + unit_with(f->quad, unit);
                uint32_t high;
                memcpy(&high, f->high, sizeof high);
                const uint64x1_t eight = vcreate_u64((uint64_t)high << 32 * (f->quad & 1)), none = vcreate_u64(0);
                const int8x16_t h = vreinterpretq_s8_u64(t ? vcombine_u64(none, eight) : vcombine_u64(eight, none));
                for (size_t k = 0; k < PAIRS_OF_ROWS; k++)
                    in->v[i][k] = vusmmlaq_s32(in->v[i][k], vld1q_u8(w + 64 * (f->quad / 2) + 16 * k), h);
            }
    for (size_t u = 0; u < QW_Q8_GROUP / unit; u++)
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < PAIRS_OF_ROWS; k++)
                s[u].v[i][k] = vshlq_n_s32(s[u].v[i][k], 7);
}

/* 16 columns of the panel at w times those of n pairs of tokens: first[i] are their first eight columns, second[i] the others. */
ALWAYS void times_eights(sums *s, const uint8_t *w, const int8x16_t *first, const int8x16_t *second, const size_t n)
{
    for (size_t k = 0; k < PAIRS_OF_ROWS; k++) {
        const uint8x16_t a = vld1q_u8(w + 16 * k), b = vld1q_u8(w + 64 + 16 * k);
        for (size_t i = 0; i < n; i++) {
            s->v[i][k] = vusmmlaq_s32(s->v[i][k], a, first[i]);
            s->v[i][k] = vusmmlaq_s32(s->v[i][k], b, second[i]);
        }
    }
}

ALWAYS float32x4_t alternating(float a, float b)
{
    const float32x2_t two_floats = { a, b };
    return vcombine_f32(two_floats, two_floats);
}

/* Rows [r, r + 8) for a pair of tokens of the call, the second one only when `both`. */
ALWAYS void store_pair(const qw_q8_matmul *a, size_t r, size_t t, bool both, const float32x4_t *acc)
{
    for (size_t h = 0; h < 2 && r + 4 * h < a->n_rows; h++) {
        store_rows(a, r + 4 * h, t, vuzp1q_f32(acc[2 * h], acc[2 * h + 1]));
        if (both)
            store_rows(a, r + 4 * h, t + 1, vuzp2q_f32(acc[2 * h], acc[2 * h + 1]));
    }
}

/* The panel of rows [r, r + 8) of the call times n pairs of its tokens from t0 on. Per 64 columns and 4 tokens: 64 products, 48 other operations. */
ALWAYS void block(const panel *p, const qw_q8_matmul *a, size_t r, size_t t0, const size_t n, const size_t unit)
{
    const qw_q8 *x = a->x;
    const size_t units = QW_Q8_GROUP / unit;
    two pairs[BLOCK_TOKENS / 2];
    float32x4_t acc[BLOCK_TOKENS / 2][PAIRS_OF_ROWS];
    for (size_t i = 0; i < n; i++) {
        const size_t t = t0 + 2 * i;
        pairs[i] = (two){ { a->first_token + t, a->first_token + (t + 1 < a->n_tokens ? t + 1 : t) } };
        for (size_t k = 0; k < PAIRS_OF_ROWS; k++)
            acc[i][k] = vdupq_n_f32(0);
    }
    for (size_t g = 0; g < x->cols / QW_Q8_GROUP; g++) {
        const uint8_t *w = p->codes + PANEL_ROWS * QW_Q8_GROUP * g;
        sums s[QW_Q8_GROUP / 16];
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < PAIRS_OF_ROWS; k++)
                    s[u].v[i][k] = vdupq_n_s32(0);
        if (x->n_fix)
            add_fixes(s, w, x, pairs, g, n, unit);
        for (size_t c = 0; c < QW_Q8_GROUP; c += 16) {
            int8x16_t first[BLOCK_TOKENS / 2], second[BLOCK_TOKENS / 2];
            for (size_t i = 0; i < n; i++) {
                const int8_t *low = x->low + QW_Q8_GROUP * g + c;
                const int64x2_t even = vreinterpretq_s64_s8(vld1q_s8(low + pairs[i].token[0] * x->cols)),
                                odd = vreinterpretq_s64_s8(vld1q_s8(low + pairs[i].token[1] * x->cols));
                first[i] = vreinterpretq_s8_s64(vzip1q_s64(even, odd));
                second[i] = vreinterpretq_s8_s64(vzip2q_s64(even, odd));
            }
            times_eights(&s[c / unit], w + PANEL_ROWS * c, first, second, n);
        }
        for (size_t u = 0, at = g * units; u < units; u++, at++)
            for (size_t i = 0; i < n; i++) {
                const qw_q8_group *even = group_of(x, pairs[i].token[0], g), *odd = group_of(x, pairs[i].token[1], g);
                const float32x4_t xs = alternating(even->scale, odd->scale),
                                  xb = alternating(unit_sum(even, unit, u), unit_sum(odd, unit, u));
                for (size_t k = 0; k < PAIRS_OF_ROWS; k++) {
                    const float32x4_t scale = vld1q_f32(p->scales + LANES * at + 4 * k), bias = vld1q_f32(p->biases + LANES * at + 4 * k);
                    acc[i][k] = vfmaq_f32(acc[i][k], vcvtq_f32_s32(s[u].v[i][k]), vmulq_f32(scale, xs));
                    acc[i][k] = vfmaq_f32(acc[i][k], bias, xb);
                }
            }
    }
    for (size_t i = 0; i < n; i++)
        store_pair(a, r, t0 + 2 * i, t0 + 2 * i + 1 < a->n_tokens, acc[i]);
}

#define BLOCKS(unit)                                                         \
  static void blocks_##unit(const panel *p, const qw_q8_matmul *a, size_t r) \
  {                                                                          \
    for (size_t t = 0; t < a->n_tokens; t += BLOCK_TOKENS)                   \
      if (t + 2 < a->n_tokens)                                               \
        block(p, a, r, t, 2, unit);                                          \
      else                                                                   \
        block(p, a, r, t, 1, unit);                                          \
  }
BLOCKS(16)
BLOCKS(32)
BLOCKS(64)

#define OF_TYPE(name)                                                                            \
  static void matmul_##name(const qw_q8_matmul *a)                                               \
  {                                                                                              \
    const size_t unit = unit_of(QW_TYPE_##name, a->w);                                           \
    if (a->n_tokens <= 2 || a->x->n_fix > MOST_FIXES) {                                          \
      qw_matmul_q8_neon(a);                                                                      \
      return;                                                                                    \
    }                                                                                            \
    const panel p = panel_in(a, LANES);                                                          \
    for (size_t r = 0; r < a->n_rows; r += PANEL_ROWS) {                                         \
      fill_panel(QW_TYPE_##name, unit, a, r, &p);                                                \
      unit == 16 ? blocks_16(&p, a, r) : unit == 32 ? blocks_32(&p, a, r) : blocks_64(&p, a, r); \
    }                                                                                            \
  }
QW_Q8_TYPES(OF_TYPE)

void qw_q8_i8mm(qw_kernels *k)
{
#define SLOT(name) k->matmul_q8[QW_TYPE_##name] = matmul_##name;
    QW_Q8_TYPES(SLOT)
}
