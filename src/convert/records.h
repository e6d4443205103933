/* What `qwren quantize` writes down about the folder it makes: FOLDER/qwren/recipe.json. inspect and doctor read it; other programs'
 * folders have none. */
#ifndef QW_CONVERT_RECORDS_H
#define QW_CONVERT_RECORDS_H

#include "base/status.h"

#define QW_RECORDS_FOLDER "qwren"
#define QW_RECORDS_FILE QW_RECORDS_FOLDER "/recipe.json"
#define QW_CHECK_FILE QW_RECORDS_FOLDER "/check.safetensors" /* doctor's reference vectors */

typedef struct qw_records qw_records;

/* What is known about one tensor. */
typedef struct qw_record {
    const char *class; /* "attention.q"; NULL: not told */
    int bits, group;   /* bits 0: it stayed as it was */
    double rms;        /* of the source; NaN: not told */
    double error;      /* root of the mean square of what the codes changed, as a part of rms; NaN: not told */
    bool has_checksum;
    uint64_t checksum; /* XXH64 of its codes, scales, biases, one after the other */
} qw_record;

/* *out is NULL when the folder has no records, which is no failure. Free with qw_records_free(). */
qwren_status qw_records_read(qw_records **out, const char *folder, qwren_error *err);
void qw_records_free(qw_records *r); /* NULL is allowed */

/* r may be NULL. Texts belong to r. */
const char *qw_records_recipe(const qw_records *r);                              /* "6bit"; NULL: none, or not told */
bool qw_records_find(const qw_records *r, const char *our_name, qw_record *out); /* by our name (weights/names.h) */
/* In the order of the file: for (size_t i = 0; (name = qw_records_name(r, i)); i++) ... */
const char *qw_records_name(const qw_records *r, size_t i);

#endif
