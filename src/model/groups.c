/* MLX's packed matrices (groups.h). Stands between weights/ and bind.c. Tested by tests/unit/test_groups.c and, with whole models,
 * tests/golden/test_mlx.c. */
#include "model/groups.h"

#include <stdio.h>

#define WORD_BITS 32

static qwren_status fail_shape(const qw_tensor *t, const char *want, qwren_error *err)
{
    char shape[QW_SHAPE_TEXT_BYTES];
    return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s is %s %s; %s", t->file, t->file_name, t->dtype,
                   qw_shape_text(shape, sizeof shape, t->n_dims, t->shape), want);
}

static bool is_matrix_of(const qw_tensor *t, size_t rows) { return t->n_dims == 2 && t->shape[0] == rows && t->shape[1] > 0; }

/* Each part by itself: types, and one row of it for each row of the matrix. */
static qwren_status check_parts(const qw_group_parts *p, size_t rows, qwren_error *err)
{
    char want[96];
    const qw_tensor *w = p->weight, *s = p->scales, *b = p->biases;
    snprintf(want, sizeof want, "codes with scales are U32 words in %zu rows", rows);
    if (w->type != QW_TYPE_U32 || !is_matrix_of(w, rows))
        return fail_shape(w, want, err);
    snprintf(want, sizeof want, "scales are F32, F16, BF16 or U8 in %zu rows", rows);
    if ((!qw_type_is_float(s->type) && s->type != QW_TYPE_U8) || !is_matrix_of(s, rows))
        return fail_shape(s, want, err);
    if (s->type == QW_TYPE_U8)
        return b ? fail_shape(b, "codes with scales of one byte have no biases", err) : QWREN_OK;
    if (!b)
        return fail_shape(s, "affine codes have biases beside their scales, and these have none", err);
    return b->type == s->type && is_matrix_of(b, rows) && b->shape[1] == s->shape[1]
               ? QWREN_OK
               : fail_shape(b, "biases have the type and the shape of the scales", err);
}

/* The float mode with these widths. */
static qw_type float_mode(size_t bits, size_t group)
{
    if (bits == 4)
        return group == 32 ? QW_TYPE_MXFP4 : group == 16 ? QW_TYPE_NVFP4 : QW_TYPE_OTHER;
    return bits == 8 && group == 32 ? QW_TYPE_MXFP8 : QW_TYPE_OTHER;
}

static qw_type affine_mode(size_t bits, size_t group)
{
    return bits <= 8 && (group == 32 || group == 64 || group == 128) ? qw_type_affine((int)bits) : QW_TYPE_OTHER;
}

/* Widths from shapes: columns / groups and bits / columns, both without a rest. */
static qwren_status find_type(qw_matrix *m, const qw_group_parts *p, qwren_error *err)
{
    const size_t words = p->weight->shape[1], groups = p->scales->shape[1];
    const size_t group = m->cols % groups == 0 ? m->cols / groups : 0;
    const size_t bits = words <= m->cols && words * WORD_BITS % m->cols == 0 ? words * WORD_BITS / m->cols : 0;
    if (!group || !bits)
        return qw_fail(
            err, QWREN_E_FORMAT,
            "%s: tensor %s has %zu words and %zu scales in a row: no width of codes makes %zu columns of them, which config.json asks for",
            p->weight->file, p->weight->file_name, words, groups, m->cols);
    m->type = p->scales->type == QW_TYPE_U8 ? float_mode(bits, group) : affine_mode(bits, group);
    m->group = (int)group;
    if (m->type == QW_TYPE_OTHER)
        return qw_fail(
            err, QWREN_E_UNSUPPORTED,
            "%s: tensor %s has %zu bits in groups of %zu, with scales of type %s; supported are 2, 3, 4, 5, 6 and 8 bits in groups of 32, "
            "64 and 128, mxfp4, nvfp4 and mxfp8",
            p->weight->file, p->weight->file_name, bits, group, p->scales->dtype);
    return QWREN_OK;
}

/* The shapes leave no doubt, so a file whose config says otherwise was changed by someone, and other programs would read noise from it. */
static qwren_status check_said(const qw_matrix *m, const qw_tensor *weight, const qw_quant_setting *said, qwren_error *err)
{
    char a[64], b[64];
    const qw_type mode = qw_type_is_affine(m->type) ? QW_TYPE_OTHER : m->type;
    const qw_quant_setting is = { true, false, qw_type_bits(m->type), m->group, mode };
    if (!said->stated ||
        (!said->off && said->mode == mode && (!said->bits || said->bits == is.bits) && (!said->group || said->group == is.group)))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s has %s by its shape, but config.json says %s: mend \"quantization\" there",
                   weight->file, weight->file_name, qw_quant_setting_text(a, sizeof a, &is), qw_quant_setting_text(b, sizeof b, said));
}

qwren_status qw_group_matrix(qw_matrix *out, const qw_group_parts *p, size_t rows, size_t cols, const qw_quant_setting *said,
                             qwren_error *err)
{
    QW_TRY(check_parts(p, rows, err));
    *out = (qw_matrix){ .rows = rows,
                        .cols = cols,
                        .data = p->weight->data,
                        .scales = p->scales->data,
                        .biases = p->biases ? p->biases->data : NULL,
                        .scale_type = p->scales->type };
    QW_TRY(find_type(out, p, err));
    return check_said(out, p->weight, said, err);
}
