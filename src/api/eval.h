/* What the evaluations share: a model that is read through in chunks. Private to src/api. */
#ifndef QW_API_EVAL_H
#define QW_API_EVAL_H

#include "api/sample.h"
#include "api/session.h"

/* A model on its way through one text after the other. */
typedef struct qw_reader {
    const qwren_model *model;
    qwren_kv_type kv_type; /* of the session, once there is one */
    qw_session *session;   /* as large as the longest text so far */
    float *logits;       /* [QW_READER_ROWS, vocab_size] */
    qw_pictures pictures;
    qw_timeline timeline; /* of the text that is read */
} qw_reader;

/* Rows of logits at a time: memory stays small when there are 248,320 of them. */
#define QW_READER_ROWS 32

qwren_status qw_reader_init(qw_reader *r, const qwren_model *m, qwren_error *err);
void qw_reader_deinit(qw_reader *r); /* safe on zeros */

/* Lays out a sample; its predecessor is forgotten, and the session empty. `like` says how ids and pictures become a timeline, and its tower stands in where
 * the reader's model has none: the same model, or one that it is compared with. */
qwren_status qw_reader_open(qw_reader *r, const qw_sample *s, const qwren_model *like, qwren_error *err);
/* Where the chunk that begins at `first` ends: at most QW_READER_ROWS text tokens, or one whole picture (*picture: its number among the spans, else n_spans). */
size_t qw_reader_chunk(const qw_reader *r, size_t first, size_t *picture);
/* Computes the chunk. Of a text chunk logits then holds all rows; of a picture none. */
qwren_status qw_reader_eval(qw_reader *r, size_t first, size_t end, size_t picture, qwren_error *err);

#endif
