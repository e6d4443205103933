/* Logits -> the next id (sampler.h). Stands between the head of the model and the detokenizer; the stages follow each other in shape_row and
 * filter. Tested by tests/unit/test_runtime_sampler.c, test_runtime_draws.c (a plain reference) and tests/golden/test_sampler.c (transformers).
 *
 * A row has 248,320 logits. No stage sorts it: top-k keeps a heap of the k best while it walks along the row, and top-p takes ids off a heap,
 * best first, after leaving out all that are too improbable to matter. With the largest logit of each block, top-k looks into the blocks alone that can hold one
 * of the best, and penalties change a row where they must. */
#include "runtime/sampler.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* An id that may be drawn. */
typedef struct candidate {
    int32_t id;
    float logit;
    double weight; /* exp((logit - best logit) / temperature): the best has 1 */
} candidate;

struct qw_sampler {
    qw_sampling set; /* all said; greedy is top-1 */
    uint64_t seed;
    qw_rng rng;
    size_t n_vocab, n_tokens;
    qw_logit_bias *bias; /* [n_bias] */
    size_t n_bias;
    qw_mask_fn mask;
    void *mask_ctx;
    float *row;       /* [n_tokens], the logits as the stages change them */
    uint32_t *counts; /* [n_tokens], 0: the id was not seen; else 1 + how often it was generated */
    int32_t *seen;    /* [n_tokens], the n_seen different ids that were seen */
    size_t n_seen;
    candidate *candidates; /* [max_candidates] */
    size_t max_candidates;
};

/* ---- options */

static qwren_status check_value(const char *name, double value, double low, double high, qwren_error *err)
{
    if (value >= low && value <= high)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_ARGUMENT, "%s is %.10g, it must be from %.10g to %.10g", name, value, low, high);
}

static qwren_status check_options(const qw_sampler_options *opt, const qw_sampling *set, qwren_error *err)
{
    if (opt->n_vocab == 0 || opt->n_vocab > INT32_MAX)
        return qw_fail(err, QWREN_E_ARGUMENT, "a row of %zu logits cannot be sampled, it must have from 1 to %d", opt->n_vocab, INT32_MAX);
    if (opt->n_tokens == 0 || opt->n_tokens > opt->n_vocab)
        return qw_fail(err, QWREN_E_ARGUMENT, "%zu tokens in a row of %zu logits: there must be from 1 to %zu", opt->n_tokens, opt->n_vocab,
                       opt->n_vocab);
    QW_TRY(check_value("temperature", set->temperature, 0, 1e100, err));
    QW_TRY(check_value("top_p", set->top_p, 0, 1, err));
    QW_TRY(check_value("min_p", set->min_p, 0, 1, err));
    QW_TRY(check_value("presence_penalty", set->presence_penalty, -100, 100, err));
    QW_TRY(check_value("frequency_penalty", set->frequency_penalty, -100, 100, err));
    QW_TRY(check_value("repetition_penalty", set->repetition_penalty, 0.01, 100, err));
    QW_TRY(check_value("top_k", set->top_k, 0, INT32_MAX, err));
    for (size_t i = 0; i < opt->n_bias; i++) {
        const qw_logit_bias *b = &opt->bias[i];
        if (b->id < 0 || (size_t)b->id >= opt->n_vocab)
            return qw_fail(err, QWREN_E_ARGUMENT, "logit_bias names id %d, ids are from 0 to %zu", (int)b->id, opt->n_vocab - 1);
        if (!(b->bias <= FLT_MAX))
            return qw_fail(err, QWREN_E_ARGUMENT, "logit_bias of id %d is %g, it must be a number or minus infinity", (int)b->id,
                           (double)b->bias);
    }
    return QWREN_OK;
}

static qw_sampling said(qw_sampling set)
{
    static const qw_sampling off = { .temperature = 1, .top_p = 1, .repetition_penalty = 1 };
    qw_sampling_fill(&set, &off);
    return set;
}

static bool take_memory(qw_sampler *s)
{
    s->bias = qw_alloc_array(s->n_bias, sizeof *s->bias);
    s->row = qw_alloc_array(s->n_tokens, sizeof *s->row);
    s->counts = qw_calloc(s->n_tokens, sizeof *s->counts);
    s->seen = qw_alloc_array(s->n_tokens, sizeof *s->seen);
    s->candidates = qw_alloc_array(s->max_candidates, sizeof *s->candidates);
    return s->bias && s->row && s->counts && s->seen && s->candidates;
}

qwren_status qw_sampler_create(qw_sampler **out, const qw_sampler_options *opt, qwren_error *err)
{
    *out = NULL;
    qw_sampling set = said(opt->sampling);
    QW_TRY(check_options(opt, &set, err));
    qw_sampler *s = qw_calloc(1, sizeof *s);
    if (!s)
        return qw_fail_memory(err, sizeof *s, "a sampler");
    s->set = set;
    if (set.temperature == 0)
        s->set.top_k = 1, s->set.temperature = 1;
    s->seed = opt->seed;
    s->n_vocab = opt->n_vocab;
    s->n_tokens = opt->n_tokens;
    s->n_bias = opt->n_bias;
    s->mask = opt->mask;
    s->mask_ctx = opt->mask_ctx;
    s->max_candidates = s->set.top_k && (size_t)s->set.top_k < s->n_tokens ? (size_t)s->set.top_k : s->n_tokens;
    if (!take_memory(s)) {
        qw_sampler_free(s);
        return qw_fail_memory(err, opt->n_tokens * sizeof(candidate), "the rows of a sampler");
    }
    if (s->n_bias)
        memcpy(s->bias, opt->bias, s->n_bias * sizeof *s->bias);
    qw_rng_seed(&s->rng, s->seed);
    *out = s;
    return QWREN_OK;
}

void qw_sampler_free(qw_sampler *s)
{
    if (!s)
        return;
    qw_free(s->bias);
    qw_free(s->row);
    qw_free(s->counts);
    qw_free(s->seen);
    qw_free(s->candidates);
    qw_free(s);
}

/* ---- history */

void qw_sampler_reset(qw_sampler *s)
{
    for (size_t i = 0; i < s->n_seen; i++)
        s->counts[s->seen[i]] = 0;
    s->n_seen = 0;
    qw_rng_seed(&s->rng, s->seed);
}

/* False for an id that can never be picked. */
static bool see(qw_sampler *s, int32_t id)
{
    if (id < 0 || (size_t)id >= s->n_tokens)
        return false;
    if (s->counts[id] == 0) {
        s->counts[id] = 1;
        s->seen[s->n_seen++] = id;
    }
    return true;
}

void qw_sampler_note_prompt(qw_sampler *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        see(s, ids[i]);
}

void qw_sampler_accept(qw_sampler *s, int32_t id)
{
    if (see(s, id) && s->counts[id] < UINT32_MAX)
        s->counts[id]++;
}

/* ---- stages that change logits */

/* Sums and products stay finite; minus infinity stays what it is. */
static float to_logit(double x)
{
    if (x > FLT_MAX)
        return FLT_MAX;
    if (x < -FLT_MAX)
        return x == -INFINITY ? -INFINITY : -FLT_MAX;
    return (float)x;
}

/* NaN and +infinity are the two that fail the comparison. */
static qwren_status check_row(const float *x, size_t n, qwren_status code, const char *why, qwren_error *err)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) /* without a branch: 16 logits at a time */
        bad |= !(x[i] <= FLT_MAX);
    for (size_t i = 0; bad && i < n; i++)
        if (!(x[i] <= FLT_MAX))
            return qw_fail(err, code, "the logit of id %zu is %s: %s", i, isnan(x[i]) ? "NaN" : "infinite", why);
    return QWREN_OK;
}

static void add_bias(qw_sampler *s)
{
    for (size_t i = 0; i < s->n_bias; i++) {
        size_t id = (size_t)s->bias[i].id;
        if (id < s->n_tokens)
            s->row[id] = to_logit((double)s->row[id] + s->bias[i].bias);
    }
}

static void penalize(qw_sampler *s)
{
    double repetition = s->set.repetition_penalty;
    for (size_t i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        double x = s->row[id];
        uint32_t generated = s->counts[id] - 1;
        x = x < 0 ? x * repetition : x / repetition;
        if (generated)
            x -= s->set.presence_penalty + s->set.frequency_penalty * generated;
        s->row[id] = to_logit(x);
    }
}

/* Also finds what is no logit, in rows and in the largest ones of their blocks. */
static qwren_status check_logits(const qw_sampler *s, const float *logits, const float *maxima, qwren_error *err)
{
    static const char why[] = "the weights of the model are damaged, fetch them again";
    const size_t n_blocks = (s->n_vocab + QW_SAMPLER_BLOCK - 1) / QW_SAMPLER_BLOCK;
    if (maxima && check_row(maxima, n_blocks, QWREN_E_FORMAT, why, NULL) == QWREN_OK)
        return QWREN_OK;
    return check_row(logits, s->n_vocab, QWREN_E_FORMAT, why, err);
}

static qwren_status shape_row(qw_sampler *s, const float *logits, qwren_error *err)
{
    memcpy(s->row, logits, s->n_tokens * sizeof *s->row);
    add_bias(s);
    penalize(s);
    if (!s->mask)
        return QWREN_OK;
    s->mask(s->mask_ctx, s->row, s->n_tokens);
    return check_row(s->row, s->n_tokens, QWREN_E_ARGUMENT, "a mask may only forbid ids", err);
}

/* The same where penalties alone change logits: of ids that were seen. */
static void shape_seen(qw_sampler *s, const float *logits)
{
    for (size_t i = 0; i < s->n_seen; i++)
        s->row[s->seen[i]] = logits[s->seen[i]];
    penalize(s);
}

/* ---- heaps of candidates */

typedef bool (*before_fn)(const candidate *a, const candidate *b);

static bool better(const candidate *a, const candidate *b) { return a->logit > b->logit || (a->logit == b->logit && a->id < b->id); }
static bool worse(const candidate *a, const candidate *b) { return better(b, a); }

/* Lets element i sink until none of its children comes before it. */
static inline void sink(candidate *heap, size_t n, size_t i, before_fn before)
{
    candidate moving = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static inline void make_heap(candidate *c, size_t n, before_fn before)
{
    for (size_t i = n / 2; i-- > 0;)
        sink(c, n, i, before);
}

/* ---- stages that leave ids out; each returns how many remain */

/* The k best ids that are not forbidden. Ids come in rising order, so one that ties with the worst of the heap is never better. */
static size_t keep_top_k(const qw_sampler *s, size_t k)
{
    candidate *c = s->candidates;
    size_t n = 0, i = 0;
    for (; i < s->n_tokens && n < k; i++)
        if (s->row[i] > -INFINITY)
            c[n++] = (candidate){ .id = (int32_t)i, .logit = s->row[i] };
    if (i == s->n_tokens)
        return n;
    make_heap(c, n, worse);
    for (; i < s->n_tokens; i++)
        if (s->row[i] > c[0].logit) {
            c[0] = (candidate){ .id = (int32_t)i, .logit = s->row[i] };
            sink(c, n, 0, worse);
        }
    return n;
}

/* One more id for a heap of the k best, the worst of them first. */
static inline void offer(candidate *heap, size_t *n, size_t k, int32_t id, float logit)
{
    const candidate c = { .id = id, .logit = logit };
    if (!(logit > -INFINITY) || (*n == k && !better(&c, &heap[0])))
        return;
    if (*n < k) {
        heap[(*n)++] = c;
        if (*n == k)
            make_heap(heap, k, worse);
    } else {
        heap[0] = c;
        sink(heap, k, 0, worse);
    }
}

/* The ids of a block that were not seen; nothing when none of them can be among the best. */
static void offer_block(const qw_sampler *s, const float *logits, const float *maxima, size_t block, size_t *n, size_t k)
{
    candidate *heap = s->candidates;
    const size_t begin = block * QW_SAMPLER_BLOCK, end = begin + QW_SAMPLER_BLOCK < s->n_tokens ? begin + QW_SAMPLER_BLOCK : s->n_tokens;
    if (*n == k && maxima[block] < heap[0].logit)
        return;
    for (size_t i = begin; i < end; i++)
        if (*n < k || logits[i] >= heap[0].logit)
            if (!s->counts[i])
                offer(heap, n, k, (int32_t)i, logits[i]);
}

/* The k-th largest of `maxima`, or -infinity when there are not so many: no block below it can matter as long as ids keep the logits that they have. */
static float threshold(qw_sampler *s, const float *maxima, size_t n_blocks, size_t k)
{
    size_t n = 0;
    for (size_t b = 0; b < n_blocks; b++)
        offer(s->candidates, &n, k, (int32_t)b, maxima[b]);
    return n == k ? s->candidates[0].logit : -INFINITY;
}

/* keep_top_k without a row: first the blocks with the largest logits, so that few of the others can add anything. */
static size_t keep_top_k_of_blocks(qw_sampler *s, const float *logits, const float *maxima, size_t k)
{
    const size_t n_blocks = (s->n_tokens + QW_SAMPLER_BLOCK - 1) / QW_SAMPLER_BLOCK;
    const float likely = threshold(s, maxima, n_blocks, k);
    size_t n = 0;
    for (size_t i = 0; i < s->n_seen; i++)
        offer(s->candidates, &n, k, s->seen[i], s->row[s->seen[i]]);
    for (size_t b = 0; b < n_blocks; b++)
        if (maxima[b] >= likely)
            offer_block(s, logits, maxima, b, &n, k);
    for (size_t b = 0; b < n_blocks; b++)
        if (maxima[b] < likely)
            offer_block(s, logits, maxima, b, &n, k);
    return n;
}

static void weigh(candidate *c, size_t n, double temperature)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        best = c[i].logit > best ? c[i].logit : best;
    for (size_t i = 0; i < n; i++)
        c[i].weight = exp(((double)c[i].logit - best) / temperature);
}

static double total_weight(const candidate *c, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += c[i].weight;
    return sum;
}

static size_t keep_weight(candidate *c, size_t n, double least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].weight >= least)
            c[kept++] = c[i];
    return kept;
}

/* The fewest best ids whose probabilities reach top_p, one at least. Moves them to the front. All ids below half of the average share of what may be
 * left out weigh too little, even together, to be needed: they never reach the heap. */
static size_t keep_top_p(candidate *c, size_t n, double top_p)
{
    double total = total_weight(c, n), sum = 0;
    n = keep_weight(c, n, (1 - top_p) * total / (double)n / 2);
    make_heap(c, n, better);
    size_t left = n;
    do { /* the best goes to the end of the array */
        candidate best = c[0];
        c[0] = c[--left];
        sink(c, left, 0, better);
        c[left] = best;
        sum += best.weight;
    } while (left && sum < top_p * total);
    memmove(c, c + left, (n - left) * sizeof *c);
    return n - left;
}

#define NARROW 1024 /* the most that blocks are searched for */

/* The whole way from a row of logits to the ids that may be drawn. */
static qwren_status filter(qw_sampler *s, const float *logits, const float *maxima, size_t *n, qwren_error *err)
{
    QW_TRY(check_logits(s, logits, maxima, err));
    if (maxima && !s->n_bias && !s->mask && s->max_candidates <= NARROW) {
        shape_seen(s, logits);
        *n = keep_top_k_of_blocks(s, logits, maxima, s->max_candidates);
    } else {
        QW_TRY(shape_row(s, logits, err));
        *n = keep_top_k(s, s->max_candidates);
    }
    if (*n == 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "no id may follow: logit_bias, the mask or the model forbid every one of %zu", s->n_tokens);
    weigh(s->candidates, *n, s->set.temperature);
    if (s->set.top_p < 1)
        *n = keep_top_p(s->candidates, *n, s->set.top_p);
    *n = keep_weight(s->candidates, *n, s->set.min_p);
    return QWREN_OK;
}

/* ---- draw */

/* A number below the total always finds an id, for the sum below passes through the same values as the total; an id without weight is never hit. */
static int32_t draw(qw_rng *rng, const candidate *c, size_t n)
{
    double target = qw_rng_double(rng) * total_weight(c, n), sum = 0;
    size_t i = 0;
    for (; i + 1 < n; i++)
        if ((sum += c[i].weight) > target)
            break;
    return c[i].id;
}

qwren_status qw_sampler_pick(qw_sampler *s, const float *logits, const float *maxima, int32_t *id, qwren_error *err)
{
    size_t n;
    *id = -1;
    QW_TRY(filter(s, logits, maxima, &n, err));
    *id = draw(&s->rng, s->candidates, n);
    return QWREN_OK;
}

qwren_status qw_sampler_distribution(qw_sampler *s, const float *logits, const float *maxima, int32_t *ids, double *probabilities,
                                     size_t *n, qwren_error *err)
{
    *n = 0;
    QW_TRY(filter(s, logits, maxima, n, err));
    double total = total_weight(s->candidates, *n);
    for (size_t i = 0; i < *n; i++) {
        ids[i] = s->candidates[i].id;
        probabilities[i] = s->candidates[i].weight / total;
    }
    return QWREN_OK;
}
