/* The folder that `qwren quantize` makes: an MLX checkpoint that mlx-lm and mlx-vlm load unchanged, with the draft head in mtp/ and our own
 * records in qwren/.
 *
 * Everything is written into DST.partial, which has no config.json until all the rest is there; the last step renames it to DST. So a run
 * that ends at any moment leaves nothing that loads as a model, and the next run with the same source and options goes on where it stopped:
 * a journal tells which tensors are whole, with their checksums. The order of calls:
 *
 *   open -> plan -> for each tensor that is not done yet: put_rows or put_float, then done -> put_file for qwren/... -> finish -> close */
#ifndef QW_CONVERT_FOLDER_H
#define QW_CONVERT_FOLDER_H

#include "base/dir.h"
#include "quant/matrix.h"
#include "quant/tensor.h"
#include "weights/weights.h"

typedef struct qw_folder qw_folder;

typedef struct qw_folder_options {
    const char *src, *dst;
    const char
        *options; /* all that decides the bytes beside the source (recipe, method, checksum of the calibration, ...), as one line of text */
    bool force;   /* a DST that qwren made may be replaced, at the very end, with all that is in it */
    bool fresh;   /* what an earlier run left is thrown away */
} qw_folder_options;

/* Whether SRC and DST will do, for those who work long before they open it. Nothing is made. */
qwren_status qw_folder_check(const char *src, const char *dst, bool force, qwren_error *err);

/* Checks the same, takes the lock, reads SRC/config.json and the journal of an earlier run. An unfinished run with other options or
 * another source is refused unless `fresh`. On success *out must be closed. */
qwren_status qw_folder_open(qw_folder **out, const qw_folder_options *opt, qwren_error *err);
/* Without finish everything stays for the next run; nothing at all when no tensor was done. NULL is allowed. */
void qw_folder_close(qw_folder *f);

/* A tensor of the source and what becomes of it. */
typedef struct qw_folder_tensor {
    const qw_tensor *source; /* its data must stay mapped until finish; its name is ours (weights/names.h) */
    qw_type type;            /* AFFINE2 ... AFFINE8; QW_TYPE_OTHER: stays in float */
    int group;               /* of the affine types */
} qw_folder_tensor;

/* What config.json of the source says about tensors. */
typedef struct qw_folder_rules {
    qw_type float_type; /* that mlx_lm.convert would cast floats to: also scales and biases; QW_TYPE_OTHER: each keeps its own */
    bool tied;          /* the head is the embedding */
} qw_folder_rules;
qwren_status qw_folder_rules_read(qw_folder_rules *out, const char *src, qwren_error *err);

/* Whether the tensor belongs into the folder at all: not what no layer reads, nor a head of its own when config.json ties it to the
 * embedding. */
bool qw_rules_take(const qw_folder_rules *r, const qw_tensor *source);
/* The type of its scales, biases, or of itself when it stays in float. A_log keeps its own. */
qw_type qw_rules_type(const qw_folder_rules *r, const qw_tensor *source);
/* What it takes in the file: codes, scales and biases. */
uint64_t qw_rules_bytes(const qw_folder_rules *r, const qw_folder_tensor *t);
/* The same of an open folder. */
const qw_folder_rules *qw_folder_rules_of(const qw_folder *f);
bool qw_folder_takes(const qw_folder *f, const qw_tensor *source);
qw_type qw_folder_type_of(const qw_folder *f, const qw_tensor *source);

/* All tensors, copied, in the order of the files to be. bits and group are the defaults in config.json; a tensor that differs gets an entry
 * of its own. Lays out the files and takes over what an earlier run finished, after a look at its checksums. */
qwren_status qw_folder_plan(qw_folder *f, const qw_folder_tensor *tensors, size_t n, int bits, int group, qwren_error *err);
bool qw_folder_is_done(const qw_folder *f, size_t i);

/* Rows [first, first + rows->rows) of quantised tensor i: codes, scales and biases with the types that were planned. */
qwren_status qw_folder_put_rows(qw_folder *f, size_t i, size_t first, const qw_matrix *rows, qwren_error *err);
/* And back: what was put, into the memory that `rows` points to (writable, as for qw_encode_rows). */
qwren_status qw_folder_get_rows(const qw_folder *f, size_t i, size_t first, const qw_matrix *rows, qwren_error *err);
/* The whole of tensor i that stays in float, as MLX wants it: norms + 1, convolutions turned, cast. */
qwren_status qw_folder_put_float(qw_folder *f, size_t i, qwren_error *err);
/* Tensor i is whole. `record` is one line of text (JSON) that is kept with it over runs. */
qwren_status qw_folder_done(qw_folder *f, size_t i, const char *record, qwren_error *err);
const char *qw_folder_record(const qw_folder *f, size_t i); /* of a tensor that is done; "" when it has none */
uint64_t qw_folder_checksum(const qw_folder *f, size_t i);  /* XXH64 of its codes, scales, biases, one after the other */

/* Names of what stays behind in SRC, for no loader needs it (its README, ...). */
const qw_names *qw_folder_left(const qw_folder *f);

/* A text that is kept over runs under a name: what was costly to find out before the plan. NULL when there is none. */
qwren_status qw_folder_keep(qw_folder *f, const char *name, const char *line, qwren_error *err);
const char *qw_folder_kept(const qw_folder *f, const char *name);

/* A small file of ours, "qwren/recipe.json"; it replaces one of that name. */
qwren_status qw_folder_put_file(qw_folder *f, const char *name, const void *bytes, size_t n, qwren_error *err);
/* The place of such a file for a writer of its own (qw_free it); NULL when memory is short. */
char *qw_folder_path(const qw_folder *f, const char *name);

/* Every tensor is done: index, tokenizer and the other side files, config.json; all to the disk; then DST.partial becomes DST. */
qwren_status qw_folder_finish(qw_folder *f, qwren_error *err);

#endif
