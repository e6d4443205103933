/* A checkpoint ready to compute: config, weights, layers, and the device they run on. Read-only once opened: any number of sessions may use
 * it. */
#ifndef QW_MODEL_MODEL_H
#define QW_MODEL_MODEL_H

#include "model/mtp.h"
#include "model/text.h"
#include "model/vision.h"

/* Points into itself: it stays where it was initialised. */
typedef struct qw_model {
    qw_config config;
    qw_weights *weights;
    qw_arena arena;
    qw_quant_config quant; /* what config.json says about codes */
    qw_matrix *bound;      /* [qw_weights_count], by a tensor's place in the files: the matrix that was made of it; rows 0 where none was */
    qw_ops *ops;           /* NULL when opened for inspection only */
    qwren_arithmetic arithmetic;
    qw_text_model text;
    bool has_vision, has_mtp;
    qw_vision_model vision; /* when has_vision */
    qw_mtp_model mtp;       /* when has_mtp */
} qw_model;

typedef struct qw_model_params {
    int n_threads; /* 0 = physical cores */
    qwren_arithmetic arithmetic;
    bool config_only; /* headers and shapes are checked, but no device is made */
    qwren_progress_fn progress;
    void *progress_ctx;
    qw_bind_complaint complain; /* bind.h: not NULL, for looking at a model that may be damaged, which must then be config_only */
    void *complain_ctx;
    const qw_config *made_config; /* a model that is in no files: its config, */
    qw_weights *made_weights;     /* and its weights, which are taken over, after a failure too; `dir` is then but a name */
    const char *mmproj;           /* GGUF: the file of the image tower, or "none"; NULL: the one beside the model, if any */
    bool lock;                    /* keep the weights in memory */
    double yarn_factor;           /* 0: as the files say */
} qw_model_params;

/* `dir`: a folder of Hugging Face or MLX, or a .gguf file or a folder with one (weights/gguf_files.h). On failure *m may be given to
 * qw_model_deinit() or not; nothing leaks. */
qwren_status qw_model_init(qw_model *m, const char *dir, const qw_model_params *p, qwren_error *err);
void qw_model_deinit(qw_model *m);
/* How pictures are cut for this model. */
qw_patch_config qw_model_patch_config(const qw_model *m);

#endif
