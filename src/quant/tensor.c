/* Tensors and their widening to float, the one conversion that loading needs (norms, biases, embedding rows). Tested by
 * tests/unit/test_quant.c. */
#include "quant/tensor.h"

#include "quant/half.h"

#include <assert.h>
#include <stdio.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error "weights are read in place, and files hold little-endian numbers"
#endif

static uint16_t load16(const unsigned char *p)
{
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

void qw_widen(qw_type type, const void *src, size_t n, float *out)
{
    const unsigned char *p = src;
    assert(qw_type_is_float(type));
    if (n == 0)
        return; /* an empty tensor may point nowhere */
    switch (type) {
    case QW_TYPE_F32: memcpy(out, p, n * sizeof *out); break;
    case QW_TYPE_F16:
        for (size_t i = 0; i < n; i++)
            out[i] = qw_f16_to_f32(load16(p + 2 * i));
        break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = qw_bf16_to_f32(load16(p + 2 * i));
        break;
    }
}

void qw_narrow(qw_type type, const float *src, size_t n, void *dst)
{
    unsigned char *p = dst;
    assert(qw_type_is_float(type));
    if (n && type == QW_TYPE_F32)
        memcpy(p, src, n * sizeof *src);
    for (size_t i = 0; i < n && type != QW_TYPE_F32; i++) {
        uint16_t x = type == QW_TYPE_F16 ? qw_f32_to_f16(src[i]) : qw_f32_to_bf16(src[i]);
        memcpy(p + 2 * i, &x, sizeof x);
    }
}

size_t qw_tensor_elements(const qw_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

void qw_tensor_to_f32(const qw_tensor *t, float *out) { qw_widen(t->type, t->data, qw_tensor_elements(t), out); }

const char *qw_shape_text(char *buf, size_t n, int n_dims, const size_t *shape)
{
    size_t at = 0;
    for (int i = 0; i < n_dims && at < n; i++)
        at += (size_t)snprintf(buf + at, n - at, "%s%zu", i ? ", " : "[", shape[i]);
    if (at < n)
        snprintf(buf + at, n - at, "%s", n_dims ? "]" : "[]");
    return buf;
}
