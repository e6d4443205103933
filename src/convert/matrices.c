/* One tensor of the source -> codes in the folder, block by block, so that a large one is never in memory as floats; and back. Tested by
 * tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/file.h"
#include "convert/codes.h"
#include "convert/run.h"

#include <math.h>
#include <string.h>

#define BLOCK_WEIGHTS ((size_t)4 << 20) /* between two looks at the progress function */

/* ---- progress */

qwren_status qw_run_cancelled(qwren_error *err) { return qw_fail(err, QWREN_E_CANCELLED, "cancelled; the same command goes on from here"); }

qwren_status qw_run_report(const qw_run *r, const char *what, uint64_t done, uint64_t total, qwren_error *err)
{
    const qw_quantize_job *j = r->job;
    return !j->progress || j->progress(j->progress_ctx, what, done, total) ? QWREN_OK : qw_run_cancelled(err);
}

bool qw_run_keep_on(void *ctx)
{
    const qw_run *r = ctx;
    return qw_run_report(r, r->phase, r->done, r->total, NULL) == QWREN_OK;
}

qwren_status qw_run_at_layer(qwren_status st, int layer, qwren_error *err)
{
    char text[sizeof err->text];
    if (st != QWREN_E_FORMAT || !err)
        return st;
    memcpy(text, err->text, sizeof text);
    return qw_fail(err, st, "layer %d: %s", layer, text);
}

static qwren_status advance(qw_run *r, uint64_t weights, qwren_error *err)
{
    r->done += weights;
    return qw_run_report(r, r->phase, r->done, r->total, err);
}

/* ---- entries as matrices */

qw_matrix qw_run_source(const qw_run *r, size_t i)
{
    const qw_plan_entry *e = &r->plan.entries[i];
    return (qw_matrix){ .type = e->source->type, .rows = e->rows, .cols = e->cols, .data = e->source->data };
}

qw_matrix qw_run_shape(const qw_run *r, size_t i, qw_choice c)
{
    const qw_plan_entry *e = &r->plan.entries[i];
    return (qw_matrix){ .type = qw_type_affine(c.bits),
                        .rows = e->rows,
                        .cols = e->cols,
                        .scale_type = qw_folder_type_of(r->folder, e->source),
                        .group = c.group };
}

static size_t block_rows(const qw_matrix *m)
{
    const size_t rows = BLOCK_WEIGHTS / m->cols;
    return rows < 1 ? 1 : rows < m->rows ? rows : m->rows;
}

qw_encode_method qw_run_method(qw_encode_method wanted, const qw_moments *moments)
{
    return wanted == QW_ENCODE_FEEDBACK && !moments ? QW_ENCODE_SEARCH : wanted;
}

/* ---- making */

/* What is known of a tensor while its blocks are made. */
typedef struct making {
    qw_run *run;
    size_t i;
    qw_matrix source, shape, block; /* all rows; the same as codes; codes of a block */
    const qw_moments *moments;
    qw_matrix *keep;
    qw_code_sums *sums; /* [block rows] */
    double squares, errors;
} making;

static qwren_status make_block(making *m, size_t first, size_t n, qwren_error *err)
{
    qw_run *r = m->run;
    const qw_plan_entry *e = &r->plan.entries[m->i];
    const qw_matrix source = qw_matrix_rows(&m->source, first, n);
    const qw_matrix out = m->keep ? qw_matrix_rows(m->keep, first, n) : qw_matrix_rows(&m->block, 0, n);
    QW_TRY(qw_codes_make(r->pool, &out, &source, qw_run_method(e->choice.method, m->moments), m->moments, m->sums, e->source->file_name,
                         first, err));
    for (size_t k = 0; k < n; k++) {
        m->squares += m->sums[k].squares;
        m->errors += m->sums[k].errors;
    }
    qw_map_release(source.data, n * qw_matrix_row_bytes(&source));
    QW_TRY(qw_folder_put_rows(r->folder, m->i, first, &out, err));
    return advance(r, (uint64_t)n * m->source.cols, err);
}

static qwren_status make_blocks(making *m, size_t rows, qwren_error *err)
{
    const qw_plan_entry *e = &m->run->plan.entries[m->i];
    char record[QW_RECORD_BYTES];
    for (size_t first = 0; first < m->source.rows; first += rows)
        QW_TRY(make_block(m, first, m->source.rows - first < rows ? m->source.rows - first : rows, err));
    const double weights = (double)e->rows * (double)e->cols;
    qw_record_line(record, sizeof record, qw_run_method(e->choice.method, m->moments), sqrt(m->squares / weights),
                   m->squares > 0 ? sqrt(m->errors / m->squares) : 0);
    return qw_folder_done(m->run->folder, m->i, record, err);
}

static qwren_status make_matrix(qw_run *r, size_t i, const qw_moments *moments, qw_matrix *keep, qwren_error *err)
{
    making m = {
        .run = r, .i = i, .source = qw_run_source(r, i), .shape = qw_run_shape(r, i, r->plan.entries[i].choice), .moments = moments
    };
    const size_t rows = block_rows(&m.source);
    qwren_status st = QWREN_OK;
    m.block = m.shape;
    m.block.rows = rows;
    m.keep = keep;
    m.sums = qw_alloc_array(rows, sizeof *m.sums);
    if (!m.sums)
        return qw_fail_memory(err, rows * sizeof *m.sums, "making codes");
    if (!keep)
        st = qw_codes_alloc(&m.block, err);
    if (st == QWREN_OK)
        st = make_blocks(&m, rows, err);
    if (!keep)
        qw_codes_free(&m.block);
    qw_free(m.sums);
    return st;
}

qwren_status qw_run_load(qw_run *r, size_t i, size_t first, size_t n, qw_matrix *out, qwren_error *err)
{
    *out = qw_run_shape(r, i, r->plan.entries[i].choice);
    out->rows = n;
    QW_TRY(qw_codes_alloc(out, err));
    qwren_status st = qw_folder_get_rows(r->folder, i, first, out, err);
    if (st != QWREN_OK)
        qw_codes_free(out);
    return st;
}

static qwren_status make_and_keep(qw_run *r, size_t i, const qw_moments *moments, qw_matrix *keep, qwren_error *err)
{
    *keep = qw_run_shape(r, i, r->plan.entries[i].choice);
    QW_TRY(qw_codes_alloc(keep, err));
    qwren_status st = make_matrix(r, i, moments, keep, err);
    if (st != QWREN_OK)
        qw_codes_free(keep);
    return st;
}

qwren_status qw_run_matrix(qw_run *r, size_t i, const qw_moments *moments, qw_matrix *keep, qwren_error *err)
{
    const qw_plan_entry *e = &r->plan.entries[i];
    if (!qw_folder_is_done(r->folder, i))
        return keep ? make_and_keep(r, i, moments, keep, err) : make_matrix(r, i, moments, NULL, err);
    QW_TRY(advance(r, (uint64_t)e->rows * e->cols, err));
    return keep ? qw_run_load(r, i, 0, e->rows, keep, err) : QWREN_OK;
}

qwren_status qw_run_float(qw_run *r, size_t i, qwren_error *err)
{
    const qw_tensor *t = r->plan.entries[i].source;
    if (qw_folder_is_done(r->folder, i))
        return QWREN_OK;
    QW_TRY(qw_folder_put_float(r->folder, i, err));
    qw_map_release(t->data, t->n_bytes);
    return qw_folder_done(r->folder, i, "{}", err);
}
