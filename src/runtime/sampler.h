/* Logits -> the next id. Knows no model and no text.
 *
 * Stages, in the order of transformers, vLLM and llama.cpp: logit bias, repetition penalty, presence and frequency penalty, mask, temperature,
 * top-k, top-p, min-p, draw. Bias before penalties matters only beside a repetition penalty, which multiplies. What each stage keeps is
 * transformers' meaning, with one refinement: top-k keeps exactly k (transformers keeps all that tie with the k-th). Ties go to the lowest id
 * everywhere. */
#ifndef QW_RUNTIME_SAMPLER_H
#define QW_RUNTIME_SAMPLER_H

#include "base/status.h"

/* The numbers of a request, a generation_config.json or a model card. NAN and -1 mean "not said". */
typedef struct qw_sampling {
    double temperature;        /* 0 = greedy */
    double top_p;              /* 1 = off */
    double min_p;              /* 0 = off */
    double presence_penalty;   /* subtracted once from every id that was generated */
    double frequency_penalty;  /* subtracted for each time it was generated */
    double repetition_penalty; /* divides positive logits and multiplies negative ones of every id in prompt or output; 1 = off */
    int top_k;                 /* 0 = off */
} qw_sampling;

qw_sampling qw_sampling_unsaid(void); /* nothing said */
/* Takes from `next` what *s does not say. */
void qw_sampling_fill(qw_sampling *s, const qw_sampling *next);
/* The values of the published model cards, all said. Models that think unless told otherwise (4B, 9B) have other ones than those that do not
 * (0.8B, 2B). */
qw_sampling qw_sampling_card(bool thinks_by_default, bool thinking, bool has_images);

typedef struct qw_logit_bias {
    int32_t id;
    float bias;
} qw_logit_bias;

/* May set logits [n = n_tokens] to -INFINITY: ids that must not follow (a grammar). Raising one is not its business. */
typedef void (*qw_mask_fn)(void *ctx, float *logits, size_t n);

typedef struct qw_sampler_options {
    qw_sampling sampling; /* what is not said is off; an unsaid temperature is 1 */
    uint64_t seed;
    size_t n_vocab;            /* length of a row of logits */
    size_t n_tokens;           /* ids from here on are padding and never picked; <= n_vocab */
    const qw_logit_bias *bias; /* copied; an id may come more than once, the biases add up */
    size_t n_bias;
    qw_mask_fn mask; /* may be NULL */
    void *mask_ctx;
} qw_sampler_options;

typedef struct qw_sampler qw_sampler;

/* Checks the options (E_ARGUMENT names the value and its range) and takes all memory that picking needs. Free with qw_sampler_free(). */
qwren_status qw_sampler_create(qw_sampler **out, const qw_sampler_options *opt, qwren_error *err);
void qw_sampler_free(qw_sampler *s); /* NULL is allowed */
/* Back to the seed and to an empty history. */
void qw_sampler_reset(qw_sampler *s);

/* History for the penalties. The repetition penalty looks at prompt and output, as in transformers; presence and frequency at the output alone, as in
 * OpenAI's API and vLLM. Ids outside the vocabulary are ignored. */
void qw_sampler_note_prompt(qw_sampler *s, const int32_t *ids, size_t n);
void qw_sampler_accept(qw_sampler *s, int32_t id); /* the id became part of the output */

#define QW_SAMPLER_BLOCK 256 /* logits; as QW_LOGIT_BLOCK of compute/ops.h, where the largest ones come from */

/* Picks from logits [n_vocab], which stay as they are. `maxima` may be the largest of each block of them (NaN where one is): then a row is not read but for the few blocks
 * that matter, unless bias, a mask or a wide top-k ask for all of it; the result is the same. A logit that is NaN or +infinity is E_FORMAT (damaged weights), a row in which every id is
 * forbidden E_ARGUMENT; the generator has not moved then. Allocates nothing. The same seed, history and logits give the same id. */
qwren_status qw_sampler_pick(qw_sampler *s, const float *logits, const float *maxima, int32_t *id, qwren_error *err);

/* What qw_sampler_pick would draw from: *n ids and their probabilities, each [n_tokens], in no particular order. The same errors; the generator stays
 * where it is. For tests. */
qwren_status qw_sampler_distribution(qw_sampler *s, const float *logits, const float *maxima, int32_t *ids, double *probabilities,
                                     size_t *n, qwren_error *err);

#endif
