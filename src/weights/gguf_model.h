/* All GGUF files of one model, and its tensors by our names. Private to weights/. */
#ifndef QW_WEIGHTS_GGUF_MODEL_H
#define QW_WEIGHTS_GGUF_MODEL_H

#include "base/arena.h"
#include "weights/gguf.h"

typedef struct qw_gguf_model {
    qw_gguf **parts; /* the first has the settings */
    size_t n_parts;
    qw_gguf *mmproj; /* the image tower; NULL: none */
} qw_gguf_model;

/* Opens the files that gguf_files.h finds, and checks that they belong together and are what qwren computes: architecture qwen35, and clip
 * with the projector qwen3vl_merger. Give back with qw_gguf_model_close(), after a failure too. */
qwren_status qw_gguf_model_open(qw_gguf_model *out, const char *path, const char *mmproj, qwren_error *err);
/* The same for bytes that the caller keeps; `mmproj` may be NULL. */
qwren_status qw_gguf_model_read(qw_gguf_model *out, const qw_map *model, const qw_map *mmproj, qwren_error *err);
void qw_gguf_model_expect(const qw_gguf_model *m); /* that all of the files will be read */
void qw_gguf_model_close(qw_gguf_model *m);

/* A fresh array (qw_free) of all tensors, in the order of the files, with our names, which live in `names`. On failure *out is NULL. */
qwren_status qw_gguf_model_tensors(const qw_gguf_model *m, qw_arena *names, qw_tensor **out, size_t *n_out, qwren_error *err);

#endif
