/* Checked reading of one JSON object of a configuration file. Every refusal names file, key, value and what is supported. Private to
 * config*.c. */
#ifndef QW_MODEL_CONFIG_FIELDS_H
#define QW_MODEL_CONFIG_FIELDS_H

#include "base/json.h"

typedef struct qw_fields {
    const qw_json *object;
    const char *path;    /* of the file */
    const char *section; /* where the object stands: "" or "text_config." */
    qwren_error *err;
} qw_fields;

/* A key that is absent or null is missing. */
const qw_json *qw_field(const qw_fields *f, const char *key);
/* The object under `key`; its `object` is NULL when missing. `section` is what its keys are called by. */
qwren_status qw_field_object(const qw_fields *f, const char *key, const char *section, qw_fields *out);

/* "PATH: SECTION.KEY is VALUE; SUPPORTED", or "... is missing; SUPPORTED". */
qwren_status qw_field_fail(const qw_fields *f, qwren_status code, const char *key, const char *fmt, ...) QW_PRINTF(4, 5);

/* Whole numbers from min to max. The first refuses a missing key, the others leave *out as it is. */
qwren_status qw_field_int(const qw_fields *f, const char *key, int min, int max, int *out);
qwren_status qw_field_int_maybe(const qw_fields *f, const char *key, int min, int max, int *out);
qwren_status qw_field_int64_maybe(const qw_fields *f, const char *key, int64_t min, int64_t max, int64_t *out);
/* Numbers with min <= x <= max; never NaN. */
qwren_status qw_field_number(const qw_fields *f, const char *key, double min, double max, double *out);
qwren_status qw_field_number_maybe(const qw_fields *f, const char *key, double min, double max, double *out);
qwren_status qw_field_numbers_maybe(const qw_fields *f, const char *key, int n, double min, double max,
                                    double *out); /* a list of exactly n */
qwren_status qw_field_bool_maybe(const qw_fields *f, const char *key, bool *out);

/* What the engine computes in one way only: any other value is QWREN_E_UNSUPPORTED. A missing key is fine. */
qwren_status qw_field_must_be_bool(const qw_fields *f, const char *key, bool only);
qwren_status qw_field_must_be_text(const qw_fields *f, const char *key, const char *only, const char *or_only); /* or_only may be NULL */
qwren_status qw_field_must_be_int(const qw_fields *f, const char *key, int only);
qwren_status qw_field_must_be_empty(const qw_fields *f, const char *key); /* an empty list or object */

/* A table of required whole numbers, and where they go. */
typedef struct qw_int_rule {
    const char *key;
    size_t offset; /* of an int in the struct that is filled */
    int min, max;
} qw_int_rule;
qwren_status qw_field_ints(const qw_fields *f, const qw_int_rule *rules, size_t n, void *out);

#endif
