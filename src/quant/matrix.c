/* The meaning of a weight matrix: which format's decoder reads it. Tested by tests/unit/test_quant.c and
 * tests/golden/test_formats.c. */
#include "quant/matrix.h"

#include "quant/formats.h"
#include "quant/half.h"

#include <assert.h>

size_t qw_matrix_bytes(const qw_matrix *w)
{
    size_t bytes = w->rows * qw_matrix_row_bytes(w);
    if (qw_type_kind(w->type) == QW_KIND_GROUP)
        bytes += w->rows * (w->cols / (size_t)w->group) * qw_type_block_bytes(w->scale_type) * (w->biases ? 2 : 1);
    return bytes;
}

qw_matrix qw_matrix_rows(const qw_matrix *w, size_t first, size_t n)
{
    qw_matrix m = *w;
    m.rows = n;
    m.data = (const char *)w->data + first * qw_matrix_row_bytes(w);
    if (qw_type_kind(w->type) == QW_KIND_GROUP) {
        const size_t bytes = first * (w->cols / (size_t)w->group) * qw_type_block_bytes(w->scale_type);
        m.scales = (const char *)w->scales + bytes;
        m.biases = w->biases ? (const char *)w->biases + bytes : NULL;
    }
    return m;
}

void qw_matrix_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const char *at = (const char *)w->data + row * qw_matrix_row_bytes(w) + col / qw_type_block(w->type) * qw_type_block_bytes(w->type);
    switch (qw_type_kind(w->type)) {
    case QW_KIND_FLOAT: qw_widen(w->type, at, n, out); break;
    case QW_KIND_BLOCK: qw_blocks_decode(w->type, at, n, out); break;
    case QW_KIND_GROUP:
        if (qw_type_is_affine(w->type))
            qw_affine_decode(w, row, col, n, out);
        else
            qw_microfloat_decode(w, row, col, n, out);
        break;
    default: assert(!"a matrix of a type that is no weight"); /* binding lets none through */
    }
}
