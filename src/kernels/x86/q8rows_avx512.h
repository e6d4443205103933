/* Panels of 16 rows in a matrix: where they stand, and how they are asked for before they are read. */
#ifndef QW_KERNELS_Q8ROWS_AVX512_H
#define QW_KERNELS_Q8ROWS_AVX512_H

#include "kernels/x86/q8unpack_avx512.h"

/* Of a whole matrix, computed once. */
typedef struct q8_layout {
    const qw_matrix *w;
    size_t row_bytes, scale_bytes; /* of a row: its codes, its scales */
} q8_layout;

INLINE q8_layout q8_layout_of(const qw_matrix *w)
{
    return (q8_layout){ w, qw_matrix_row_bytes(w), w->scales ? w->cols / (size_t)w->group * qw_type_block_bytes(w->scale_type) : 0 };
}

/* A panel of up to n rows: 16, or one. */
INLINE q8_rows q8_rows_of(const q8_layout *l, size_t first, size_t n)
{
    const qw_matrix *w = l->w;
    q8_rows rows = { .w = w, .n = 1, .at = (const uint8_t *)w->data + first * l->row_bytes };
    if (w->scales) {
        rows.scales = (const char *)w->scales + first * l->scale_bytes;
        rows.biases = (const char *)w->biases + first * l->scale_bytes;
    }
    if (n >= ROWS) {
        rows.n = ROWS;
        rows.stride = l->row_bytes;
        rows.scale_stride = l->scale_bytes;
    }
    return rows;
}

/* ---- ahead of the loads: the rows of the next panel stand behind this one's without a gap, so its bytes are asked for in their order,
 * evenly: a burst would stand in the way of the loads. The processor drops some of what it is asked for, so every line is asked for twice,
 * a panel and two before it is read: a quarter faster than once, for any distance. */

typedef struct q8_ahead {
    const char *codes, *scales, *biases;            /* of the next panel */
    size_t panel_bytes, panel_scales, group_scales; /* bytes of 16 rows: codes and scales; the scales of one group */
} q8_ahead;

INLINE q8_ahead q8_ahead_of(const q8_layout *l, size_t row)
{
    const qw_matrix *w = l->w;
    if (row + ROWS > w->rows)
        row = w->rows - (w->rows < ROWS ? w->rows : ROWS);
    q8_ahead p = { .codes = (const char *)w->data + row * l->row_bytes, .panel_bytes = ROWS * l->row_bytes };
    if (w->scales) {
        p.scales = (const char *)w->scales + row * l->scale_bytes;
        p.biases = (const char *)w->biases + row * l->scale_bytes;
        p.panel_scales = ROWS * l->scale_bytes;
        p.group_scales = p.panel_scales / (w->cols / QW_Q8_GROUP);
    }
    return p;
}

INLINE void fetch_twice(const char *p, size_t further)
{
    _mm_prefetch(p, _MM_HINT_T1);
    _mm_prefetch(p + further, _MM_HINT_T1);
}

INLINE size_t q8_code_step(qw_type t) { return 4 * q8_offset(t, 4); } /* bytes of codes of a group of 16 rows */

/* Part i of 8 of group g. far_alone: codes of the panel after the next one alone; those of the next are asked for by who multiplies this
 * one. */
INLINE void q8_fetch(const q8_ahead *p, qw_type t, size_t g, size_t i, const bool far_alone)
{
    UNROLL
    for (size_t byte = 64 * i; byte < q8_code_step(t); byte += 512) {
        const char *code = p->codes + g * q8_code_step(t) + byte;
        if (far_alone)
            _mm_prefetch(code + p->panel_bytes, _MM_HINT_T1);
        else
            fetch_twice(code, p->panel_bytes);
    }
    if (q8_affine_bits(t) && i % 4 == 1)
        fetch_twice((i < 4 ? p->scales : p->biases) + g * p->group_scales, p->panel_scales);
}

#endif
