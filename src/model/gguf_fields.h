/* Checked reading of the settings of a GGUF file. Every refusal names file, key, value and what is supported. Private to config_gguf*.c. */
#ifndef QW_MODEL_GGUF_FIELDS_H
#define QW_MODEL_GGUF_FIELDS_H

#include "base/status.h"
#include "weights/gguf.h"

typedef struct qw_gguf_fields {
    const qw_gguf *file;
    const char *prefix; /* of the keys: "qwen35." */
    qwren_error *err;
} qw_gguf_fields;

const qw_gguf_value *qw_gguf_field(const qw_gguf_fields *f, const char *key);

/* "PATH: PREFIX.KEY is VALUE; SUPPORTED" */
qwren_status qw_gguf_field_fail(const qw_gguf_fields *f, qwren_status code, const char *key, const char *fmt, ...) QW_PRINTF(4, 5);

/* Whole numbers from min to max, and numbers with min <= x <= max. The first of a pair refuses a missing key, the other leaves *out as it
 * is. */
qwren_status qw_gguf_field_int(const qw_gguf_fields *f, const char *key, int min, int max, int *out);
qwren_status qw_gguf_field_int_maybe(const qw_gguf_fields *f, const char *key, int min, int max, int *out);
qwren_status qw_gguf_field_number(const qw_gguf_fields *f, const char *key, double min, double max, double *out);
qwren_status qw_gguf_field_number_maybe(const qw_gguf_fields *f, const char *key, double min, double max, double *out);

/* What the engine computes in one way only: any other value is QWREN_E_UNSUPPORTED. A missing key is fine. */
qwren_status qw_gguf_field_must_be_int(const qw_gguf_fields *f, const char *key, int64_t only);
qwren_status qw_gguf_field_must_be_bool(const qw_gguf_fields *f, const char *key, bool only);

/* A table of required whole numbers, and where they go. */
typedef struct qw_gguf_int_rule {
    const char *key;
    size_t offset; /* of an int in the struct that is filled */
    int min, max;
} qw_gguf_int_rule;
qwren_status qw_gguf_field_ints(const qw_gguf_fields *f, const qw_gguf_int_rule *rules, size_t n, void *out);

#endif
