/* Codes, scales and biases as one tensor (logical.h). Tested by tests/golden/test_mlx.c. */
#include "model/logical.h"

#include "model/groups.h"

#include <string.h>

static const qw_tensor *find_beside(const qw_weights *w, const qw_tensor *t, const char *suffix)
{
    char buf[QW_NAME_BYTES];
    const char *name = qw_name_beside(t->name, suffix, buf);
    return name ? qw_weights_find(w, name) : NULL;
}

/* Scales and biases are told with their codes. */
static bool belongs_to_codes(const qw_weights *w, const qw_tensor *t)
{
    char buf[QW_NAME_BYTES];
    const char *name = qw_name_of_codes(t->name, buf);
    const qw_tensor *codes = name ? qw_weights_find(w, name) : NULL;
    return codes && codes->type == QW_TYPE_U32 && find_beside(w, codes, ".scales");
}

static void take_as_filed(qw_logical *out, const qw_tensor *t)
{
    out->type = t->type;
    out->n_dims = t->n_dims;
    memcpy(out->shape, t->shape, sizeof out->shape);
    out->n_weights = qw_tensor_elements(t);
    out->n_bytes = t->n_bytes;
}

/* Widths of codes that no layer has measured: by what config.json states. */
static bool measure_unbound(qw_matrix *m, const qw_logical *t, const qw_quant_config *quant)
{
    const qw_quant_setting said = qw_quant_config_find(quant, t->tensor);
    const qw_group_parts parts = { t->tensor, t->scales, t->biases };
    if (!said.stated || !said.group || t->tensor->n_dims != 2 || t->scales->n_dims != 2)
        return false;
    const size_t cols = t->scales->shape[1] * (size_t)said.group;
    return cols / (size_t)said.group == t->scales->shape[1] && cols > 0 &&
           qw_group_matrix(m, &parts, t->tensor->shape[0], cols, &said, NULL) == QWREN_OK;
}

static void take_codes(qw_logical *out, const qw_matrix *m)
{
    out->type = m->type;
    out->group = m->group;
    out->n_dims = 2;
    out->shape[0] = m->rows;
    out->shape[1] = m->cols;
    out->n_weights = m->rows * m->cols;
    out->n_bytes = qw_matrix_bytes(m);
}

static void describe(qw_logical *out, const qw_weights *w, const qw_matrix *made, const qw_quant_config *quant)
{
    qw_matrix m;
    out->part = qw_part_of(out->tensor->name);
    take_as_filed(out, out->tensor);
    out->matrix = made && made->rows ? made : NULL;
    if (out->tensor->type == QW_TYPE_U32) {
        out->scales = find_beside(w, out->tensor, ".scales");
        out->biases = out->scales ? find_beside(w, out->tensor, ".biases") : NULL;
    }
    if (out->scales && out->matrix)
        take_codes(out, out->matrix);
    else if (out->scales && measure_unbound(&m, out, quant))
        take_codes(out, &m);
    else if (out->scales)
        out->n_bytes += out->scales->n_bytes + (out->biases ? out->biases->n_bytes : 0);
    out->bits = out->n_weights ? 8.0 * (double)out->n_bytes / (double)out->n_weights : 0;
}

bool qw_logical_next(qw_logical *t, const qw_weights *w, const qw_matrix *bound, const qw_quant_config *quant)
{
    size_t i = t->next;
    while (i < qw_weights_count(w) && belongs_to_codes(w, qw_weights_at(w, i)))
        i++;
    if (i == qw_weights_count(w))
        return false;
    *t = (qw_logical){ .tensor = qw_weights_at(w, i), .next = i + 1 };
    describe(t, w, bound ? &bound[i] : NULL, quant);
    return true;
}
