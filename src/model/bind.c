/* Binding: every tensor that a layer reads is looked up once, when the model is opened, and its shape is checked against the config. Tested
 * by tests/unit/test_model.c and, for MLX, tests/golden/test_mlx.c. */
#include "model/bind.h"

#include "base/alloc.h"
#include "model/groups.h"
#include "weights/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME 128

const char *qw_bind_config_name(const qw_binder *b) { return qw_weights_gguf(b->weights) ? "the GGUF header" : "config.json"; }

static qwren_status find(const qw_binder *b, const qw_tensor **out, const char *name, qwren_error *err)
{
    *out = qw_weights_find(b->weights, name);
    if (*out)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_FORMAT, "the weights have no tensor %s, which %s asks for", name, qw_bind_config_name(b));
}

static qwren_status check_shape(const qw_binder *b, const qw_tensor *t, int n_dims, const size_t *shape, qwren_error *err)
{
    char is[QW_SHAPE_TEXT_BYTES], want[QW_SHAPE_TEXT_BYTES];
    bool same = t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++)
        same = t->shape[i] == shape[i];
    if (!same)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s has the shape %s, %s makes it %s", t->file, t->file_name,
                       qw_shape_text(is, sizeof is, t->n_dims, t->shape), qw_bind_config_name(b),
                       qw_shape_text(want, sizeof want, n_dims, shape));
    return QWREN_OK;
}

static qwren_status fail_type(const qw_tensor *t, const char *want, qwren_error *err)
{
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s is %s; %s", t->file, t->file_name, t->dtype, want);
}

/* ---- matrices */

/* Numbers, or blocks of them, as they stand in the file. */
static qw_matrix plain_matrix(const qw_tensor *t)
{
    qw_matrix m = { .type = t->type, .rows = t->shape[0], .cols = 1, .data = t->data };
    for (int i = 1; i < t->n_dims; i++)
        m.cols *= t->shape[i];
    return m;
}

static const qw_tensor *find_beside(const qw_binder *b, const char *name, const char *suffix)
{
    char buf[QW_NAME_BYTES];
    const char *beside = qw_name_beside(name, suffix, buf);
    return beside ? qw_weights_find(b->weights, beside) : NULL;
}

static qwren_status bind_plain(const qw_binder *b, qw_matrix *out, const qw_tensor *t, size_t rows, size_t cols, qwren_error *err)
{
    if (t->type == QW_TYPE_U32)
        return fail_type(t, "codes of MLX need scales beside them, and there are none", err);
    QW_TRY(check_shape(b, t, 2, (size_t[]){ rows, cols }, err));
    if (!qw_type_is_weight(t->type))
        return fail_type(t, "supported are F32, F16 and BF16, codes of MLX, and the blocks of GGUF", err);
    *out = plain_matrix(t);
    return QWREN_OK;
}

/* The one place where a matrix is made, for all kinds of files. That there are scales decides that a tensor holds codes. */
static qwren_status bind_matrix(const qw_binder *b, qw_matrix *out, size_t rows, size_t cols, const char *name, qwren_error *err)
{
    qw_group_parts p = { NULL, find_beside(b, name, ".scales"), find_beside(b, name, ".biases") };
    QW_TRY(find(b, &p.weight, name, err));
    if (p.scales) {
        const qw_quant_setting said = qw_quant_config_find(b->quant, p.weight);
        QW_TRY(qw_group_matrix(out, &p, rows, cols, &said, err));
    } else {
        QW_TRY(bind_plain(b, out, p.weight, rows, cols, err));
    }
    if (b->bound)
        b->bound[p.weight - qw_weights_at(b->weights, 0)] = *out;
    return QWREN_OK;
}

static qwren_status find_floats(const qw_binder *b, const qw_tensor **out, int n_dims, const size_t *shape, const char *name,
                                qwren_error *err)
{
    QW_TRY(find(b, out, name, err));
    QW_TRY(check_shape(b, *out, n_dims, shape, err));
    return qw_type_is_float((*out)->type) ? QWREN_OK : fail_type(*out, "F32, F16 and BF16 are read here", err);
}

/* ---- vectors */

static qwren_status bind_floats(const qw_binder *b, const float **out, size_t n, float plus, const char *name, qwren_error *err)
{
    const qw_tensor *t = NULL;
    *out = NULL;
    QW_TRY(find_floats(b, &t, 1, &n, name, err));
    float *values = qw_arena_alloc(b->arena, n * sizeof *values);
    if (!values)
        return qw_fail_memory(err, n * sizeof *values, name);
    qw_tensor_to_f32(t, values);
    for (size_t i = 0; i < n; i++)
        values[i] += plus;
    *out = values;
    return QWREN_OK;
}

/* ---- the face */

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

/* What becomes of a failure: passed on, or told so that binding can go on. Short memory is nobody's fault. */
static qwren_status settle(const qw_binder *b, qwren_status st, const char *name, const qwren_error *why, qwren_error *err)
{
    if (st == QWREN_OK)
        return QWREN_OK;
    if (b->complain && st != QWREN_E_MEMORY) {
        b->complain(b->complain_ctx, name, why);
        return QWREN_OK;
    }
    if (err)
        *err = *why;
    return st;
}

qwren_status qw_bind_matrix(const qw_binder *b, qw_matrix *out, size_t rows, size_t cols, qwren_error *err, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    qwren_error why;
    qwren_status st = bind_matrix(b, out, rows, cols, name, &why);
    if (st != QWREN_OK)
        *out = (qw_matrix){ 0 };
    return settle(b, st, name, &why, err);
}

qwren_status qw_bind_tensor(const qw_binder *b, qw_matrix *out, int n_dims, const size_t *shape, qwren_error *err, const char *name_fmt,
                            ...)
{
    FORMAT_NAME(name, name_fmt);
    const qw_tensor *t = NULL;
    qwren_error why;
    qwren_status st = find_floats(b, &t, n_dims, shape, name, &why);
    *out = st == QWREN_OK ? plain_matrix(t) : (qw_matrix){ 0 };
    return settle(b, st, name, &why, err);
}

static qwren_status bind_vector(const qw_binder *b, const float **out, size_t n, float plus, const char *name, qwren_error *err)
{
    qwren_error why;
    return settle(b, bind_floats(b, out, n, plus, name, &why), name, &why, err);
}

qwren_status qw_bind_vector(const qw_binder *b, const float **out, size_t n, qwren_error *err, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    return bind_vector(b, out, n, 0, name, err);
}

qwren_status qw_bind_norm(const qw_binder *b, const float **out, size_t n, qwren_error *err, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    return bind_vector(b, out, n, qw_weights_layout(b->weights) == QW_LAYOUT_HF ? 1.0F : 0.0F, name, err);
}

const qw_tensor *qw_bind_find(const qw_binder *b, const char *our_name) { return qw_weights_find(b->weights, our_name); }

bool qw_bind_has_part(const qw_binder *b, qw_part part)
{
    for (size_t i = 0; i < qw_weights_count(b->weights); i++)
        if (qw_part_of(qw_weights_at(b->weights, i)->name) == part)
            return true;
    return false;
}
bool qw_bind_has(const qw_binder *b, const char *our_name) { return qw_bind_find(b, our_name) != NULL; }
