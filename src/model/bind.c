/* Binding: every tensor that a layer reads is looked up once, when the model is opened, and its shape is checked against the config. Tested by
 * tests/unit/test_model.c. */
#include "model/bind.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME 128

static qwren_status find(const qw_binder *b, const qw_tensor **out, const char *name, qwren_error *err)
{
    *out = qw_weights_find(b->weights, name);
    if (*out)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_FORMAT, "the weights have no tensor %s, which config.json asks for", name);
}

static qwren_status check_shape(const qw_tensor *t, int n_dims, const size_t *shape, qwren_error *err)
{
    char is[QW_SHAPE_TEXT_BYTES], want[QW_SHAPE_TEXT_BYTES];
    bool same = t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++)
        same = t->shape[i] == shape[i];
    if (!same)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s has the shape %s, config.json makes it %s", t->file, t->file_name,
                       qw_shape_text(is, sizeof is, t->n_dims, t->shape), qw_shape_text(want, sizeof want, n_dims, shape));
    if (!qw_type_is_float(t->type))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s is %s; F32, F16 and BF16 are read", t->file, t->file_name, t->dtype);
    return QWREN_OK;
}

static qwren_status bind(const qw_binder *b, qw_matrix *out, int n_dims, const size_t *shape, const char *name, qwren_error *err)
{
    const qw_tensor *t = NULL;
    QW_TRY(find(b, &t, name, err));
    QW_TRY(check_shape(t, n_dims, shape, err));
    *out = (qw_matrix){ .type = t->type, .rows = shape[0], .cols = 1, .data = t->data };
    for (int i = 1; i < n_dims; i++)
        out->cols *= shape[i];
    return QWREN_OK;
}

/* clang-format off */
#define FORMAT_NAME(name, last)                 \
    char name[MAX_NAME];                        \
    do {                                        \
        va_list args;                           \
        va_start(args, last);                   \
        vsnprintf(name, sizeof name, last, args); \
        va_end(args);                           \
    } while (0)
/* clang-format on */

qwren_status qw_bind_matrix(const qw_binder *b, qw_matrix *out, size_t rows, size_t cols, qwren_error *err, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    return bind(b, out, 2, (size_t[]){ rows, cols }, name, err);
}

qwren_status qw_bind_tensor(const qw_binder *b, qw_matrix *out, int n_dims, const size_t *shape, qwren_error *err, const char *name_fmt,
                            ...)
{
    FORMAT_NAME(name, name_fmt);
    return bind(b, out, n_dims, shape, name, err);
}

qwren_status qw_bind_vector(const qw_binder *b, const float **out, size_t n, float plus, qwren_error *err, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    const qw_tensor *t = NULL;
    *out = NULL;
    QW_TRY(find(b, &t, name, err));
    QW_TRY(check_shape(t, 1, &n, err));
    float *values = qw_arena_alloc(b->arena, n * sizeof *values);
    if (!values)
        return qw_fail_memory(err, n * sizeof *values, name);
    qw_tensor_to_f32(t, values);
    for (size_t i = 0; i < n; i++)
        values[i] += plus;
    *out = values;
    return QWREN_OK;
}

bool qw_bind_has(const qw_binder *b, const char *our_name) { return qw_weights_find(b->weights, our_name) != NULL; }
