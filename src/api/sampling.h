/* Which sampling values an answer is made with. Private to src/api. */
#ifndef QW_API_SAMPLING_H
#define QW_API_SAMPLING_H

#include "api/request.h"
#include "model/config.h"

/* What the checkpoint brings, beside the request. */
typedef struct qw_sampling_defaults {
    const qw_generation_config *file; /* generation_config.json */
    bool greedy;                      /* the caller's wish, for requests without a temperature */
    bool thinks_by_default, thinking, has_images;
} qw_sampling_defaults;

/* Value by value: the request, then generation_config.json, then the model card. A greedy answer (by wish, or by do_sample false) is the
 * most likely text as the reference's generate() makes it: the card's penalties, which are meant for sampling, are left out. */
qw_sampling qw_sampling_choose(const qw_request *r, const qw_sampling_defaults *d);

#endif
