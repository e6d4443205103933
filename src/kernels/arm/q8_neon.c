/* Weights times activations in eight bits (kernels/q8.h), level neon: dot products of four signed columns. Tested by tests/kernels/check_q8.c.
 *
 * Up to two tokens: four rows at a time, each unpacked in registers. The outliers' upper bits stand in a second row of activations that is zero elsewhere, so
 * whatever their number they cost one product more: with 6 bits 35 instructions for 64 columns of a row, 23 without outliers.
 *
 * More tokens: eight rows are unpacked once, quads of a column side by side, and four tokens at a time multiply them by lanes. Codes of eight bits are made
 * signed, q - 128, and 128 times the sum of the activations is added: all integers, so exact. */
#include "kernels/arm/q8_body.h"

#include "kernels/arm/q8_quantize_body.h"

ALWAYS int32x4_t dot(int32x4_t sum, uint8x16_t codes, int8x16_t x) { return vdotq_s32(sum, vreinterpretq_s8_u8(codes), x); }
ALWAYS uint8x16_t as_signed(qw_type type, uint8x16_t codes) { return has_eight_bits(type) ? veorq_u8(codes, vdupq_n_u8(0x80)) : codes; }

/* 128 times the sum of a token's integers, unit by unit. */
static void sum_units(const qw_q8 *x, size_t token, size_t unit, int32_t *out, size_t stride)
{
    const int8_t *low = x->low + token * x->cols;
    for (size_t g = 0; g < x->cols / QW_Q8_GROUP; g++) {
        int32_t sums[2] = { 0 };
        for (size_t i = 0; i < 4; i++)
            sums[unit == 64 ? 0 : i / 2] += vaddlvq_s8(vld1q_s8(low + QW_Q8_GROUP * g + 16 * i));
        for (const qw_q8_fix *f = fixes_of(x, token, g), *end = f + x->n_fix; f < end; f++)
            sums[unit_with(f->quad, unit)] += 128 * (f->high[0] + f->high[1] + f->high[2] + f->high[3]);
        for (size_t u = 0; u < QW_Q8_GROUP / unit; u++, out += stride)
            *out = 128 * sums[u];
    }
}

/* ---- up to two tokens */

#define DIRECT_TOKENS 2
#define DIRECT_ROWS 4

typedef struct direct {
    float *scales, *biases;                                 /* [units, 4] of the rows at work */
    const int8_t *low[DIRECT_TOKENS], *high[DIRECT_TOKENS]; /* [cols] in the order of the type's codes; high only when there are fixes */
    int32_t *offsets[DIRECT_TOKENS];                        /* [units], types of 8 bits */
} direct;

/* 64 bytes into the order in which codes of the type stand; from may be to. */
ALWAYS void reorder(qw_type type, const int8_t *from, int8_t *to)
{
    int8x16x4_t v;
    if (order_of(type) == QUADS) {
        v = vld4q_s8(from);
    } else {
        const int8x16x2_t a = vld2q_s8(from), b = vld2q_s8(from + 32);
        v = (int8x16x4_t){ { a.val[0], a.val[1], b.val[0], b.val[1] } };
    }
    for (size_t i = 0; i < 4; i++)
        vst1q_s8(to + 16 * i, v.val[i]);
}

ALWAYS void make_high(qw_type type, const qw_q8 *x, size_t token, int8_t *high)
{
    memset(high, 0, x->cols);
    for (size_t g = 0; g < x->cols / QW_Q8_GROUP; g++, high += QW_Q8_GROUP) {
        for (const qw_q8_fix *f = fixes_of(x, token, g), *end = f + x->n_fix; f < end; f++)
            memcpy(high + 4 * f->quad, f->high, 4);
        if (order_of(type) != AS_COLUMNS)
            reorder(type, high, high);
    }
}

ALWAYS direct prepare(qw_type type, const qw_q8_matmul *a)
{
    const qw_q8 *x = a->x;
    const size_t cols = x->cols;
    direct d = { .scales = a->scratch, .biases = (float *)a->scratch + cols / 16 * DIRECT_ROWS };
    int8_t *free = (int8_t *)(d.biases + cols / 16 * DIRECT_ROWS);
    for (size_t t = 0; t < a->n_tokens; t++) {
        const int8_t *low = x->low + (a->first_token + t) * cols;
        d.low[t] = low;
        if (order_of(type) != AS_COLUMNS) {
            for (size_t i = 0; i < cols; i += QW_Q8_GROUP)
                reorder(type, low + i, free + i);
            d.low[t] = free;
            free += cols;
        }
        d.high[t] = free;
        if (x->n_fix) {
            make_high(type, x, a->first_token + t, free);
            free += cols;
        }
        if (has_eight_bits(type)) {
            d.offsets[t] = (int32_t *)(void *)free;
            sum_units(x, a->first_token + t, unit_of(type, a->w), d.offsets[t], 1);
            free += cols;
        }
    }
    return d;
}

/* Sums over the lanes of four rows' registers. */
ALWAYS int32x4_t across(const int32x4_t *row) { return vpaddq_s32(vpaddq_s32(row[0], row[1]), vpaddq_s32(row[2], row[3])); }

/* Of quads in the order of QUADS lanes 0 and 1 belong to the first 32 columns. */
ALWAYS int32x4_t across_half(const int32x4_t *row, size_t half)
{
    const int32x4_t a = vpaddq_s32(row[0], row[1]), b = vpaddq_s32(row[2], row[3]);
    return half ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
}

/* A row's codes times one token: sums[part] of 4 / parts registers each. */
ALWAYS void times_row(const uint8x16x4_t *c, const int8_t *low, const int8_t *high, const size_t parts, int32x4_t (*sums)[DIRECT_ROWS])
{
    const size_t n = 4 / parts;
    for (size_t p = 0; p < parts; p++) {
        int32x4_t sum = vdupq_n_s32(0);
        if (high) {
            for (size_t i = p * n; i < (p + 1) * n; i++)
                sum = dot(sum, c->val[i], vld1q_s8(high + 16 * i));
            sum = vshlq_n_s32(sum, 7);
        }
        for (size_t i = p * n; i < (p + 1) * n; i++)
            sum = dot(sum, c->val[i], vld1q_s8(low + 16 * i));
        sums[p][0] = sum;
    }
}

/* Rows [r, r + 4) of the call times n tokens. */
ALWAYS void direct_tile(qw_type type, const size_t unit, const size_t n, const qw_q8_matmul *a, const direct *d, size_t r)
{
    const size_t units = QW_Q8_GROUP / unit, parts = order_of(type) == QUADS ? 1 : units;
    const uint8_t *row[DIRECT_ROWS];
    float32x4_t acc[DIRECT_TOKENS] = { vdupq_n_f32(0), vdupq_n_f32(0) };
    enter_rows(type, a, r, row, d->scales, d->biases, DIRECT_ROWS);
    for (size_t g = 0, at = 0; g < a->w->cols / QW_Q8_GROUP; g++, at += units) {
        int32x4_t sums[DIRECT_TOKENS][4][DIRECT_ROWS];
        for (size_t i = 0; i < DIRECT_ROWS; i++) {
            uint8x16x4_t c = codes_of(type, row[i], g);
            for (size_t j = 0; j < 4; j++)
                c.val[j] = as_signed(type, c.val[j]);
            for (size_t t = 0; t < n; t++)
                times_row(&c, d->low[t] + QW_Q8_GROUP * g, a->x->n_fix ? d->high[t] + QW_Q8_GROUP * g : NULL, parts,
                          (int32x4_t(*)[DIRECT_ROWS])(void *)&sums[t][0][i]);
        }
        for (size_t t = 0; t < n; t++) {
            const qw_q8_group *xg = group_of(a->x, a->first_token + t, g);
            for (size_t u = 0; u < units; u++) {
                int32x4_t sum = parts == units ? across(sums[t][u]) : across_half(sums[t][0], u);
                if (has_eight_bits(type))
                    sum = vaddq_s32(sum, vdupq_n_s32(d->offsets[t][at + u]));
                const float32x4_t s = vld1q_f32(d->scales + DIRECT_ROWS * (at + u)), b = vld1q_f32(d->biases + DIRECT_ROWS * (at + u));
                acc[t] = vfmaq_f32(acc[t], vcvtq_f32_s32(sum), vmulq_n_f32(s, xg->scale));
                acc[t] = vfmaq_n_f32(acc[t], b, unit_sum(xg, unit, u));
            }
        }
    }
    for (size_t t = 0; t < n; t++)
        store_rows(a, r, t, acc[t]);
}

ALWAYS void direct_rows(qw_type type, const size_t unit, const qw_q8_matmul *a)
{
    const direct d = prepare(type, a);
    for (size_t r = 0; r < a->n_rows; r += DIRECT_ROWS)
        if (a->n_tokens == 1)
            direct_tile(type, unit, 1, a, &d, r);
        else
            direct_tile(type, unit, 2, a, &d, r);
}

/* ---- more tokens */

/* Four rows' 16 columns become four quads of four rows, 32 bytes apart. */
ALWAYS void store_quads(uint8_t *to, const uint8x16_t *v)
{
    const uint32x4_t a = vreinterpretq_u32_u8(v[0]), b = vreinterpretq_u32_u8(v[1]), c = vreinterpretq_u32_u8(v[2]),
                     d = vreinterpretq_u32_u8(v[3]);
    const uint64x2_t ab = vreinterpretq_u64_u32(vtrn1q_u32(a, b)), ab_odd = vreinterpretq_u64_u32(vtrn2q_u32(a, b)),
                     cd = vreinterpretq_u64_u32(vtrn1q_u32(c, d)), cd_odd = vreinterpretq_u64_u32(vtrn2q_u32(c, d));
    vst1q_u8(to, vreinterpretq_u8_u64(vtrn1q_u64(ab, cd)));
    vst1q_u8(to + 32, vreinterpretq_u8_u64(vtrn1q_u64(ab_odd, cd_odd)));
    vst1q_u8(to + 64, vreinterpretq_u8_u64(vtrn2q_u64(ab, cd)));
    vst1q_u8(to + 96, vreinterpretq_u8_u64(vtrn2q_u64(ab_odd, cd_odd)));
}

/* Rows [r, r + 8) of the call: codes [cols / 4][8 rows][4]. */
ALWAYS void fill_panel(qw_type type, const qw_q8_matmul *a, size_t r, const panel *p)
{
    for (size_t half = 0; half < 2; half++, r += 4) {
        const uint8_t *row[4];
        enter_rows(type, a, r, row, p->scales + 4 * half, p->biases + 4 * half, PANEL_ROWS);
        for (size_t g = 0; g < a->w->cols / QW_Q8_GROUP; g++) {
            uint8x16_t v[4][4]; /* [16 columns][row] */
            for (size_t i = 0; i < 4; i++) {
                const uint8x16x4_t c = codes_as_columns(type, row[i], g);
                for (size_t j = 0; j < 4; j++)
                    v[j][i] = as_signed(type, c.val[j]);
            }
            for (size_t j = 0; j < 4; j++)
                store_quads(p->codes + PANEL_ROWS * QW_Q8_GROUP * g + 128 * j + 16 * half, v[j]);
        }
    }
}

/* Sums of a block: [token][rows 0..3, 4..7]. */
typedef struct sums {
    int32x4_t v[BLOCK_TOKENS][2];
} sums;

/* The outliers' upper bits of a group, each into its unit, times 128. */
ALWAYS void add_fixes(sums *s, const uint8_t *w, const qw_q8 *x, size_t token, size_t g, const size_t n, const size_t unit)
{
    for (size_t t = 0; t < n; t++)
        for (const qw_q8_fix *f = fixes_of(x, token + t, g), *end = f + x->n_fix; f < end; f++) {
            sums *in = s + unit_with(f->quad, unit);
            int32_t high;
            memcpy(&high, f->high, sizeof high);
            const int8x16_t h = vreinterpretq_s8_s32(vdupq_n_s32(high));
            in->v[t][0] = dot(in->v[t][0], vld1q_u8(w + 32 * f->quad), h);
            in->v[t][1] = dot(in->v[t][1], vld1q_u8(w + 32 * f->quad + 16), h);
        }
    for (size_t u = 0; u < QW_Q8_GROUP / unit; u++)
        for (size_t t = 0; t < n; t++) {
            s[u].v[t][0] = vshlq_n_s32(s[u].v[t][0], 7);
            s[u].v[t][1] = vshlq_n_s32(s[u].v[t][1], 7);
        }
}

#define TIMES_QUAD(q)                                                                                                      \
  do {                                                                                                                     \
    const int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(w + 32 * (q))), b = vreinterpretq_s8_u8(vld1q_u8(w + 32 * (q) + 16)); \
    for (size_t t = 0; t < n; t++) {                                                                                       \
      s->v[t][0] = vdotq_laneq_s32(s->v[t][0], a, x[t], q);                                                                \
      s->v[t][1] = vdotq_laneq_s32(s->v[t][1], b, x[t], q);                                                                \
    }                                                                                                                      \
  } while (0)

/* 16 columns of the panel at w times those of n tokens. */
ALWAYS void times_quads(sums *s, const uint8_t *w, const int8x16_t *x, const size_t n)
{
    TIMES_QUAD(0);
    TIMES_QUAD(1);
    TIMES_QUAD(2);
    TIMES_QUAD(3);
}

/* The panel of rows [r, r + 8) of the call times its tokens [t0, t0 + n). Per 64 columns and 4 tokens: 128 dot products, 32 other operations. */
ALWAYS void block(const panel *p, const qw_q8_matmul *a, size_t r, size_t t0, const size_t n, const size_t unit, const bool offset)
{
    const qw_q8 *x = a->x;
    const size_t token = a->first_token + t0, units = QW_Q8_GROUP / unit;
    float32x4_t acc[BLOCK_TOKENS][2];
    for (size_t t = 0; t < n; t++)
        acc[t][0] = acc[t][1] = vdupq_n_f32(0);
    for (size_t g = 0; g < x->cols / QW_Q8_GROUP; g++) {
        const uint8_t *w = p->codes + PANEL_ROWS * QW_Q8_GROUP * g;
        sums s[QW_Q8_GROUP / 16];
        for (size_t u = 0; u < units; u++)
            for (size_t t = 0; t < n; t++)
                s[u].v[t][0] = s[u].v[t][1] = vdupq_n_s32(0);
        if (x->n_fix)
            add_fixes(s, w, x, token, g, n, unit);
        for (size_t i = 0; i < 4; i++) {
            int8x16_t xv[BLOCK_TOKENS];
            for (size_t t = 0; t < n; t++)
                xv[t] = vld1q_s8(x->low + (token + t) * x->cols + QW_Q8_GROUP * g + 16 * i);
            times_quads(&s[16 * i / unit], w + 128 * i, xv, n);
        }
        for (size_t u = 0, at = g * units; u < units; u++, at++)
            for (size_t t = 0; t < n; t++) {
                const qw_q8_group *xg = group_of(x, token + t, g);
                for (size_t h = 0; h < 2; h++) {
                    const float32x4_t scale = vmulq_n_f32(vld1q_f32(p->scales + PANEL_ROWS * at + 4 * h), xg->scale);
                    const int32x4_t sum = offset ? vaddq_s32(s[u].v[t][h], vdupq_n_s32(p->offsets[BLOCK_TOKENS * at + t])) : s[u].v[t][h];
                    acc[t][h] = vfmaq_f32(acc[t][h], vcvtq_f32_s32(sum), scale);
                    acc[t][h] = vfmaq_n_f32(acc[t][h], vld1q_f32(p->biases + PANEL_ROWS * at + 4 * h), unit_sum(xg, unit, u));
                }
            }
    }
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < 2 && r + 4 * h < a->n_rows; h++)
            store_rows(a, r + 4 * h, t0 + t, acc[t][h]);
}

#define BLOCKS(unit, offset)                                                            \
  static void blocks_##unit##_##offset(const panel *p, const qw_q8_matmul *a, size_t r) \
  {                                                                                     \
    for (size_t t = 0; t < a->n_tokens; t += BLOCK_TOKENS) {                            \
      const size_t n = a->n_tokens - t;                                                 \
      for (size_t i = 0; offset && i < n && i < BLOCK_TOKENS; i++)                      \
        sum_units(a->x, a->first_token + t + i, unit, p->offsets + i, BLOCK_TOKENS);    \
      if (n >= 4)                                                                       \
        block(p, a, r, t, 4, unit, offset);                                             \
      else if (n == 3)                                                                  \
        block(p, a, r, t, 3, unit, offset);                                             \
      else if (n == 2)                                                                  \
        block(p, a, r, t, 2, unit, offset);                                             \
      else                                                                              \
        block(p, a, r, t, 1, unit, offset);                                             \
    }                                                                                   \
  }
BLOCKS(16, 0)
BLOCKS(32, 0)
BLOCKS(64, 0)
BLOCKS(32, 1)
BLOCKS(64, 1)

ALWAYS void panels(qw_type type, const size_t unit, const qw_q8_matmul *a)
{
    const panel p = panel_in(a, PANEL_ROWS);
    for (size_t r = 0; r < a->n_rows; r += PANEL_ROWS) {
        fill_panel(type, a, r, &p);
        if (has_eight_bits(type))
            unit == 32 ? blocks_32_1(&p, a, r) : blocks_64_1(&p, a, r);
        else
            unit == 16 ? blocks_16_0(&p, a, r) : unit == 32 ? blocks_32_0(&p, a, r) : blocks_64_0(&p, a, r);
    }
}

/* ---- the slot */

#define OF_TYPE(name)                                                           \
  static void matmul_##name(const qw_q8_matmul *a)                              \
  {                                                                             \
    const size_t unit = unit_of(QW_TYPE_##name, a->w);                          \
    if (a->n_tokens > DIRECT_TOKENS)                                            \
      panels(QW_TYPE_##name, unit, a);                                          \
    else if (unit == 64)                                                        \
      direct_rows(QW_TYPE_##name, 64, a);                                       \
    else                                                                        \
      direct_rows(QW_TYPE_##name, QW_TYPE_##name == QW_TYPE_Q6_K ? 16 : 32, a); \
  }
QW_Q8_TYPES(OF_TYPE)

void qw_matmul_q8_neon(const qw_q8_matmul *a)
{
    switch (a->w->type) {
#define CASE(name) \
  case QW_TYPE_##name: matmul_##name(a); return;
        QW_Q8_TYPES(CASE)
    default: return;
    }
}

void qw_q8_neon(qw_kernels *k)
{
    k->quantize = quantize;
#define SLOT(name) k->matmul_q8[QW_TYPE_##name] = matmul_##name;
    QW_Q8_TYPES(SLOT)
}
