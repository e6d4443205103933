/* The causal depthwise convolution with its silu over v16, in place of ref/conv.c: token by token, each value fma by fma from the oldest input on, so that no cut
 * of the tokens or the channels can be seen. Included by x86/delta_*.c and arm/delta_neon.c; tested by tests/unit/test_kernels_delta.c. */
#include "kernels/kernels.h"
#include "kernels/vec/math.h"

#define CONV_AHEAD 4 /* rows that are asked for before they are read: they are far apart, so that no processor foresees them */
#define CONV_LINE 16 /* floats of a cache line */

/* The inputs of a token: the oldest ones are still in the tail, the others are rows of x. */
typedef struct window {
    const float *old, *young;
    size_t n_old, n; /* rows, `stride` apart */
    size_t stride;
} window;

static inline __attribute__((always_inline)) v16 conv_load(const float *p, size_t n) { return n < 16 ? v16_load_n(p, n) : v16_load(p); }

/* Channels [c, c + n), n <= 16. */
static inline __attribute__((always_inline)) v16 conv_vector(const window *in, const float *w, size_t c, size_t n)
{
    v16 sum = v16_zero();
    size_t j = 0;
    for (; j < in->n_old; j++)
        sum = v16_fma(conv_load(w + j * in->stride + c, n), conv_load(in->old + j * in->stride + c, n), sum);
    for (; j < in->n; j++)
        sum = v16_fma(conv_load(w + j * in->stride + c, n), conv_load(in->young + (j - in->n_old) * in->stride + c, n), sum);
    return v16_silu(sum);
}

static inline __attribute__((always_inline)) void conv_token(float *y, const window *in, const float *w, size_t n)
{
    size_t c = 0;
    for (; c + 16 <= n; c += 16)
        v16_store(y + c, conv_vector(in, w, c, 16));
    if (c < n)
        v16_store_n(y + c, conv_vector(in, w, c, n - c), n - c);
}

/* The last taps - 1 inputs become the tail, oldest first: upwards, so that a row which moves within the tail is read before it is overwritten. */
static void conv_keep(float *tail, const float *x, size_t stride, size_t n, size_t n_tokens, size_t taps)
{
    for (size_t j = 0; j + 1 < taps; j++) {
        const size_t at = n_tokens + j; /* among the rows of the old tail and x */
        const float *from = at >= taps - 1 ? x + (at - (taps - 1)) * stride : tail + at * stride;
        for (size_t c = 0; c < n; c++)
            tail[j * stride + c] = from[c];
    }
}

static void conv_silu_v16(float *y, size_t y_stride, const float *x, float *tail, const float *w, size_t stride, size_t n, size_t n_tokens,
                          size_t taps)
{
    for (size_t t = 0; t < n_tokens; t++, y += y_stride) {
        for (size_t c = 0; c < n; c += CONV_LINE)
            __builtin_prefetch(x + (t + CONV_AHEAD) * stride + c, 0, 3);
        const size_t n_old = t + 1 < taps ? taps - 1 - t : 0;
        const float *young = n_old ? x : x + (t + 1 - taps) * stride;
        if (taps == 4 && !n_old) /* unrolled */
            conv_token(y, &(window){ .young = young, .n = 4, .stride = stride }, w, n);
        else
            conv_token(y, &(window){ .old = tail + t * stride, .young = young, .n_old = n_old, .n = taps, .stride = stride }, w, n);
    }
    conv_keep(tail, x, stride, n, n_tokens, taps);
}
