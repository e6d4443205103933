/* Reading recipe.json (records.h): checked once when it is read, so that a question cannot fail. Tested by tests/unit/test_records.c. */
#include "convert/records.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)16 << 20)
#define DIGITS 16 /* of a checksum */

struct qw_records {
    qw_json *root;
    const qw_json *tensors; /* object: our name -> record */
};

/* ---- one record */

static bool read_checksum(const qw_json *v, uint64_t *out)
{
    size_t len;
    const char *text = qw_json_string(v, &len);
    if (!text || len != DIGITS || strspn(text, "0123456789abcdef") != DIGITS)
        return false;
    *out = strtoull(text, NULL, 16);
    return true;
}

static void read_record(qw_record *out, const qw_json *v)
{
    *out = (qw_record){ .class = qw_json_string(qw_json_get(v, "class"), NULL),
                        .bits = (int)qw_json_int(qw_json_get(v, "bits"), 0),
                        .group = (int)qw_json_int(qw_json_get(v, "group"), 0),
                        .rms = qw_json_number(qw_json_get(v, "rms"), (double)NAN),
                        .error = qw_json_number(qw_json_get(v, "error"), (double)NAN) };
    out->has_checksum = read_checksum(qw_json_get(v, "xxh64"), &out->checksum);
}

/* ---- the file */

static qwren_status fail(const char *path, const char *name, const char *what, qwren_error *err)
{
    return qw_fail(err, QWREN_E_FORMAT, "%s: %s%s%s", path, name, *name ? ": " : "", what);
}

static bool is_whole(const qw_json *v, int64_t most)
{
    return !v || (qw_json_is(v, QW_JSON_INT) && qw_json_int(v, -1) >= 0 && qw_json_int(v, -1) <= most);
}

/* A number that is not there is not told; one that is there counts. */
static bool is_measure(const qw_json *v)
{
    const double x = qw_json_number(v, 0);
    return !v || ((qw_json_is(v, QW_JSON_INT) || qw_json_is(v, QW_JSON_REAL)) && isfinite(x) && x >= 0);
}

static qwren_status check_record(const char *path, const char *name, const qw_json *v, qwren_error *err)
{
    const qw_json *sum = qw_json_get(v, "xxh64");
    uint64_t ignored;
    if (!qw_json_is(v, QW_JSON_OBJECT))
        return fail(path, name, "is no object", err);
    if (!is_whole(qw_json_get(v, "bits"), 64) || !is_whole(qw_json_get(v, "group"), 1 << 20))
        return fail(path, name, "bits and group are small whole numbers", err);
    if (!is_measure(qw_json_get(v, "rms")) || !is_measure(qw_json_get(v, "error")))
        return fail(path, name, "rms and error are numbers that are not negative", err);
    if (sum && !read_checksum(sum, &ignored))
        return fail(path, name, "xxh64 is 16 digits, 0 to 9 and a to f", err);
    return QWREN_OK;
}

static qwren_status check(qw_records *r, const char *path, qwren_error *err)
{
    r->tensors = qw_json_get(r->root, "tensors");
    if (!qw_json_is(r->tensors, QW_JSON_OBJECT))
        return fail(path, "", "holds no object \"tensors\"", err);
    for (qw_json_iter it = qw_json_first(r->tensors); it.key; qw_json_next(r->tensors, &it))
        QW_TRY(check_record(path, it.key, it.value, err));
    return QWREN_OK;
}

static qwren_status read_file(qw_records **out, const char *path, qwren_error *err)
{
    qw_records *r = qw_calloc(1, sizeof *r);
    if (!r)
        return qw_fail_memory(err, sizeof *r, "the records of quantize");
    qwren_status st = qw_json_read_file(&r->root, path, MAX_FILE_BYTES, err);
    if (st == QWREN_OK)
        st = check(r, path, err);
    if (st == QWREN_OK)
        *out = r;
    else
        qw_records_free(r);
    return st;
}

qwren_status qw_records_read(qw_records **out, const char *folder, qwren_error *err)
{
    char *path = qw_path_join(folder, QW_RECORDS_FILE);
    *out = NULL;
    if (!path)
        return qw_fail_memory(err, strlen(folder), "a path");
    qwren_status st = qw_file_exists(path) ? read_file(out, path, err) : QWREN_OK;
    qw_free(path);
    return st;
}

void qw_records_free(qw_records *r)
{
    if (!r)
        return;
    qw_json_free(r->root);
    qw_free(r);
}

/* ---- questions */

const char *qw_records_recipe(const qw_records *r) { return r ? qw_json_string(qw_json_get(r->root, "recipe"), NULL) : NULL; }

bool qw_records_find(const qw_records *r, const char *our_name, qw_record *out)
{
    const qw_json *v = r ? qw_json_get(r->tensors, our_name) : NULL;
    if (v)
        read_record(out, v);
    return v != NULL;
}

const char *qw_records_name(const qw_records *r, size_t i)
{
    size_t n = 0;
    if (r)
        for (qw_json_iter it = qw_json_first(r->tensors); it.key; qw_json_next(r->tensors, &it))
            if (n++ == i)
                return it.key;
    return NULL;
}
