/* Codes with error feedback (GPTQ): the columns of a row are coded one after the other, and what a column misses is made up for, as well as
 * the inputs allow, by the columns of its block that are still free. A group's grid is chosen when its turn comes, on the weights as they
 * then are, each column weighted by what later columns cannot make up for.
 *
 * Columns are taken in the order of the file. Beginning with the strongest inputs would need groups of columns that do not lie together,
 * which the format cannot say. Rows are coded LANES at a time, side by side in vectors. Cost: block / 2 products per weight, beside the
 * search, and block more with pairs.
 * Tested by tests/unit/test_encode.c. */
#include "convert/encode_parts.h"

#include "base/alloc.h"

#include <string.h>

#define LANES 8 /* rows coded side by side */
#define TILE 4  /* columns */

typedef struct lanes {
    float row[LANES];
} lanes;

/* One block of columns of LANES rows. */
typedef struct work {
    const qw_matrix *out;
    const qw_moments *m;
    size_t first, width; /* columns */
    const float *t;      /* [width, width] */
    const float *shift;  /* [width, width], or NULL */
    lanes *w;            /* [width] the weights as they are now */
    lanes *source;       /* [width] as they were given */
    lanes error[QW_GROUP_MAX];
    uint8_t codes[LANES][QW_GROUP_MAX];
    qw_grid grid[LANES];
} work;

static void load_rows(work *k, const float *w, size_t n_rows)
{
    memset(k->source, 0, k->width * sizeof *k->source);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < k->width; c++)
            k->source[c].row[r] = w[r * k->out->cols + k->first + c];
    memcpy(k->w, k->source, k->width * sizeof *k->w);
}

static void choose_grids(work *k, size_t at, size_t group)
{
    float w[QW_GROUP_MAX];
    for (size_t r = 0; r < LANES; r++) {
        for (size_t c = 0; c < group; c++)
            w[c] = k->w[at + c].row[r];
        k->grid[r] = qw_search_grid(w, k->m->remaining + k->first + at, group, qw_type_bits(k->out->type), k->out->scale_type);
    }
}

/* w[c] -= error * t for the columns c of [begin, end); t is the row of T of the column that erred */
static void pass_on(lanes *restrict w, const lanes *restrict error, const float *restrict t, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++)
        for (size_t r = 0; r < LANES; r++)
            w[c].row[r] -= error->row[r] * t[c];
}

/* The same for all columns of a group that erred, at once: w[c] -= sum of error[j] * t[j][c], for TILE columns c whose sums stay in the
 * registers. */
static void pass_on_tile(lanes *restrict w, const lanes *restrict error, size_t group, const float *restrict t, size_t width)
{
    float s[TILE][LANES] = { { 0 } };
    for (size_t j = 0; j < group; j++, t += width)
        for (size_t c = 0; c < TILE; c++)
            for (size_t r = 0; r < LANES; r++)
                s[c][r] += error[j].row[r] * t[c];
    for (size_t c = 0; c < TILE; c++)
        for (size_t r = 0; r < LANES; r++)
            w[c].row[r] -= s[c][r];
}

/* What the layers before did wrong is made up for (moments.c). Where that overflows, the weights stay as they are. */
static void shift_rows(work *k)
{
    for (size_t c = 0; c < k->width; c += TILE)
        pass_on_tile(k->w + c, k->source, k->width, k->shift + c, k->width);
    for (size_t c = 0; c < k->width; c++)
        for (size_t r = 0; r < LANES; r++)
            if (!isfinite(k->w[c].row[r]))
                k->w[c].row[r] = k->source[c].row[r];
}

static void code_group(work *k, size_t at, size_t group)
{
    const float top = (float)((1 << qw_type_bits(k->out->type)) - 1);
    float inverse[LANES];
    for (size_t r = 0; r < LANES; r++)
        inverse[r] = qw_inverse_scale(k->grid[r].scale);
    for (size_t j = 0; j < group; j++) {
        const lanes *w = &k->w[at + j];
        for (size_t r = 0; r < LANES; r++) {
            const float q = qw_nearest_code(w->row[r], inverse[r], k->grid[r].bias, top);
            k->error[j].row[r] = w->row[r] - (k->grid[r].scale * q + k->grid[r].bias);
            k->codes[r][j] = (uint8_t)q;
        }
        pass_on(k->w, &k->error[j], k->t + (at + j) * k->width, at + j + 1, at + group);
    }
}

static qwren_status code_block(work *k, size_t row, size_t n_rows, qwren_error *err)
{
    const size_t group = (size_t)k->out->group;
    for (size_t at = 0; at < k->width; at += group) {
        choose_grids(k, at, group);
        code_group(k, at, group);
        for (size_t r = 0; r < n_rows; r++)
            QW_TRY(qw_store_group(k->out, row + r, (k->first + at) / group, k->grid[r], k->codes[r], err));
        for (size_t c = at + group; c < k->width; c += TILE)
            pass_on_tile(k->w + c, k->error, group, k->t + at * k->width + c, k->width);
    }
    return QWREN_OK;
}

static qwren_status code_rows(work *k, size_t row, size_t n_rows, const float *w, qwren_error *err)
{
    const qw_moments *m = k->m;
    for (k->first = 0; k->first < m->cols; k->first += m->block) {
        k->width = qw_moments_width(m, k->first);
        k->t = m->feedback + k->first * m->block;
        k->shift = m->shift ? m->shift + k->first * m->block : NULL;
        load_rows(k, w, n_rows);
        if (k->shift)
            shift_rows(k);
        QW_TRY(code_block(k, row, n_rows, err));
    }
    return QWREN_OK;
}

qwren_status qw_feedback_rows(const qw_matrix *out, size_t first, size_t n, const float *w, const qw_moments *m, qwren_error *err)
{
    if (!m || !m->feedback)
        return qw_fail(err, QWREN_E_ARGUMENT, "error feedback needs the second moments of the inputs in blocks");
    work k = { .out = out, .m = m };
    k.w = qw_alloc_array(2 * m->block, sizeof *k.w);
    if (!k.w)
        return qw_fail_memory(err, 2 * m->block * sizeof *k.w, "rows to be coded");
    k.source = k.w + m->block;
    qwren_status st = QWREN_OK;
    for (size_t i = 0; i < n && st == QWREN_OK; i += LANES)
        st = code_rows(&k, first + i, n - i < LANES ? n - i : LANES, w + i * out->cols, err);
    qw_free(k.w);
    return st;
}
