/* Files on disk -> named tensors that point into read-only mappings. Zero copy; every header field is checked against the file
 * before a tensor exists. One container per .c file behind this header: safetensors.c, gguf.c. */
#ifndef QW_WEIGHTS_H
#define QW_WEIGHTS_H

#include "quant/tensor.h"
#include "weights/gguf.h"

typedef struct qw_weights qw_weights;

#define QW_MTP_FOLDER "mtp" /* of a directory for MLX: the draft head */

/* Who wrote the files, which decides what some small tensors hold (model/bind.h undoes it). */
typedef enum qw_layout {
    QW_LAYOUT_HF,
    QW_LAYOUT_MLX, /* norms hold 1 + w; conv1d is [C, taps, 1]; the tower's patch kernel has the colours last */
    QW_LAYOUT_GGUF /* norms hold 1 + w; -exp(A_log); value heads are tiled; names and settings of llama.cpp */
} qw_layout;

/* Opens all weight files of the directory `path`: model.safetensors.index.json and its shards, or model.safetensors, or the one shard of
 * a model that was split in one. Beside MLX files also mtp/model.safetensors, the draft head as mlx-vlm keeps it: its tensors are our
 * mtp.*, their `file` is "mtp/model.safetensors". No two tensors have the same name of ours. On failure *out is NULL. */
qwren_status qw_weights_open(qw_weights **out, const char *path, qwren_error *err);
/* The same for a model in GGUF files (gguf_files.h says how they are found). `mmproj` names the file of the image tower, or is "none";
 * NULL: the one beside the model, if any. */
qwren_status qw_weights_open_gguf(qw_weights **out, const char *path, const char *mmproj, qwren_error *err);
/* The same for the bytes of two files, which the caller keeps; `mmproj` may be NULL. */
qwren_status qw_weights_read_gguf(qw_weights **out, const qw_map *model, const qw_map *mmproj, qwren_error *err);
/* The same for one safetensors file, whatever its name. */
qwren_status qw_weights_open_file(qw_weights **out, const char *path, qwren_error *err);
/* The same for tensors in memory, with our names, in the layout that they show. Names are copied; `memory`, where their data lies, is taken
 * over, after a failure too. */
qwren_status qw_weights_make(qw_weights **out, const qw_tensor *tensors, size_t n, qw_map *memory, qwren_error *err);
qw_layout qw_weights_layout(const qw_weights *w);
const qw_gguf *qw_weights_gguf(const qw_weights *w);   /* the file with the settings; NULL for safetensors */
const qw_gguf *qw_weights_mmproj(const qw_weights *w); /* the file of the image tower; NULL when there is none */
void qw_weights_close(qw_weights *w);                  /* NULL is allowed */

/* Tells the system that all tensors will be read; with `lock` they must stay in memory from now on. E_LIMIT. */
qwren_status qw_weights_expect(const qw_weights *w, bool lock, qwren_error *err);
size_t qw_weights_count(const qw_weights *w);
const qw_tensor *qw_weights_at(const qw_weights *w, size_t i);               /* in file order; i < count */
const qw_tensor *qw_weights_find(const qw_weights *w, const char *our_name); /* NULL when absent */

#endif
