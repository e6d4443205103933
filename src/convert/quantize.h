/* The way of a checkpoint from floats to codes: layer by layer, the calibration samples' residual streams run beside it. Memory holds one
 * layer. */
#ifndef QW_CONVERT_QUANTIZE_H
#define QW_CONVERT_QUANTIZE_H

#include "convert/recipe.h"
#include "model/merge.h"
#include "model/model.h"

typedef struct qw_quantize_job {
    const qw_model *source;
    const char *src, *dst; /* folders */
    bool force, fresh;     /* as in folder.h */
    qw_recipe_wish wish;
    double bpw;                 /* > 0: recipe "auto" with so many bits per weight of the text model */
    const qw_timeline *samples; /* calibration; their pictures' rows are set. None: codes are searched without it */
    size_t n_samples;
    const char *calibration;  /* what recipe.json says about them */
    const qw_timeline *check; /* a short fixed one: doctor's reference vectors */
    /* Writes what makes the tokenizer of `src` open fast; NULL: nothing does. This room knows no tokenizer. */
    qwren_status (*write_tables)(const char *src, const char *path, qwren_error *err);
    int n_threads;              /* 0 = physical cores */
    qwren_progress_fn progress; /* may be NULL; "weights" done of all, "sensitivity" for auto */
    void *progress_ctx;
} qw_quantize_job;

/* Writes DST; on failure there is no DST, but what is needed to resume. The same bytes for any number of threads, interrupted or not. */
qwren_status qw_quantize(const qw_quantize_job *job, qwren_error *err);

/* Only float checkpoints in the layout of Hugging Face can be read: anything else is E_UNSUPPORTED. */
qwren_status qw_quantize_check_source(const qw_model *m, const char *src, qwren_error *err);

/* Tokens of calibration that a model of this size is worth: so many that they cost about as much time as making the codes. */
size_t qw_calibration_tokens(const qw_config *c);
/* The most that quantize takes: both streams of them fill 512 MB. */
size_t qw_calibration_most(const qw_config *c);

#endif
