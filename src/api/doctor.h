/* The examination of a checkpoint, piece by piece; doctor.c lists the steps and writes the report. Private to src/api. */
#ifndef QW_API_DOCTOR_H
#define QW_API_DOCTOR_H

#include "base/buf.h"
#include "base/thread.h"
#include "convert/records.h"
#include "model/logical.h"
#include "model/model.h"
#include "runtime/speed.h"

/* What is looked at, in this order. */
typedef enum qw_check {
    QW_CHECK_FILES,     /* headers, config.json, records can be read */
    QW_CHECK_SHAPES,    /* every tensor is what the config asks for, every width what it states */
    QW_CHECK_TOKENIZER, /* belongs to the model */
    QW_CHECK_VALUES,    /* finite, and not all zero */
    QW_CHECK_RECORDS,   /* as quantize wrote them */
    QW_CHECK_REFERENCE, /* the model computes, and what it computed when it was made */
    QW_CHECK_MEMORY,    /* the machine has enough */
    QW_CHECK_COUNT
} qw_check;

typedef struct qw_finding {
    qw_check check;
    char *tensor; /* our name; NULL: it is about no single one */
    char *text;
} qw_finding;

/* What the reference vectors tell about step i: the embeddings, then each layer. Differences are relative: root mean square over that of
 * what is compared with. */
typedef struct qw_reference_step {
    double difference; /* of what is computed now from what was computed when the model was made */
    double drift;      /* of that from the source */
} qw_reference_step;

typedef struct qw_doctor {
    const char *path;
    const qwren_doctor_options *opt;
    int n_threads;
    qw_speed_params speed_params;
    qw_pool *pool;
    qw_model model; /* for looking at: tensors that cannot be bound are findings */
    bool is_open;   /* model is there */
    qw_records *records;

    qw_finding *findings;
    size_t n_findings;
    size_t found[QW_CHECK_COUNT]; /* findings of each check */
    char *told[QW_CHECK_COUNT];   /* what was looked at, or why not */
    bool done[QW_CHECK_COUNT];    /* it was looked at */

    uint64_t n_tensors, n_weights, weights_bytes;
    size_t n_steps; /* of the reference; 0: there is none */
    qw_reference_step *steps;
    double logits_difference, logits_drift; /* the drift is a KL divergence in nats */
    size_t n_reference_tokens;
    qw_speed speed;
} qw_doctor;

/* Tokens of the session that a machine should have room for. */
static inline size_t qw_doctor_short_ctx(const qw_text_config *c) { return c->max_positions < 4096 ? (size_t)c->max_positions : 4096; }

/* qwren_doctor with complete options. patience_s > 0: the speed is measured hastily, for tests of everything else. */
qwren_status qw_doctor_run(const char *path, const qwren_doctor_options *opt, double patience_s, char **report, qwren_error *err);

/* A sentence about something that is wrong. E_MEMORY is the only failure. */
qwren_status qw_doctor_find(qw_doctor *d, qw_check check, const char *tensor, qwren_error *err, const char *fmt, ...) QW_PRINTF(5, 6);
/* What a check looked at; with `done` false, why it did not. The last word counts. */
qwren_status qw_doctor_tell(qw_doctor *d, qw_check check, bool done, qwren_error *err, const char *fmt, ...) QW_PRINTF(5, 6);
/* What is no fault, but good to know: behind what was told of the check. */
qwren_status qw_doctor_note(qw_doctor *d, qw_check check, qwren_error *err, const char *fmt, ...) QW_PRINTF(4, 5);
/* Passes on short memory and cancelling, makes a finding of every other failure. */
qwren_status qw_doctor_settle(qw_doctor *d, qw_check check, const char *tensor, qwren_status st, const qwren_error *why, qwren_error *err);
/* The first finding about a tensor whose name begins with `prefix`, NULL when there is none. */
const qw_finding *qw_doctor_found_in(const qw_doctor *d, const char *prefix);
qwren_status qw_doctor_progress(const qw_doctor *d, const char *what, uint64_t done, uint64_t total, qwren_error *err);

/* Every tensor decoded once (doctor_values.c). */
qwren_status qw_doctor_values(qw_doctor *d, qwren_error *err);
/* A short text through all layers (doctor_reference.c). */
qwren_status qw_doctor_reference(qw_doctor *d, qwren_error *err);
/* The report as JSON (doctor_report.c). */
qwren_status qw_doctor_report(const qw_doctor *d, char **out, qwren_error *err);

#endif
