/* Doctor's look at the values: every tensor is decoded once, and compared with what quantize wrote down about it. Tested by
 * tests/unit/test_doctor.c and tests/cli/doctor.sh. */
#include "api/doctor.h"
#include "base/hash.h"
#include "quant/stats.h"

#include <math.h>
#include <string.h>

typedef struct tally {
    uint64_t n_seen, n_unread, n_compared, done_bytes;
} tally;

/* ---- a tensor as a matrix */

static bool is_codes(const qw_logical *t) { return qw_type_kind(t->type) == QW_KIND_GROUP; }

/* Codes that no layer reads, by the widths that config.json states. */
static qw_matrix codes_matrix(const qw_logical *t)
{
    return (qw_matrix){ .type = t->type,
                        .rows = t->shape[0],
                        .cols = t->shape[1],
                        .data = t->tensor->data,
                        .scales = t->scales->data,
                        .biases = t->biases ? t->biases->data : NULL,
                        .scale_type = t->scales->type,
                        .group = t->group };
}

/* Floats and blocks: the last dimension is a row. False for what holds no weights. */
static bool plain_matrix(qw_matrix *out, const qw_logical *t)
{
    const size_t cols = t->n_dims ? t->shape[t->n_dims - 1] : 1;
    if (!qw_type_is_weight(t->type) || !cols || cols % qw_type_block(t->type) != 0)
        return false;
    *out = (qw_matrix){ .type = t->type, .rows = t->n_weights / cols, .cols = cols, .data = t->tensor->data };
    return true;
}

static bool as_matrix(qw_matrix *out, const qw_logical *t)
{
    if (is_codes(t)) {
        *out = t->matrix ? *t->matrix : codes_matrix(t);
        return true;
    }
    return plain_matrix(out, t);
}

/* ---- values by themselves */

static qwren_status check_values(qw_doctor *d, const qw_logical *t, const qw_stats *s, qwren_error *err)
{
    const qw_tensor *w = t->tensor;
    if (s->n_nan || s->n_inf)
        return qw_doctor_find(
            d, QW_CHECK_VALUES, w->name, err,
            "%s: tensor %s holds %zu values that are not a number and %zu that are infinite; the first stands in row %zu, column %zu",
            w->file, w->file_name, s->n_nan, s->n_inf, s->bad_row, s->bad_col);
    if (s->n && s->largest == 0 && t->n_dims >= 2)
        return qw_doctor_find(d, QW_CHECK_VALUES, w->name, err, "%s: tensor %s holds nothing but zeros", w->file, w->file_name);
    return QWREN_OK;
}

/* ---- against the records */

static uint64_t checksum(const qw_logical *t)
{
    const qw_tensor *const parts[] = { t->tensor, t->scales, t->biases };
    qw_hash h;
    qw_hash_init(&h);
    for (size_t i = 0; i < 3; i++)
        if (parts[i])
            qw_hash_add(&h, parts[i]->data, parts[i]->n_bytes);
    return qw_hash_value(&h);
}

static qwren_status check_checksum(qw_doctor *d, const qw_logical *t, const qw_record *r, qwren_error *err)
{
    const uint64_t is = checksum(t);
    if (!r->has_checksum || is == r->checksum)
        return QWREN_OK;
    return qw_doctor_find(d, QW_CHECK_RECORDS, t->tensor->name, err,
                          "%s: tensor %s is not as qwren quantize wrote it: its checksum is %016llx, %s says %016llx", t->tensor->file,
                          t->tensor->file_name, (unsigned long long)is, QW_RECORDS_FILE, (unsigned long long)r->checksum);
}

static qwren_status check_width(qw_doctor *d, const qw_logical *t, const qw_record *r, qwren_error *err)
{
    if (r->bits == qw_type_bits(t->type) && (!r->group || r->group == t->group))
        return QWREN_OK;
    return qw_doctor_find(d, QW_CHECK_RECORDS, t->tensor->name, err,
                          "%s: tensor %s has %d bits in groups of %d, %s says %d in groups of %d (0: no codes)", t->tensor->file,
                          t->tensor->file_name, qw_type_bits(t->type), t->group, QW_RECORDS_FILE, r->bits, r->group);
}

/* | |q| - |w| | <= |q - w|: codes cannot be farther from the source in size than in value. Rounding of the record's digits is allowed
 * for. */
static qwren_status check_size(qw_doctor *d, const qw_logical *t, const qw_record *r, const qw_stats *s, qwren_error *err)
{
    const double is = qw_stats_rms(s), most = r->error * r->rms * 1.0001 + 1e-6 * r->rms;
    if (!r->bits || isnan(r->rms) || isnan(r->error) || s->n_nan || s->n_inf || fabs(is - r->rms) <= most)
        return QWREN_OK;
    return qw_doctor_find(
        d, QW_CHECK_RECORDS, t->tensor->name, err,
        "%s: the values of tensor %s have the root mean square %.6g; the source had %.6g, and its codes an error of %.3g of that",
        t->tensor->file, t->tensor->file_name, is, r->rms, r->error);
}

static qwren_status check_record(qw_doctor *d, const qw_logical *t, const qw_stats *s, tally *n, qwren_error *err)
{
    qw_record r;
    if (!qw_records_find(d->records, t->tensor->name, &r))
        return QWREN_OK;
    n->n_compared++;
    QW_TRY(check_width(d, t, &r, err));
    QW_TRY(check_checksum(d, t, &r, err));
    return check_size(d, t, &r, s, err);
}

static qwren_status check_missing(qw_doctor *d, qwren_error *err)
{
    const char *name;
    for (size_t i = 0; (name = qw_records_name(d->records, i)); i++)
        if (!qw_weights_find(d->model.weights, name))
            QW_TRY(
                qw_doctor_find(d, QW_CHECK_RECORDS, name, err, "%s knows a tensor %s, which the files do not have", QW_RECORDS_FILE, name));
    return QWREN_OK;
}

/* ---- all tensors */

static qwren_status check_tensor(qw_doctor *d, const qw_logical *t, tally *n, qwren_error *err)
{
    qw_matrix m;
    qw_stats s = { 0 };
    if (as_matrix(&m, t)) {
        s = qw_matrix_stats(&m, d->pool);
        n->n_seen++;
        QW_TRY(check_values(d, t, &s, err));
    } else {
        n->n_unread++;
    }
    QW_TRY(check_record(d, t, &s, n, err));
    n->done_bytes += t->n_bytes;
    return qw_doctor_progress(d, "values", n->done_bytes, d->weights_bytes, err);
}

static qwren_status tell_records(qw_doctor *d, const tally *n, qwren_error *err)
{
    if (d->records)
        return qw_doctor_tell(d, QW_CHECK_RECORDS, true, err, "%llu tensors against the checksums of %s", (unsigned long long)n->n_compared,
                              QW_RECORDS_FILE);
    return qw_doctor_tell(d, QW_CHECK_RECORDS, false, err,
                          "there are none: only models that qwren quantize made can be compared with what was written");
}

qwren_status qw_doctor_values(qw_doctor *d, qwren_error *err)
{
    tally n = { 0 };
    for (qw_logical t = { 0 }; qw_logical_next(&t, d->model.weights, d->model.bound, &d->model.quant);)
        QW_TRY(check_tensor(d, &t, &n, err));
    QW_TRY(check_missing(d, err));
    QW_TRY(tell_records(d, &n, err));
    if (n.n_unread)
        return qw_doctor_tell(d, QW_CHECK_VALUES, true, err, "all values of %llu tensors; %llu others hold no weights that can be read",
                              (unsigned long long)n.n_seen, (unsigned long long)n.n_unread);
    return qw_doctor_tell(d, QW_CHECK_VALUES, true, err, "all values of %llu tensors", (unsigned long long)n.n_seen);
}
