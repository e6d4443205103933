/* A line of a request file -> token ids and pictures: what models are calibrated with and compared on. Private to src/api. */
#ifndef QW_API_SAMPLE_H
#define QW_API_SAMPLE_H

#include "api/pictures.h"
#include "tokenizer/tokenizer.h"

typedef struct qw_sample {
    qw_ids ids; /* one pad for each picture */
    size_t
        n_context; /* ids before the assistant's last message, the opening of its thought included; ids.n when no answer ends the sample */
    qwren_image **images;
    size_t n_images;
} qw_sample;

/* The next line of a text that is not blank: *line [*len], and the rest of the text into *text [*left]. False when there is none; *number
 * counts lines, from 0 at the beginning of the text. */
bool qw_sample_next(const char **text, size_t *left, const char **line, size_t *len, size_t *number);

/* One line: {"messages": [...], "tools": [...], ...}, which may end with the assistant's answer, or {"text": ...}. `where` names the line
 * in errors. `load` (may be NULL) is asked for pictures that are no data: URL. Free with qw_sample_deinit(), allowed after a failure and on
 * zeros. */
qwren_status qw_sample_read(qw_sample *out, const qwren_model *m, const char *line, size_t len, const char *where, qwren_image_loader load,
                            void *load_ctx, qwren_error *err);
void qw_sample_deinit(qw_sample *s);

/* The sample as `m` computes it: its timeline, and its pictures, not yet seen by the tower. Both are given back by the caller, after a
 * failure too. */
qwren_status qw_sample_lay_out(const qw_sample *s, const qwren_model *m, qw_pictures *pictures, qw_timeline *timeline, qwren_error *err);

#endif
