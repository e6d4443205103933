/* One or two tokens: eight rows of weights at a time, straight from their bytes, so that decoding waits for memory alone. Activations stand as 16-bit numbers
 * with their outliers put in (15 bits times 8 bits is exact in vpmaddwd), so any number of fixed quads costs the same. The sums of eight rows are added across
 * their lanes in one tree of 21 operations. Included by q8_256_body.h. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_256_scales.h"

#define SPAN 16 /* scale groups whose floats are made at a time */
/* Bytes of the rows to come that are fetched into L2, in the order of addresses: what the processor sees by itself are eight short streams, and it reads half
 * as fast. */
#define AHEAD 24576

typedef struct rows_job {
    const qw_q8_matmul *a;
    const int16_t *values; /* [n_tokens, cols], 64 columns as words64 */
    scales_fn *scales;
    float *s, *b; /* [SPAN, 8] */
    int share;    /* 1 when two units share a scale */
} rows_job;

/* v of a group of 64 columns with its fixed quads, in order */
INLINE void group_values(int16_t *v, const qw_q8 *x, size_t at)
{
    for (int i = 0; i < 4; i++)
        _mm256_store_si256((__m256i *)(v + 16 * i), _mm256_cvtepi8_epi16(load16(x->low + at * QW_Q8_GROUP + 16 * (size_t)i)));
    for (const qw_q8_fix *f = x->fixes + at * (size_t)x->n_fix, *end = f + x->n_fix; f < end; f++) {
        int32_t high;
        memcpy(&high, f->high, sizeof high);
        __m128i *quad = (__m128i *)(v + 4 * f->quad);
        const __m128i more = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(high)), 7);
        _mm_storel_epi64(quad, _mm_add_epi16(_mm_loadl_epi64(quad), more));
    }
}

/* all of a token, even and odd columns of 32 apart */
static void token_words(int16_t *out, const qw_q8 *x, size_t token)
{
    const size_t groups = x->cols / QW_Q8_GROUP;
    const __m256i apart =
        _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    for (size_t g = 0; g < groups; g++, out += QW_Q8_GROUP) {
        _Alignas(32) int16_t v[QW_Q8_GROUP];
        group_values(v, x, token * groups + g);
        for (int c = 0; c < 2; c++) {
            const __m256i *from = (const __m256i *)(v + 32 * c);
            const __m256i a = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(from[0], apart), 0xD8);
            const __m256i b = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(from[1], apart), 0xD8);
            _mm256_store_si256((__m256i *)(out + 32 * c), _mm256_permute2x128_si256(a, b, 0x20));
            _mm256_store_si256((__m256i *)(out + 32 * c + 16), _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
}

/* Lanes of 8 rows added up, in three steps: rows in pairs, in fours, and the halves. */
INLINE __m256i add_pairs(__m256i a, __m256i b) { return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)); }
INLINE __m256i add_fours(__m256i a, __m256i b) { return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }
INLINE __m256i add_halves(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_blend_epi32(a, b, 0xF0), _mm256_permute2x128_si256(a, b, 0x21));
}

/* acc += the unit's part, of eight rows; sum is that of the activations */
INLINE __m256 add_unit(__m256 acc, __m256i dot, const float *s, const float *b, float scale, float sum)
{
    acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(_mm256_loadu_ps(s), _mm256_set1_ps(scale)), acc);
    return _mm256_fmadd_ps(_mm256_loadu_ps(b), _mm256_set1_ps(sum), acc);
}

INLINE float sum_of_unit(const qw_q8_group *g, int unit, int u) { return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[u] : g->sum16[u]; }

/* The dot products of 64 columns of one row: the lanes of half[0] and half[1] add up to those of the two 32s. */
INLINE void row_dot(words64 w, const int16_t *v, __m256i half[2])
{
    for (int c = 0; c < 2; c++) {
        const __m256i even = _mm256_madd_epi16(w.w[2 * c], load32(v + 32 * c));
        half[c] = ADD_MADD(even, w.w[2 * c + 1], load32(v + 32 * c + 16));
    }
}

/* Chunk j of the step that begins with chunk `first`, at p[r] of each row, times the same chunk of each token; s and b stand at the chunk's first scale. */
INLINE void chunk_of_rows(qw_type type, const int unit, const int tokens, const rows_job *job, const uint8_t *const *p, size_t first, int j,
                          const float *s, const float *b, __m256 *acc)
{
    const size_t chunk = first + (size_t)j;
    __m256i pair[2][2][4];
#pragma GCC unroll 4
    for (int r = 0; r < 8; r += 2) {
        const words64 w0 = words_of(type, p[r], first, j), w1 = words_of(type, p[r + 1], first, j);
        for (int t = 0; t < tokens; t++) {
            const int16_t *v = job->values + (size_t)t * job->a->x->cols + chunk * 64;
            __m256i d0[2], d1[2];
            row_dot(w0, v, d0);
            row_dot(w1, v, d1);
            if (unit == 64) {
                pair[t][0][r / 2] = add_pairs(_mm256_add_epi32(d0[0], d0[1]), _mm256_add_epi32(d1[0], d1[1]));
            } else {
                pair[t][0][r / 2] = add_pairs(d0[0], d1[0]);
                pair[t][1][r / 2] = add_pairs(d0[1], d1[1]);
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        const qw_q8_group *g = job->a->x->groups + (job->a->first_token + (size_t)t) * (job->a->x->cols / 64) + chunk;
        for (int c = 0; c < (unit == 64 ? 1 : 2); c++) {
            const __m256i low = add_fours(pair[t][c][0], pair[t][c][1]), high = add_fours(pair[t][c][2], pair[t][c][3]);
            if (unit == 16) { /* a unit in each half */
                const __m256i d0 = _mm256_permute2x128_si256(low, high, 0x20), d1 = _mm256_permute2x128_si256(low, high, 0x31);
                acc[t] = add_unit(acc[t], d0, s + 16 * c, b + 16 * c, g->scale, sum_of_unit(g, unit, 2 * c));
                acc[t] = add_unit(acc[t], d1, s + 16 * c + 8, b + 16 * c + 8, g->scale, sum_of_unit(g, unit, 2 * c + 1));
            } else {
                acc[t] = add_unit(acc[t], add_halves(low, high), s + 8 * c, b + 8 * c, g->scale, sum_of_unit(g, unit, c));
            }
        }
    }
}

/* Rows [row, row + n) of the job, n <= 8; missing ones are copies of the last. */
INLINE void eight_rows(qw_type type, const int unit, const int tokens, const rows_job *job, size_t row, size_t n)
{
    const qw_q8_matmul *a = job->a;
    const size_t row_bytes = row_bytes_of(type, a->w->cols), groups = a->w->cols / (size_t)unit >> job->share;
    size_t rows[8], chunk = 0, ahead = 8 * row_bytes;
    while (ahead < AHEAD) /* whole rows, so that nothing is fetched twice or left out where rows end */
        ahead += 8 * row_bytes;
    const uint8_t *p[8];
    const char *next = (const char *)a->w->data + (a->first + row) * row_bytes + ahead;
    __m256 acc[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (size_t r = 0; r < 8; r++)
        rows[r] = a->first + row + (r < n ? r : n - 1);
    for (size_t g = 0; g < groups; g += SPAN) {
        const size_t end = groups - g < SPAN ? groups - g : SPAN, first = chunk;
        for (size_t i = 0; i < end; i += 8)
            job->scales(a->w, rows, g + i, end - i < 8 ? end - i : 8, job->s + 8 * i, job->b + 8 * i, 8);
        for (int r = 0; r < 8; r++)
            p[r] = chunk_at(type, (const uint8_t *)a->w->data + rows[r] * row_bytes, chunk);
        for (const size_t last = first + (end * (size_t)unit << job->share) / 64; chunk < last; chunk += (size_t)step_chunks(type)) {
#pragma GCC unroll 2
            for (int j = 0; j < step_chunks(type); j++) {
                const size_t at = ((chunk - first + (size_t)j) * (64 / (size_t)unit) >> job->share) * 8;
                chunk_of_rows(type, unit, tokens, job, p, chunk, j, job->s + at, job->b + at, acc);
            }
            for (int r = 0; r < 8; r++)
                if (!is_k(type) || (chunk & 2))
                    p[r] += block_bytes(type);
            const size_t bytes = 8 * block_bytes(type) / (is_k(type) ? 2 : 1);
            for (size_t i = 0; i < bytes; i += 64)
                _mm_prefetch(next + i, _MM_HINT_T1);
            next += bytes;
        }
    }
    for (int t = 0; t < tokens; t++) {
        float sums[8], *y = a->y + (size_t)t * a->y_stride + row;
        _mm256_storeu_ps(sums, acc[t]);
        for (size_t r = 0; r < n; r++)
            y[r] = a->add ? y[r] + sums[r] : sums[r];
    }
}

INLINE void few_tokens(qw_type type, const int unit, const int tokens, const qw_q8_matmul *a, scales_fn *scales)
{
    const size_t cols = a->w->cols;
    int16_t *values = a->scratch;
    rows_job job = { .a = a, .values = values, .scales = scales, .share = a->w->group == 128 };
    job.s = (float *)(void *)(values + (size_t)tokens * cols);
    job.b = job.s + SPAN * 8;
    for (int t = 0; t < tokens && !a->ready; t++)
        token_words(values + (size_t)t * cols, a->x, a->first_token + (size_t)t);
    for (size_t row = 0; row < a->n_rows; row += 8)
        eight_rows(type, unit, tokens, &job, row, a->n_rows - row < 8 ? a->n_rows - row : 8);
}
