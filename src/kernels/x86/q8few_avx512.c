/* Weights of the affine types times a few tokens (drafts that are verified, sequences side by side), level avx512. For one token weights
 * are used as they come out of their bytes; for many they are unpacked once for all. Here unpacking costs as much as multiplying, and the
 * two use other ports: so both are one stream. While the dot products of a group of 64 columns run, the next group goes through two steps:
 * its bytes become codes in registers, two rows in each ("collect"), and these are turned so that every register holds 4 columns of 16
 * rows, which is what a dot product with 4 broadcast activations reads ("turn"). A group is cut into 16 slots, in each a sixteenth of
 * everything; what is asked of the compiler is mostly to leave that order alone. With 4 tokens a group of 16 rows takes 145 cycles, where
 * unpacking first took 180; the ports could do it in 103. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8rows_avx512.h"

#define QUAD (4 * ROWS)                        /* bytes of codes */
#define GROUP (16 * QUAD)                      /* of a group of 16 rows */
#define KEEP(x) __asm__ volatile("" : "+v"(x)) /* x is computed before what follows, and not later */

/* ---- the tokens, made ready once for all weights: each group in the order in which it is read, so that one register finds all of it */

/* low [16 quads][n tokens][4] | fixes [n_fix][n] | scales [n] */
typedef struct ready_fix {
    uint32_t at; /* of the quad's codes in a group */
    int8_t high[4];
} ready_fix;

typedef struct ready_scale {
    float scale, sum;
} ready_scale;

static size_t ready_bytes(size_t n, size_t n_fix) { return n * (QW_Q8_GROUP + n_fix * sizeof(ready_fix) + sizeof(ready_scale)); }
/* Behind the panel that other weights of the same tokens are unpacked to. */
static char *ready_at(void *scratch, size_t cols) { return (char *)scratch + cols * ROWS + 2 * sizeof(float) * (cols / 16 * ROWS); }

static void make_ready(const qw_q8_matmul *a)
{
    const qw_q8 *x = a->x;
    const size_t groups = x->cols / QW_Q8_GROUP, n = a->n_tokens, n_fix = (size_t)x->n_fix;
    char *to = ready_at(a->scratch, x->cols);
    for (size_t g = 0; g < groups; g++) {
        for (size_t quad = 0; quad < 16; quad++)
            for (size_t t = 0; t < n; t++, to += 4)
                memcpy(to, x->low + (a->first_token + t) * x->cols + g * QW_Q8_GROUP + 4 * quad, 4);
        for (size_t f = 0; f < n_fix; f++)
            for (size_t t = 0; t < n; t++, to += sizeof(ready_fix)) {
                const qw_q8_fix *fix = x->fixes + ((a->first_token + t) * groups + g) * n_fix + f;
                ready_fix r = { .at = fix->quad * QUAD };
                memcpy(r.high, fix->high, 4);
                memcpy(to, &r, sizeof r);
            }
        for (size_t t = 0; t < n; t++, to += sizeof(ready_scale)) {
            const qw_q8_group *from = x->groups + (a->first_token + t) * groups + g;
            memcpy(to, &(ready_scale){ from->scale, from->sum64 }, sizeof(ready_scale));
        }
    }
}

/* ---- 16 rows: their bytes */

/* The same bytes of 16 rows: two places, four distances. */
typedef struct places {
    const uint8_t *row0, *row8;
    size_t one, three, five, seven; /* rows further */
} places;

INLINE places places_at(const uint8_t *at, size_t row_bytes)
{
    return (places){ at, at + 8 * row_bytes, row_bytes, 3 * row_bytes, 5 * row_bytes, 7 * row_bytes };
}

/* 16 or 32 bytes at p + times * i + offset. The compiler would compute an address for each row, so that it is told how. Where a sanitizer is to see what is read, or the
 * compiler does not fold constants, it may do as it likes. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#  define LOAD_AT(name, times, mode)                                                            \
    INLINE __m512i name(const uint8_t *p, size_t i, const int offset, const bool half)          \
    {                                                                                           \
      __m512i x;                                                                                \
      if (half)                                                                                 \
        __asm__ volatile("vmovdqu32 %c3" mode ", %x0" : "=v"(x) : "r"(p), "r"(i), "i"(offset)); \
      else                                                                                      \
        __asm__ volatile("vmovdqu32 %c3" mode ", %t0" : "=v"(x) : "r"(p), "r"(i), "i"(offset)); \
      return x;                                                                                 \
    }
#else
#  define LOAD_AT(name, times, mode)                                                               \
    INLINE __m512i name(const uint8_t *p, size_t i, const int offset, const bool half)             \
    {                                                                                              \
      const uint8_t *at = p + (times)*i + offset;                                                  \
      return half ? _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)at))     \
                  : _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)at)); \
    }
#endif
LOAD_AT(load_0, 0, "(%1)")
LOAD_AT(load_1, 1, "(%1,%2)")
LOAD_AT(load_2, 2, "(%1,%2,2)")
LOAD_AT(load_4, 4, "(%1,%2,4)")

INLINE __m512i load_row(const places *s, size_t row, const int offset, const bool half)
{
    const uint8_t *p = row < 8 ? s->row0 : s->row8;
    switch (row % 8) {
    case 0: return load_0(p, 0, offset, half);
    case 1: return load_1(p, s->one, offset, half);
    case 2: return load_2(p, s->one, offset, half);
    case 3: return load_1(p, s->three, offset, half);
    case 4: return load_4(p, s->one, offset, half);
    case 5: return load_1(p, s->five, offset, half);
    case 6: return load_2(p, s->three, offset, half);
    default: return load_1(p, s->seven, offset, half);
    }
}

/* ---- the two steps */

/* Codes of half a group of rows r and r + 4 for pair p of 0..7, r = 0..3, 8..11. */
INLINE void collect(__m512i v[8], const size_t p, qw_type t, const places *s, const size_t half, const q8_control *c)
{
    const size_t bits = q8_affine_bits(t), row = p / 4 * 8 + p % 4;
    const int offset = half ? (int)q8_second_half(bits) : 0;
    __m512i x = load_row(s, row, offset, bits < 4), y = load_row(s, row + 4, offset, bits < 4);
    if (bits == 8) {
        x = _mm512_inserti64x4(x, _mm512_castsi512_si256(y), 1);
    } else {
        x = _mm512_permutex2var_epi8(x, c->index[half], y);
        KEEP(x);
        x = _mm512_and_si512(_mm512_multishift_epi64_epi8(c->shifts, x), c->mask);
    }
    KEEP(x);
    v[p] = x;
}

INLINE void set4(__m512i *v, __m512i a, __m512i b, __m512i c, __m512i d)
{
    KEEP(a);
    KEEP(b);
    KEEP(c);
    KEEP(d);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

/* Part i of 8 of turning eight pairs; parts 4..7 write two quads each. */
INLINE void turn(__m512i v[8], const size_t i, uint8_t *codes)
{
    __m512i *w = v + i % 2 * 4;
    if (i < 2) {
        set4(w, _mm512_unpacklo_epi32(w[0], w[1]), _mm512_unpackhi_epi32(w[0], w[1]), _mm512_unpacklo_epi32(w[2], w[3]),
             _mm512_unpackhi_epi32(w[2], w[3]));
    } else if (i < 4) {
        set4(w, _mm512_unpacklo_epi64(w[0], w[2]), _mm512_unpackhi_epi64(w[0], w[2]), _mm512_unpacklo_epi64(w[1], w[3]),
             _mm512_unpackhi_epi64(w[1], w[3]));
    } else {
        __m512i even = q8_even(v[i - 4], v[i]), odd = q8_odd(v[i - 4], v[i]);
        KEEP(even);
        KEEP(odd);
        _mm512_store_si512(codes + (i - 4) * QUAD, even);
        _mm512_store_si512(codes + i * QUAD, odd);
    }
}

/* ---- a group */

typedef struct four {
    int8_t v[4];
} four;

/* sum + codes . the four values at x, of every row */
INLINE __m512i dot(__m512i sum, __m512i codes, const void *x)
{
    __asm__ volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*(const four *)x));
    return sum;
}

/* 128 times what the fixed quads of the tokens add. */
INLINE void fixed_quads(__m512i *sum, const uint8_t *codes, const char *x, size_t n_fix, const size_t n)
{
    const ready_fix *fix = (const ready_fix *)(const void *)x;
    UNROLL
    for (size_t t = 0; t < n; t++)
        sum[t] = _mm512_setzero_si512();
    for (size_t f = 0; f < n_fix; f++, fix += n) {
        UNROLL
        for (size_t t = 0; t < n; t++)
            sum[t] = dot(sum[t], _mm512_load_si512(codes + fix[t].at), fix[t].high);
    }
    UNROLL
    for (size_t t = 0; t < n; t++)
        sum[t] = _mm512_slli_epi32(sum[t], 7);
}

/* y stands in memory: there are no registers left for it. */
INLINE void add_group(float *y, const __m512i *sum, const char *x, const float *scales, const float *biases, const size_t n)
{
    const ready_scale *token = (const ready_scale *)(const void *)x;
    const __m512 s = _mm512_load_ps(scales), b = _mm512_load_ps(biases);
    UNROLL
    for (size_t t = 0; t < n; t++, y += ROWS) {
        const __m512 scaled = _mm512_mul_ps(s, _mm512_set1_ps(token[t].scale));
        const __m512 sums = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), scaled, _mm512_load_ps(y));
        _mm512_store_ps(y, _mm512_fmadd_ps(b, _mm512_set1_ps(token[t].sum), sums));
    }
    __asm__ volatile("" ::: "memory");
}

/* ---- panels, one behind the other without a gap */

/* Where halves are collected from: the group after this one, and the one behind it, which may be of the next panel. */
typedef struct walk {
    const uint8_t *panel; /* of the farther group */
    size_t g, groups, group_bytes, panel_bytes, panels_left;
    const uint8_t *near, *far;
} walk;

INLINE walk walk_of(const qw_q8_matmul *a, const q8_layout *l, qw_type t)
{
    const uint8_t *at = (const uint8_t *)a->w->data + a->first * l->row_bytes;
    return (walk){ .panel = at,
                   .groups = a->w->cols / QW_Q8_GROUP,
                   .group_bytes = q8_offset(t, 1),
                   .panel_bytes = ROWS * l->row_bytes,
                   .panels_left = a->n_rows / ROWS - 1,
                   .near = at,
                   .far = at };
}

/* Behind the last panel comes the last one again: what is collected there nobody uses. */
INLINE void walk_on(walk *w)
{
    w->near = w->far;
    if (++w->g == w->groups) {
        w->g = 0;
        if (w->panels_left) {
            w->panels_left--;
            w->panel += w->panel_bytes;
        }
    }
    w->far = w->panel + w->g * w->group_bytes;
}

/* What goes on from group to group. */
typedef struct stream {
    walk at;
    q8_control control;
    size_t row_bytes;
    uint8_t *now, *then; /* codes of this group; the next one's are written */
} stream;

/* The first group whole, and the first half of the second one. */
INLINE void begin(stream *s, __m512i first[8], qw_type t)
{
    const places place = places_at(s->at.near, s->row_bytes);
    for (size_t half = 0; half < 2; half++) {
        UNROLL
        for (size_t p = 0; p < 8; p++)
            collect(first, p, t, &place, half, &s->control);
        UNROLL
        for (size_t i = 0; i < 8; i++)
            turn(first, i, s->now + half * (GROUP / 2));
    }
    walk_on(&s->at);
    const places next = places_at(s->at.far, s->row_bytes);
    UNROLL
    for (size_t p = 0; p < 8; p++)
        collect(first, p, t, &next, 0, &s->control);
}

/* sum += this group's codes times the tokens at x; meanwhile the next group's are made: its first half has been collected, and the first
 * of the group behind it is then. */
INLINE void run_group(stream *s, __m512i first[8], __m512i second[8], __m512i *sum, qw_type t, size_t g, const char *x,
                      const q8_ahead *next, const size_t n)
{
    walk_on(&s->at);
    const places near = places_at(s->at.near, s->row_bytes), far = places_at(s->at.far, s->row_bytes);
    UNROLL
    for (size_t i = 0; i < 16; i++) {
        if (i < 8) {
            collect(second, i, t, &near, 1, &s->control);
            turn(first, i, s->then);
        } else {
            collect(first, i - 8, t, &far, 0, &s->control);
            turn(second, i - 8, s->then + GROUP / 2);
        }
        if (i % 2)
            q8_fetch(next, t, g, i / 2, false);
        const __m512i quad = _mm512_load_si512(s->now + i * QUAD);
        UNROLL
        for (size_t k = 0; k < n; k++)
            sum[k] = dot(sum[k], quad, x + 4 * (i * n + k));
    }
    uint8_t *const done = s->now;
    s->now = s->then;
    s->then = done;
}

static void put(const qw_q8_matmul *a, size_t row, const float *y)
{
    for (size_t k = 0; k < a->n_tokens; k++, y += ROWS) {
        float *out = a->y + k * a->y_stride + row;
        const __m512 v = _mm512_load_ps(y);
        _mm512_storeu_ps(out, a->add ? _mm512_add_ps(_mm512_loadu_ps(out), v) : v);
    }
}

INLINE void multiply(const qw_q8_matmul *a, qw_type t, const size_t n)
{
    _Alignas(64) uint8_t codes[2 * GROUP];
    _Alignas(64) float scales[BATCH * ROWS], biases[BATCH * ROWS], y[QW_Q8_FEW * ROWS];
    const q8_layout l = q8_layout_of(a->w);
    const size_t groups = a->w->cols / QW_Q8_GROUP, n_fix = (size_t)a->x->n_fix, x_bytes = ready_bytes(n, n_fix);
    stream s = { walk_of(a, &l, t), q8_control_of(t), l.row_bytes, codes, codes + GROUP };
    __m512i first[8], second[8], sum[QW_Q8_FEW]; /* two halves of groups on their way */
    begin(&s, first, t);
    for (size_t row = 0; row < a->n_rows; row += ROWS) {
        const q8_rows rows = q8_rows_of(&l, a->first + row, ROWS);
        const q8_ahead next = q8_ahead_of(&l, a->first + row + ROWS);
        const char *x = ready_at(a->scratch, a->w->cols);
        memset(y, 0, sizeof y);
        for (size_t g = 0; g < groups; g++, x += x_bytes) {
            const char *fixes = x + n * QW_Q8_GROUP;
            const size_t at = g % BATCH * ROWS;
            if (at == 0)
                qw_q8_scales_avx512(&rows, g, groups - g < BATCH ? groups - g : BATCH, scales, biases);
            fixed_quads(sum, s.now, fixes, n_fix, n);
            run_group(&s, first, second, sum, t, g, x, &next, n);
            add_group(y, sum, fixes + n * n_fix * sizeof(ready_fix), scales + at, biases + at, n);
        }
        put(a, row, y);
    }
}

/* ---- every type, every number of tokens */

typedef void few_fn(const qw_q8_matmul *a);
#define EACH_N(X, type) X(type, 2) X(type, 3) X(type, 4) X(type, 5) X(type, 6)
#define EACH(X) EACH_N(X, AFFINE2) EACH_N(X, AFFINE3) EACH_N(X, AFFINE4) EACH_N(X, AFFINE5) EACH_N(X, AFFINE6) EACH_N(X, AFFINE8)
#define DEFINE(type, n) \
  static __attribute__((noinline)) void few_##type##_##n(const qw_q8_matmul *a) { multiply(a, QW_TYPE_##type, n); }
EACH(DEFINE)

static few_fn *function_of(qw_type t, size_t n)
{
#define ROW(type) [QW_TYPE_##type] = { few_##type##_2, few_##type##_3, few_##type##_4, few_##type##_5, few_##type##_6 },
    static few_fn *const functions[QW_TYPE_COUNT][QW_Q8_FEW - 1] = { ROW(AFFINE2) ROW(AFFINE3) ROW(AFFINE4) ROW(AFFINE5) ROW(AFFINE6)
                                                                         ROW(AFFINE8) };
    return functions[t][n - 2];
}

size_t qw_q8_few_avx512(const qw_q8_matmul *a)
{
    if (a->n_tokens > QW_Q8_FEW)
        return 0;
    if (!a->ready)
        make_ready(a);
    if (!q8_affine_bits(a->w->type) || qw_q8_unit(a->w) != 64 || a->n_rows < ROWS)
        return 0;
    qw_q8_matmul whole = *a;
    whole.n_rows = a->n_rows / ROWS * ROWS;
    function_of(a->w->type, a->n_tokens)(&whole);
    return whole.n_rows;
}
