/* A safetensors file that is written piece by piece: its tensors are known beforehand, so the header comes first and any part of any tensor
 * can be written at any time, in any order, in several runs. */
#ifndef QW_WEIGHTS_SAFETENSORS_WRITE_H
#define QW_WEIGHTS_SAFETENSORS_WRITE_H

#include "quant/tensor.h"

typedef struct qw_st_entry {
    const char *name; /* as it will stand in the file; unique */
    qw_type type;     /* one with a tag: FLOAT or INT */
    int n_dims;
    size_t shape[QW_MAX_DIMS]; /* outermost first */
} qw_st_entry;

/* Bytes of a tensor; false when the product overflows. */
bool qw_st_entry_bytes(const qw_st_entry *e, size_t *out);

typedef struct qw_st_writer qw_st_writer;

/* Writes the header (its "format" is `format`; data begins at a multiple of 64) and reserves the space. A file that is there and has this
 * very header and size is taken over with its bytes, any other one is replaced. Entries are not needed afterwards. Close it with
 * qw_st_close(). */
qwren_status qw_st_create(qw_st_writer **out, const char *path, const qw_st_entry *entries, size_t n, const char *format, qwren_error *err);

/* Bytes [offset, offset + n) of tensor i. A full disk is an error that names the file. Any number of threads may write different bytes at
 * once. */
qwren_status qw_st_write(qw_st_writer *w, size_t i, size_t offset, const void *bytes, size_t n, qwren_error *err);
qwren_status qw_st_read(const qw_st_writer *w, size_t i, size_t offset, void *bytes, size_t n, qwren_error *err); /* what was written */

qwren_status qw_st_finish(qw_st_writer *w, qwren_error *err); /* to the disk (fsync) */
void qw_st_close(qw_st_writer *w);                            /* NULL is allowed; the file stays */

#endif
