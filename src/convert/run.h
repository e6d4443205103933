/* One quantisation on its way: what its steps share. Private to src/convert. */
#ifndef QW_CONVERT_RUN_H
#define QW_CONVERT_RUN_H

#include "base/thread.h"
#include "convert/calibrate.h"
#include "convert/folder.h"
#include "convert/plan.h"
#include "convert/quantize.h"

typedef struct qw_run {
    const qw_quantize_job *job;
    const qw_model *source;
    const qw_text_config *config;
    qw_pool *pool;
    qw_folder *folder;
    qw_recipe recipe;
    qw_plan plan;                        /* entry i is tensor i of the folder */
    qw_streams streams;                  /* calibration, as the source computes it; n_samples 0 without it */
    float *coded;                        /* [n_tokens, H] the same as the codes made so far do */
    qw_streams check;                    /* the reference sample */
    float *norm;                         /* the final norm as the folder stores it */
    float *check_source, *check_codes;   /* [n_layers + 1, check.n_tokens, H] residual streams of both models */
    float *logits_source, *logits_codes; /* [V] behind its last token */
    char *sensitivities;                 /* JSON, for recipe.json; NULL unless "auto" measured them */
    const char *phase;                   /* what progress is told, and how much of it is done */
    uint64_t done, total;
} qw_run;

/* progress("what", done, total); E_CANCELLED when it says no. */
qwren_status qw_run_report(const qw_run *r, const char *what, uint64_t done, uint64_t total, qwren_error *err);
/* Asks the same again without news: for loops inside a step. ctx is the qw_run. */
bool qw_run_keep_on(void *ctx);
qwren_status qw_run_cancelled(qwren_error *err);
/* A failure of format gets the layer's number in front. Returns st. */
qwren_status qw_run_at_layer(qwren_status st, int layer, qwren_error *err);

/* ---- matrices.c */

/* Entry i as a matrix of the source; and as codes, without memory. */
qw_matrix qw_run_source(const qw_run *r, size_t i);
qw_matrix qw_run_shape(const qw_run *r, size_t i, qw_choice choice);
/* Makes the codes of entry i, puts them into the folder and records it. `keep` (may be NULL) receives them all; free it with
 * qw_codes_free(). What an earlier run made is only read. */
qwren_status qw_run_matrix(qw_run *r, size_t i, const qw_moments *moments, qw_matrix *keep, qwren_error *err);
/* The method that is possible: error feedback needs moments. */
qw_encode_method qw_run_method(qw_encode_method wanted, const qw_moments *moments);
/* Rows [first, first + n) of the codes of entry i that are in the folder; free them with qw_codes_free(). */
qwren_status qw_run_load(qw_run *r, size_t i, size_t first, size_t n, qw_matrix *out, qwren_error *err);
/* An entry that stays in float. */
qwren_status qw_run_float(qw_run *r, size_t i, qwren_error *err);

/* ---- coded.c */

#define QW_LAYER_VECTORS 5
/* A layer with codes in place of the source's matrices. */
typedef struct qw_coded_layer {
    qw_layer layer;
    qw_slot slots[QW_LAYER_SLOTS]; /* of `layer` */
    size_t n;
    qw_matrix codes[QW_LAYER_SLOTS];  /* owned; data NULL where the source's matrix stands */
    float *vectors[QW_LAYER_VECTORS]; /* owned */
} qw_coded_layer;
void qw_coded_layer_begin(const qw_run *r, int layer, qw_coded_layer *out);
/* It owns the codes from here on. */
void qw_coded_layer_set(qw_coded_layer *l, size_t k, const qw_matrix *codes);
/* Norms and the like as the folder stores them, 1 + w in 16 bits. */
qwren_status qw_coded_layer_round(const qw_run *r, int layer, qw_coded_layer *l, qwren_error *err);
/* Values v [n] of an entry, rounded to its type in the folder, as a copy (qw_free it). */
qwren_status qw_run_rounded(const qw_run *r, size_t entry, const float *v, size_t n, float **out, qwren_error *err);
void qw_coded_layer_free(qw_coded_layer *l);
/* layers.LAYER.TAIL -> its entry */
qwren_status qw_run_entry_of(const qw_run *r, int layer, const char *tail, size_t *out, qwren_error *err);
/* Layer `n` with the codes that the folder has. Free it after a failure too. */
qwren_status qw_run_load_layer(qw_run *r, int n, qw_coded_layer *out, qwren_error *err);
/* The source's matrices of a layer leave the memory. */
void qw_run_release_layer(const qw_run *r, int layer);

/* ---- layers.c */

/* Embedding, layers, head; the source's stream of the reference sample beside them. */
qwren_status qw_run_layers(qw_run *r, qwren_error *err);
/* x [n_tokens, H] = the samples' tokens as the folder's codes embed them, pictures' rows over their pads. */
qwren_status qw_run_embed(qw_run *r, qw_streams *s, float *x, qwren_error *err);

/* ---- check.c */

/* The source's stream: once before the layers, then behind each; with its logits at last. */
qwren_status qw_check_begin(qw_run *r, qwren_error *err);
void qw_check_layer(qw_run *r, int layer);
/* The coded model's stream through all layers, and both logits. */
qwren_status qw_check_codes(qw_run *r, qwren_error *err);

/* ---- records.c */

/* DST/qwren/recipe.json and DST/qwren/check.safetensors (docs/quantisation.md, section "Records"). */
qwren_status qw_records_write(qw_run *r, qwren_error *err);
/* The line that is kept with a tensor: how its codes were made, root mean square of the source, and of what the codes miss relative to
 * it. */
#define QW_RECORD_BYTES 128
void qw_record_line(char *out, size_t n, qw_encode_method method, double rms, double error);

/* ---- sensitivity.c */

/* Recipe "auto": measures, and sets the plan's choices. */
qwren_status qw_sensitivity_plan(qw_run *r, qwren_error *err);

#endif
