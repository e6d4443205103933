/* Three tokens and more: sixteen rows are unpacked once into a panel in the cache, four neighbouring columns (a quad) of each row side by side, and blocks of
 * tokens pass over it with their sums in registers: a quad of activations in all lanes times a quad of 16 rows. Included by q8_256_body.h, which says how the
 * dot product of a unit is formed. A wide panel holds 16-bit codes and takes 15-bit activations, for codes of 8 bits without VNNI and for many fixed quads:
 * there a column pair is what a quad is here. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_256_scales.h"

#define PANEL_ROWS 16

typedef struct panel panel;
struct panel {
    scales_fn *fill_scales;
    void (*fill_codes)(const panel *p, const qw_matrix *w, const size_t *rows, size_t half);
    bool wide;
    uint8_t *codes;  /* [cols / 4, 16, 4]; wide: 16-bit [cols / 2, 16, 2] */
    float *s, *b;    /* [groups, 16] */
    int16_t *values; /* wide: [WIDE_TOKENS, cols] of the block of tokens */
    size_t groups;   /* of columns that share a scale, in a row */
    int share;       /* 1 when two units share a scale */
};

/* ---- making it */

/* x[row] dword q -> dword `row` of out[q] */
INLINE void transpose_dwords(const __m256i *x, __m256i *out)
{
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        out[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        out[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

/* quad `quad` of eight rows, from row 8 * half of the panel on */
INLINE void put_quad(const panel *p, size_t quad, size_t half, __m256i x)
{
    if (!p->wide) {
        _mm256_store_si256((__m256i *)(p->codes + quad * 64 + half * 32), x);
        return;
    }
    const __m256i first = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9,
                                           -1, 12, -1, 13, -1);
    uint8_t *at = p->codes + quad * 128 + half * 32;
    _mm256_store_si256((__m256i *)at, _mm256_shuffle_epi8(x, first));
    _mm256_store_si256((__m256i *)(at + 64), _mm256_shuffle_epi8(_mm256_srli_epi32(x, 16), first));
}

/* Codes of eight rows into half of the panel. */
INLINE void fill_codes(qw_type type, const panel *p, const qw_matrix *w, const size_t *rows, size_t half)
{
    const size_t row_bytes = row_bytes_of(type, w->cols), step_bytes = 8 * block_bytes(type) / (is_k(type) ? 2 : 1);
    const char *next =
        (const char *)w->data + (rows[0] + PANEL_ROWS) * row_bytes; /* the next panel comes into L2 while this one is multiplied */
    for (size_t chunk = 0; chunk < w->cols / 64; chunk += (size_t)step_chunks(type)) {
#pragma GCC unroll 2
        for (int j = 0; j < step_chunks(type); j++) {
            const size_t quad = (chunk + (size_t)j) * 16;
            __m256i x[2][8], q[8];
            for (int r = 0; r < 8; r++) {
                const uint8_t *at = chunk_at(type, (const uint8_t *)w->data + rows[r] * row_bytes, chunk);
                const bytes64 bytes = bytes_of(type, at, chunk, j);
                x[0][r] = bytes.b[0];
                x[1][r] = bytes.b[1];
            }
            for (size_t c = 0; c < 2; c++) {
                transpose_dwords(x[c], q);
                for (size_t i = 0; i < 8; i++)
                    put_quad(p, quad + 8 * c + i, half, q[i]);
            }
        }
        for (size_t i = 0; i < step_bytes; i += 64)
            _mm_prefetch(next + i, _MM_HINT_T1);
        next += step_bytes;
    }
}

/* Rows [row, row + n) of the job, n <= 16; missing ones are copies of the last. */
static void fill_panel(const panel *p, const qw_q8_matmul *a, size_t row, size_t n)
{
    for (size_t half = 0; half < 2; half++) {
        size_t rows[8];
        for (size_t r = 0; r < 8; r++)
            rows[r] = a->first + row + (8 * half + r < n ? 8 * half + r : n - 1);
        for (size_t g = 0; g < p->groups; g += 8)
            p->fill_scales(a->w, rows, g, p->groups - g < 8 ? p->groups - g : 8, p->s + 16 * g + 8 * half, p->b + 16 * g + 8 * half, 16);
        p->fill_codes(p, a->w, rows, half);
    }
}

/* ---- multiplying by it */

/* y[t] += the unit's part, sixteen rows; s and b of the unit */
INLINE void add_unit16(float *y, const __m256i *dot, const float *s, const float *b, float scale, float sum)
{
    for (int h = 0; h < 2; h++) {
        __m256 acc = _mm256_load_ps(y + 8 * h);
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[h]), _mm256_mul_ps(_mm256_load_ps(s + 8 * h), _mm256_set1_ps(scale)), acc);
        _mm256_store_ps(y + 8 * h, _mm256_fmadd_ps(_mm256_load_ps(b + 8 * h), _mm256_set1_ps(sum), acc));
    }
}

/* A group of 64 columns: dot[u][t] of its units, the fixed quads' upper bits included. */
INLINE void group_dots(const int unit, const int depth, const int tokens, const uint8_t *codes, const int8_t *const *low,
                       const qw_q8_fix *const *fixes, int n_fix, __m256i dot[][TOKENS][2])
{
    for (int u = 0; u < 64 / unit; u++)
        unit_dots(unit / 4, depth, tokens, codes + 16 * unit * u, low, unit * u, dot[u]);
    for (int f = 0; f < n_fix; f++)
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++) {
            const size_t quad = fixes[t][f].quad;
            const __m256i high = broadcast4(fixes[t][f].high);
            for (int h = 0; h < 2; h++) {
                __m256i *sum = &dot[unit == 64 ? 0 : quad * 4 / (size_t)unit][t][h];
                *sum = _mm256_add_epi32(*sum, dot_high(load32(codes + quad * 64 + 32 * h), high));
            }
        }
}

/* Tokens [token, token + tokens) times the panel -> y [tokens, 16] */
INLINE void block(const int unit, const int depth, const int tokens, const panel *p, const qw_q8 *x, size_t token, float *y)
{
    const size_t groups = x->cols / 64, n_fix = (size_t)x->n_fix;
    for (int i = 0; i < 2 * tokens; i++)
        _mm256_store_ps(y + 8 * i, _mm256_setzero_ps());
    for (size_t g = 0; g < groups; g++) {
        __m256i dot[4][TOKENS][2];
        const int8_t *low[TOKENS];
        const qw_q8_fix *fixes[TOKENS];
        for (int t = 0; t < tokens; t++) {
            const size_t at = (token + (size_t)t) * groups + g;
            low[t] = x->low + at * 64;
            fixes[t] = x->fixes + at * n_fix;
        }
        group_dots(unit, depth, tokens, p->codes + g * 1024, low, fixes, x->n_fix, dot);
        for (int u = 0; u < 64 / unit; u++) {
            const size_t at = ((g * (64 / (size_t)unit) + (size_t)u) >> p->share) * 16;
#pragma GCC unroll 6
            for (int t = 0; t < tokens; t++) {
                const qw_q8_group *group = x->groups + (token + (size_t)t) * groups + g;
                add_unit16(y + 16 * t, dot[u][t], p->s + at, p->b + at, group->scale, sum_of_unit(group, unit, u));
            }
        }
    }
}

/* The same with a wide panel: 16 rows x 2 columns are one vpmaddwd of each half. */
INLINE void wide_block(const int unit, const int tokens, const panel *p, const qw_q8 *x, size_t token, float *y)
{
    const size_t groups = x->cols / 64;
    for (int t = 0; t < tokens; t++)
        for (size_t g = 0; g < groups; g++)
            group_values(p->values + (size_t)t * x->cols + g * 64, x, (token + (size_t)t) * groups + g);
    for (int i = 0; i < 2 * tokens; i++)
        _mm256_store_ps(y + 8 * i, _mm256_setzero_ps());
    for (size_t col = 0; col < x->cols; col += (size_t)unit) {
        __m256i dot[WIDE_TOKENS][2];
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++)
            dot[t][0] = dot[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
        for (int i = 0; i < unit; i += 2) {
            const uint8_t *codes = p->codes + (col + (size_t)i) * 32;
            const __m256i w0 = load32(codes), w1 = load32(codes + 32);
#pragma GCC unroll 4
            for (int t = 0; t < tokens; t++) {
                const __m256i v = broadcast4(p->values + (size_t)t * x->cols + col + (size_t)i);
                dot[t][0] = ADD_MADD(dot[t][0], w0, v);
                dot[t][1] = ADD_MADD(dot[t][1], w1, v);
                HERE(dot[t][0]);
                HERE(dot[t][1]);
            }
        }
        const size_t at = (col / (size_t)unit >> p->share) * 16;
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            const qw_q8_group *group = x->groups + (token + (size_t)t) * groups + col / 64;
            add_unit16(y + 16 * t, dot[t], p->s + at, p->b + at, group->scale, sum_of_unit(group, unit, (int)(col % 64) / unit));
        }
    }
}

/* y [tokens, 16] -> rows [row, row + n) of the result of tokens [token, ...) */
static void put_block(const qw_q8_matmul *a, const float *y, size_t token, size_t tokens, size_t row, size_t n)
{
    for (size_t t = 0; t < tokens; t++) {
        float *out = a->y + (token + t) * a->y_stride + row;
        for (size_t r = 0; r < n; r++)
            out[r] = a->add ? out[r] + y[16 * t + r] : y[16 * t + r];
    }
}
