/* One GGUF file, the container of llama.cpp (versions 2 and 3, little-endian): settings by key, and tensors. Everything is checked against
 * the file when it is opened, and nothing is copied: texts and tensors point into the mapping. A model may be several files (gguf_files.h):
 * the settings stand in the first. */
#ifndef QW_WEIGHTS_GGUF_H
#define QW_WEIGHTS_GGUF_H

#include "base/file.h"
#include "quant/tensor.h"

#include <stdint.h>

typedef struct qw_gguf qw_gguf;

/* Maps a file and reads its header. On failure *out is NULL. */
qwren_status qw_gguf_open(qw_gguf **out, const char *path, qwren_error *err);
/* The same for bytes that the caller keeps as long as the object; `path` names them in messages. */
qwren_status qw_gguf_read(qw_gguf **out, const qw_map *bytes, const char *path, qwren_error *err);
void qw_gguf_expect(const qw_gguf *g); /* tells the system that all of the file will be read */
void qw_gguf_close(qw_gguf *g);        /* NULL is allowed */
const char *qw_gguf_path(const qw_gguf *g);

/* ---- settings */

/* The numbers of the file. */
typedef enum qw_gguf_type {
    QW_GGUF_U8,
    QW_GGUF_I8,
    QW_GGUF_U16,
    QW_GGUF_I16,
    QW_GGUF_U32,
    QW_GGUF_I32,
    QW_GGUF_F32,
    QW_GGUF_BOOL,
    QW_GGUF_STRING,
    QW_GGUF_LIST,
    QW_GGUF_U64,
    QW_GGUF_I64,
    QW_GGUF_F64
} qw_gguf_type;

/* A text of the file: not terminated, may hold anything. */
typedef struct qw_gguf_text {
    const char *data;
    size_t len;
} qw_gguf_text;

/* A value, or a list of values of one type. Lists of lists are refused when the file is opened. */
typedef struct qw_gguf_value {
    qw_gguf_text key;
    qw_gguf_type type; /* of the value, or of each element */
    bool is_list;
    size_t n;            /* elements; 1 for a value that is no list */
    const uint8_t *data; /* unaligned; texts are a length of 8 bytes and the bytes */
    size_t n_bytes;
} qw_gguf_value;

size_t qw_gguf_count(const qw_gguf *g);
const qw_gguf_value *qw_gguf_at(const qw_gguf *g, size_t i);          /* in file order; i < count */
const qw_gguf_value *qw_gguf_find(const qw_gguf *g, const char *key); /* NULL when absent */

/* The value, when it is no list. All accept v == NULL and then answer, as for another type, false, and leave *out alone. */
bool qw_gguf_int(const qw_gguf_value *v, int64_t *out);   /* any whole type; not a U64 beyond INT64_MAX */
bool qw_gguf_number(const qw_gguf_value *v, double *out); /* any whole or floating type */
bool qw_gguf_bool(const qw_gguf_value *v, bool *out);
bool qw_gguf_string(const qw_gguf_value *v, qw_gguf_text *out);
bool qw_gguf_is(const qw_gguf_value *v, const char *text); /* a string equal to text */

/* The value as a message shows it: a number, a text (its first letters), or how long a list it is; "missing" for NULL. Into buf, which is
 * returned. */
const char *qw_gguf_show(char *buf, size_t n, const qw_gguf_value *v);
#define QW_GGUF_SHOWN_BYTES 80

/* Element i of a list; false when v is NULL, no list of that kind, or shorter. Texts are found one after the other: see below. */
bool qw_gguf_int_at(const qw_gguf_value *v, size_t i, int64_t *out);
bool qw_gguf_number_at(const qw_gguf_value *v, size_t i, double *out);
bool qw_gguf_bool_at(const qw_gguf_value *v, size_t i, bool *out);

/* The texts of a list of strings in order:
 *     qw_gguf_texts it = { 0 };
 *     while (qw_gguf_next_text(v, &it)) use(it.index, it.text.data, it.text.len); */
typedef struct qw_gguf_texts {
    qw_gguf_text text;
    size_t index;  /* of text */
    size_t n_seen; /* private */
    size_t at;     /* private */
} qw_gguf_texts;
bool qw_gguf_next_text(const qw_gguf_value *list, qw_gguf_texts *it);

/* ---- tensors */

/* The number formats that a layer computes with, for messages. */
#define QW_GGUF_TYPES "F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, Q5_0, Q5_1, Q4_0, Q4_1, IQ4_NL and IQ4_XS"

/* In file order. Names are those of the file (`name` is `file_name`); shapes are turned round, outermost first. A type that no layer reads
 * is QW_TYPE_OTHER. */
const qw_tensor *qw_gguf_tensors(const qw_gguf *g, size_t *n);

#endif
