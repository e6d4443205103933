/* JSON values. Key order is kept (a key that comes again keeps its first place and takes its last value), integers are exact to 64 bits;
 * larger ones keep their digits: kind QW_JSON_INT, qw_json_int() answers the fallback, qw_json_number() the nearest double, qw_json_dump()
 * the digits. Strings may hold NUL and are valid UTF-8. Values are immutable; children are borrowed from their root. Any number of threads
 * may read one root. */
#ifndef QW_BASE_JSON_H
#define QW_BASE_JSON_H

#include "base/buf.h"

typedef struct qw_json qw_json; /* defined in json_value.h, for json*.c alone */

/* `where` names the source in errors ("config.json: line 3 ..."). Free the root with qw_json_free(). Nesting deeper than 512 is an
 * error. */
qwren_status qw_json_parse(qw_json **out, const char *text, size_t len, const char *where, qwren_error *err);
qwren_status qw_json_read_file(qw_json **out, const char *path, size_t max_bytes, qwren_error *err);
void qw_json_free(qw_json *root);

typedef enum qw_json_kind {
    QW_JSON_NULL,
    QW_JSON_BOOL,
    QW_JSON_INT,
    QW_JSON_REAL,
    QW_JSON_STRING,
    QW_JSON_ARRAY,
    QW_JSON_OBJECT
} qw_json_kind;
/* All getters accept v == NULL (missing) and answer as for the wrong kind. A missing value has kind QW_JSON_NULL. */
qw_json_kind qw_json_kind_of(const qw_json *v);
bool qw_json_is(const qw_json *v, qw_json_kind kind);               /* false for NULL pointers, also for QW_JSON_NULL */
const qw_json *qw_json_get(const qw_json *object, const char *key); /* NULL when absent or not an object */
const qw_json *qw_json_at(const qw_json *array, size_t i);          /* NULL when absent or not an array */
size_t qw_json_size(const qw_json *v);                              /* elements of an array, members of an object, else 0 */
const char *qw_json_string(const qw_json *v, size_t *len);          /* NULL when not a string; len may be NULL */
bool qw_json_bool(const qw_json *v, bool fallback);
int64_t qw_json_int(const qw_json *v, int64_t fallback);  /* integers only */
double qw_json_number(const qw_json *v, double fallback); /* integers and reals */

/* Members in order: for (qw_json_iter it = qw_json_first(o); it.key; qw_json_next(o, &it)) ... */
typedef struct qw_json_iter {
    const char *key;
    size_t key_len;
    const qw_json *value;
    size_t position;
} qw_json_iter;
qw_json_iter qw_json_first(const qw_json *object);
void qw_json_next(const qw_json *object, qw_json_iter *it);

/* Appends v as Python's json.dumps(v, ensure_ascii=False) prints it: ", " and ": ", key order, floats as repr(). This is what the
 * chat template needs, and what qwren prints everywhere. */
void qw_json_dump(qw_buf *out, const qw_json *v);
/* Appends a string with quotes and escapes in the same style. s must be valid UTF-8. */
void qw_json_dump_string(qw_buf *out, const char *s, size_t len);
/* Appends a double as Python's repr() (shortest digits that round-trip; 1.0, 1e-07, 1e+16, nan, inf). */
void qw_json_dump_double(qw_buf *out, double x);
/* The same where JSON is printed for other programs, which know no nan: null for what is no number. */
void qw_json_dump_number(qw_buf *out, double x);

#endif
