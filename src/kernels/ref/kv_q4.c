/* The cache's type Q4 (kernels/kv.h): how keys are turned, one row in, one number out. All levels write rows with this: a token has few of them, and much else to do.
 * Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/ref/ref.h"
#include "quant/half.h"

#include <math.h>
#include <string.h>

#define BLOCK QW_KV_BLOCK
#define GROUP QW_KV_GROUP
#define PIECE 256 /* the most that is turned as one */

/* ---- keys are turned */

/* Values that are turned together; 1 when keys stay as they are. */
static size_t piece_of(size_t head_dim)
{
    size_t n = 1;
    while (n < PIECE && head_dim % (2 * n) == 0)
        n *= 2;
    return n < GROUP ? 1 : n;
}

/* x [2 * n]: sums of its halves, and differences */
static void butterfly(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float a = x[i], b = x[i + n];
        x[i] = a + b;
        x[i + n] = a - b;
    }
}

/* x [n][lanes], pieces of `piece` rows */
static void rotate(float *x, size_t n, size_t lanes, size_t piece)
{
    if (piece == 1)
        return;
    for (size_t half = lanes; half < piece * lanes; half *= 2)
        for (size_t at = 0; at < n * lanes; at += 2 * half)
            butterfly(x + at, half);
    const float scale = 1 / sqrtf((float)piece);
    for (size_t i = 0; i < n * lanes; i++)
        x[i] *= scale;
}

void qw_kv_rotate(float *x, size_t head_dim, size_t lanes) { rotate(x, head_dim, lanes, piece_of(head_dim)); }

/* ---- rows in */

/* Nearest whole number, of two the even one; |x| < 2^22 */
static float nearest(float x) { return (x + 0x1.8p23F) - 0x1.8p23F; }

/* A group, zeros behind its end, as codes from 0 to 15. Its scale is returned. */
static uint16_t encode(uint8_t *codes, const float *x)
{
    float low = 0, high = 0, odd = 0;
    for (size_t i = 0; i < GROUP; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        odd += x[i] * 0; /* NaN for infinities too */
    }
    const uint16_t scale = qw_f32_to_f16(odd != 0 ? NAN : (-low >= high ? low : high) / -8);
    const float width = qw_f16_to_f32(scale), inverse = isfinite(width) && width != 0 ? 1 / width : 0;
    memset(codes, 8, GROUP);
    for (size_t i = 0; inverse != 0 && i < GROUP; i++) {
        const float code = nearest(x[i] * inverse);
        codes[i] = (uint8_t)(8 + (code > 7 ? 7 : code < -8 ? -8 : code));
    }
    return scale;
}

static void put_key(char *block, const qw_kv_layout *l, size_t head_dim, size_t lane, size_t first, const float *group)
{
    uint8_t codes[GROUP], *to = (uint8_t *)block + first / 2 * BLOCK + lane;
    ((uint16_t *)(void *)(block + l->key_scales))[first / GROUP * BLOCK + lane] = encode(codes, group);
    for (size_t i = 0; i < GROUP && first + i < head_dim; i += 2, to += BLOCK)
        *to = (uint8_t)(codes[i] | codes[i + 1] << 4);
}

static void put_value(char *block, const qw_kv_layout *l, size_t head_dim, size_t lane, size_t first, const float *group)
{
    const size_t groups = (head_dim + GROUP - 1) / GROUP;
    uint8_t codes[GROUP], *to = (uint8_t *)block + l->values + (lane * groups + first / GROUP) * GROUP / 2;
    ((uint16_t *)(void *)(block + l->value_scales))[first / GROUP * BLOCK + lane] = encode(codes, group);
    for (size_t i = 0; i < GROUP / 2; i++)
        to[i] = (uint8_t)(codes[i] | codes[i + GROUP / 2] << 4);
}

void qw_kv_q4_put(char *block, const qw_kv_layout *l, size_t head_dim, size_t lane, const float *k, const float *v)
{
    for (size_t first = 0; first < head_dim; first += PIECE) {
        const size_t n = head_dim - first < PIECE ? head_dim - first : PIECE;
        float key[PIECE] = { 0 }, value[PIECE] = { 0 };
        memcpy(key, k + first, n * sizeof *k);
        memcpy(value, v + first, n * sizeof *v);
        rotate(key, n, 1, piece_of(head_dim));
        for (size_t d = 0; d < n; d += GROUP) {
            put_key(block, l, head_dim, lane, first + d, key + d);
            put_value(block, l, head_dim, lane, first + d, value + d);
        }
    }
}

/* ---- numbers out */

static float decode(const char *scales, size_t lane, size_t group, int code)
{
    return (float)(code - 8) * qw_f16_to_f32(((const uint16_t *)(const void *)scales)[group * BLOCK + lane]);
}

float qw_kv_q4_key(const char *block, const qw_kv_layout *l, size_t lane, size_t d)
{
    const int byte = ((const uint8_t *)block)[d / 2 * BLOCK + lane];
    return decode(block + l->key_scales, lane, d / GROUP, d % 2 ? byte >> 4 : byte & 15);
}

float qw_kv_q4_value(const char *block, const qw_kv_layout *l, size_t lane, size_t d)
{
    const size_t groups = (l->padded + GROUP - 1) / GROUP;
    const int byte = ((const uint8_t *)block)[l->values + (lane * groups + d / GROUP) * GROUP / 2 + d % (GROUP / 2)];
    return decode(block + l->value_scales, lane, d / GROUP, d % GROUP < GROUP / 2 ? byte & 15 : byte >> 4);
}
