/* The causal depthwise convolution in front of the delta rule, with its silu, in plain C. Tested by tests/unit/test_kernels.c and tests/golden/test_ops.c. */
#include "kernels/ref/ref.h"

/* Row `t` of the inputs, where the rows before the first are in the tail. */
static const float *input_row(const float *x, const float *tail, size_t stride, size_t taps, ptrdiff_t t)
{
    return t >= 0 ? x + (size_t)t * stride : tail + (size_t)(t + (ptrdiff_t)taps - 1) * stride;
}

/* The last taps - 1 inputs become the tail, oldest first. */
static void keep_tail(float *tail, const float *x, size_t stride, size_t n, size_t n_tokens, size_t taps)
{
    for (size_t j = 0; j + 1 < taps; j++) {
        const float *from = input_row(x, tail, stride, taps, (ptrdiff_t)(n_tokens + j) - (ptrdiff_t)(taps - 1));
        for (size_t c = 0; c < n; c++) /* upwards in j: a row that moves within the tail is read before it is overwritten */
            tail[j * stride + c] = from[c];
    }
}

void qw_conv_silu_ref(float *y, size_t y_stride, const float *x, float *tail, const float *w, size_t stride, size_t n, size_t n_tokens,
                      size_t taps)
{
    for (size_t t = 0; t < n_tokens; t++) {
        float *out = y + t * y_stride;
        for (size_t c = 0; c < n; c++)
            out[c] = 0;
        for (size_t j = 0; j < taps; j++) {
            const float *in = input_row(x, tail, stride, taps, (ptrdiff_t)(t + j) - (ptrdiff_t)(taps - 1)), *tap = w + j * stride;
            for (size_t c = 0; c < n; c++)
                out[c] += tap[c] * in[c];
        }
        for (size_t c = 0; c < n; c++)
            out[c] *= qw_sigmoid_ref(out[c]);
    }
    keep_tail(tail, x, stride, n, n_tokens, taps);
}
