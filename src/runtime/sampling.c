/* The values that sampling goes by (sampler.h): from a request, then a generation_config.json, then the model card. Tested by
 * tests/unit/test_runtime_sampler.c. */
#include "runtime/sampler.h"

#include <math.h>

qw_sampling qw_sampling_unsaid(void)
{
    return (qw_sampling){ .temperature = NAN,
                          .top_p = NAN,
                          .min_p = NAN,
                          .presence_penalty = NAN,
                          .frequency_penalty = NAN,
                          .repetition_penalty = NAN,
                          .top_k = -1 };
}

static void fill(double *value, double next)
{
    if (isnan(*value))
        *value = next;
}

void qw_sampling_fill(qw_sampling *s, const qw_sampling *next)
{
    fill(&s->temperature, next->temperature);
    fill(&s->top_p, next->top_p);
    fill(&s->min_p, next->min_p);
    fill(&s->presence_penalty, next->presence_penalty);
    fill(&s->frequency_penalty, next->frequency_penalty);
    fill(&s->repetition_penalty, next->repetition_penalty);
    if (s->top_k == -1)
        s->top_k = next->top_k;
}

/* The cards name further settings for coding and for hard reasoning; those are left to the request. */
qw_sampling qw_sampling_card(bool thinks_by_default, bool thinking, bool has_images)
{
    qw_sampling s = { .top_k = 20, .min_p = 0, .frequency_penalty = 0, .repetition_penalty = 1 };
    if (thinking && has_images && !thinks_by_default) /* 0.8B and 2B, thinking about a picture */
        s.temperature = 0.6, s.top_p = 0.95, s.presence_penalty = 0;
    else if (thinking)
        s.temperature = 1, s.top_p = 0.95, s.presence_penalty = 1.5;
    else if (thinks_by_default || has_images)
        s.temperature = 0.7, s.top_p = 0.8, s.presence_penalty = 1.5;
    else /* 0.8B and 2B, text: their default */
        s.temperature = 1, s.top_p = 1, s.presence_penalty = 2;
    return s;
}
