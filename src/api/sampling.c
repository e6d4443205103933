/* Request, generation_config.json, model card -> the numbers for runtime/sampler.c (sampling.h). Tested by tests/unit/test_chat.c. */
#include "api/sampling.h"

#include <math.h>

static qw_sampling of_request(const qw_request *r)
{
    return (qw_sampling){ .temperature = r->temperature,
                          .top_p = r->top_p,
                          .min_p = r->min_p,
                          .presence_penalty = r->presence_penalty,
                          .frequency_penalty = r->frequency_penalty,
                          .repetition_penalty = r->repetition_penalty,
                          .top_k = (int)r->top_k };
}

static qw_sampling of_file(const qw_generation_config *g)
{
    qw_sampling s = qw_sampling_unsaid();
    s.temperature = g->temperature;
    s.top_p = g->top_p;
    s.min_p = g->min_p;
    s.presence_penalty = g->presence_penalty;
    s.repetition_penalty = g->repetition_penalty;
    s.top_k = g->top_k;
    return s;
}

qw_sampling qw_sampling_choose(const qw_request *r, const qw_sampling_defaults *d)
{
    static const qw_sampling plain = {
        .temperature = 0, .top_p = 1, .min_p = 0, .presence_penalty = 0, .frequency_penalty = 0, .repetition_penalty = 1, .top_k = 0
    };
    qw_sampling s = of_request(r), file = of_file(d->file), card = qw_sampling_card(d->thinks_by_default, d->thinking, d->has_images);
    bool greedy = isnan(s.temperature) && (d->greedy || !d->file->do_sample);
    if (greedy)
        s.temperature = 0;
    qw_sampling_fill(&s, &file);
    qw_sampling_fill(&s, greedy ? &plain : &card);
    return s;
}
