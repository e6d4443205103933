/* The extra prediction head: from a token and the hidden state before it to the token after next. Drafting will use it. */
#ifndef QW_MODEL_MTP_H
#define QW_MODEL_MTP_H

#include "model/text.h"

typedef struct qw_mtp_model {
    qw_matrix fc;                              /* [H, 2H]: embedding half first */
    const float *norm_embedding, *norm_hidden; /* [H], 1 + w */
    const float *norm;                         /* [H], 1 + w */
    qw_layer layer;                            /* full attention */
} qw_mtp_model;

qwren_status qw_mtp_bind(qw_mtp_model *out, const qw_text_config *c, const qw_binder *b, qwren_error *err);

/* Row i: the token batch->ids[i] and the trunk's hidden state hidden[i] of the token before it. Afterwards s->in holds the head's own
 * hidden states: the text model's head of them predicts the token after ids[i]. Segments' states have one layer, the head's own. */
void qw_mtp_forward(qw_ops *ops, const qw_text_model *text, const qw_mtp_model *m, qw_text_scratch *s, const qw_batch *batch,
                    const float *hidden);

#endif
