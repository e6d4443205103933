/* The measurements of qwren bench (bench.h): each once to warm up, then as often as is wanted. Tested by tests/cli/bench.sh. */
#include "bench.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "interrupt.h"
#include "models.h"
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BATCH 256
#define WARM_TOKENS 4 /* decoded before the samples begin */

/* ---- what all share */

/* Ids that are ordinary tokens in every vocabulary: added ones, pictures' among them, stand at its end. */
static void draw_ids(const bench *b, int32_t *ids, size_t n, uint64_t seed)
{
    const uint32_t half = (uint32_t)qwren_model_get_info(b->model)->vocab_size / 2 + 1;
    qw_rng rng;
    qw_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(qw_rng_u32(&rng) % half);
}

static qwren_status tell(const bench *b, const char *what, size_t done, size_t total, qwren_error *err)
{
    (void)b;
    return cli_progress(NULL, what, done, total) ? QWREN_OK : qw_fail(err, QWREN_E_CANCELLED, "stopped while measuring %s", what);
}

static bench_row *new_row(bench *b, bench_kind kind)
{
    bench_row *r = &b->rows[b->n_rows]; /* n_rows is moved on when it is whole */
    *r = (bench_row){ .kind = kind, .batch = 1, .joules = 0 };
    return r;
}

/* Runs `once` `repeats` times, with its time and energy. */
typedef qwren_status (*once_fn)(void *ctx, qwren_error *err);

static void take_profile(const bench *b, bench_row *r)
{
    qwren_profile_entry e;
    for (size_t i = 0; i < BENCH_KINDS && qwren_model_get_profile(b->model, i, &e); i++) {
        r->spent[i] = e.seconds / (double)r->n;
        r->calls[i] = e.calls / r->n;
    }
}

static qwren_status sample(bench *b, bench_row *r, const char *what, once_fn once, void *ctx, qwren_error *err)
{
    qwren_model_profile(b->model, b->profile);
    for (r->n = 0; r->n < b->repeats; r->n++) {
        qw_energy_reading before, after;
        QW_TRY(tell(b, what, r->n + 1, b->repeats + 2, err));
        qw_energy_read(&b->energy, &before);
        const double start = qw_now_s();
        QW_TRY(once(ctx, err));
        r->samples[r->n] = qw_now_s() - start;
        qw_energy_read(&b->energy, &after);
        r->joules += qw_energy_between(&b->energy, &before, &after);
    }
    take_profile(b, r);
    qwren_model_profile(b->model, false);
    b->n_rows++;
    return tell(b, what, b->repeats + 2, b->repeats + 2, err);
}

static qwren_status new_session(bench *b, qwren_session **out, size_t n_ctx, size_t together, qwren_error *err)
{
    qwren_session_options opt = qwren_session_options_default();
    qwren_memory_info memory;
    *out = NULL;
    opt.n_ctx = n_ctx;
    opt.kv_type = cli_kv_type(b->args);
    opt.allow_overcommit = cli_has(b->args, OPT_OVERCOMMIT);
    QW_TRY(qwren_model_get_memory(b->model, n_ctx, opt.kv_type, &memory, err));
    if (memory.total_bytes * together > b->session_bytes)
        b->session_bytes = memory.total_bytes * together;
    return qwren_session_create(out, b->model, &opt, err);
}

/* ---- prompts */

typedef struct prompt_run {
    qwren_session *session;
    int32_t *ids;
    size_t n;
} prompt_run;

static qwren_status read_prompt(void *ctx, qwren_error *err)
{
    prompt_run *p = ctx;
    qwren_session_reset(p->session);
    return qwren_session_eval(p->session, p->ids, p->n, NULL, 0, NULL, NULL, err);
}

static qwren_status measure_prompt(bench *b, prompt_run *p, qwren_error *err)
{
    char what[32];
    qwren_token_cost cost;
    bench_row *r = new_row(b, BENCH_PREFILL);
    snprintf(what, sizeof what, "prompt of %zu", p->n);
    QW_TRY(tell(b, what, 0, b->repeats + 2, err));
    QW_TRY(qwren_model_get_token_cost(b->model, 0, cli_kv_type(b->args), &cost, err));
    r->tokens = p->n;
    r->ops = (double)cost.layer_ops * (double)p->n - (double)cost.last_ops * (double)(p->n - 1) + (double)cost.head_ops;
    r->is_float = cost.is_float || cli_arithmetic(b->args) == QWREN_ARITHMETIC_EXACT;
    draw_ids(b, p->ids, p->n, p->n);
    const double start = qw_now_s();
    QW_TRY(read_prompt(p, err));
    r->first_s = qw_now_s() - start;
    return sample(b, r, what, read_prompt, p, err);
}

static qwren_status run_prompt(bench *b, size_t n, qwren_error *err)
{
    prompt_run p = { .ids = qw_alloc_array(n, sizeof *p.ids), .n = n };
    qwren_status st = p.ids ? new_session(b, &p.session, n, 1, err) : qw_fail_memory(err, n * sizeof *p.ids, "a prompt");
    if (st == QWREN_OK)
        st = measure_prompt(b, &p, err);
    qwren_session_free(p.session);
    qw_free(p.ids);
    return st;
}

/* ---- decoding */

typedef struct decode_run {
    const bench *b;
    qwren_session *sessions[MOST_BATCH];
    size_t batch, n, depth;
    uint64_t seed;
} decode_run;

static qwren_status decode(decode_run *d, size_t n, qwren_error *err)
{
    int32_t ids[MOST_BATCH];
    for (size_t i = 0; i < n; i++) {
        draw_ids(d->b, ids, d->batch, d->seed++);
        QW_TRY(qwren_session_step_many(d->sessions, ids, d->batch, err));
    }
    return QWREN_OK;
}

/* Without a depth every sample begins anew; behind many tokens they follow each other, for computing those again would take minutes. */
static qwren_status decode_once(void *ctx, qwren_error *err)
{
    decode_run *d = ctx;
    for (size_t i = 0; !d->depth && i < d->batch; i++)
        qwren_session_reset(d->sessions[i]);
    return decode(d, d->n, err);
}

#define PIECE 1024 /* tokens of a depth between two looks at Ctrl-C; a multiple of those of a page */

static qwren_status fill_depth(bench *b, const decode_run *d, qwren_error *err)
{
    int32_t ids[PIECE];
    char what[48];
    /* what a made-up model remembers means nothing, so that it need not be computed */
    const size_t computed = cli_has(b->args, OPT_RANDOM) && d->depth > PIECE ? PIECE : d->depth;
    snprintf(what, sizeof what, "computing %zu tokens", computed);
    for (size_t s = 0; s < d->batch; s++) {
        for (size_t at = 0; at < computed; at += PIECE) {
            const size_t n = computed - at < PIECE ? computed - at : PIECE;
            QW_TRY(tell(b, what, s * computed + at, d->batch * computed, err));
            draw_ids(b, ids, n, s * d->depth + at);
            QW_TRY(qwren_session_eval(d->sessions[s], ids, n, NULL, 0, NULL, NULL, err));
        }
        if (computed < d->depth)
            QW_TRY(qwren_session_stretch(d->sessions[s], d->depth, err));
    }
    return tell(b, what, 1, 1, err);
}

static qwren_status measure_decode(bench *b, decode_run *d, qwren_error *err)
{
    const size_t warm = d->n < WARM_TOKENS ? d->n : WARM_TOKENS;
    char what[64];
    qwren_token_cost cost;
    for (size_t i = 0; i < d->batch; i++)
        QW_TRY(new_session(b, &d->sessions[i], d->depth ? d->depth + warm + b->repeats * d->n : d->n, d->batch, err));
    if (d->depth)
        QW_TRY(fill_depth(b, d, err));
    snprintf(what, sizeof what, "decoding %zu x %zu behind %zu", d->batch, d->n, d->depth);
    QW_TRY(tell(b, what, 0, b->repeats + 2, err));
    bench_row *r = new_row(b, BENCH_DECODE);
    r->tokens = d->n;
    r->depth = d->depth;
    r->batch = d->batch;
    const double start = qw_now_s();
    QW_TRY(decode(d, warm, err));
    r->first_s = qw_now_s() - start;
    QW_TRY(sample(b, r, what, decode_once, d, err));
    /* the middle one of all tokens that were decoded */
    const size_t middle = d->depth ? d->depth + warm + b->repeats * d->n / 2 : d->n / 2;
    QW_TRY(qwren_model_get_token_cost(b->model, middle, cli_kv_type(b->args), &cost, err));
    r->bytes = (double)d->n * ((double)cost.weight_bytes + (double)d->batch * (double)(cost.state_bytes + cost.cache_bytes));
    r->ops = (double)(d->n * d->batch) * (double)(cost.layer_ops + cost.head_ops);
    r->is_float = cost.is_float || cli_arithmetic(b->args) == QWREN_ARITHMETIC_EXACT;
    return QWREN_OK;
}

static qwren_status run_decode(bench *b, size_t depth, size_t batch, qwren_error *err)
{
    decode_run d = { .b = b, .batch = batch, .n = b->n_decode, .depth = depth };
    qwren_status st = measure_decode(b, &d, err);
    for (size_t i = 0; i < batch; i++)
        qwren_session_free(d.sessions[i]);
    return st;
}

/* ---- pictures */

typedef struct image_run {
    const qwren_model *model;
    qwren_image *image;
    size_t n_rows;
} image_run;

static qwren_status encode(void *ctx, qwren_error *err)
{
    image_run *i = ctx;
    float *rows;
    size_t len;
    QW_TRY(qwren_image_encode(i->model, i->image, cli_progress, NULL, &rows, &i->n_rows, &len, err));
    qwren_free(rows);
    return QWREN_OK;
}

/* Noise: no picture is easier than another. */
static qwren_status draw_image(qwren_image **out, size_t edge, qwren_error *err)
{
    const size_t n = edge * edge * 3;
    qw_rng rng;
    uint8_t *rgb = qw_malloc(n);
    *out = NULL;
    if (!rgb)
        return qw_fail_memory(err, n, "a picture");
    qw_rng_seed(&rng, edge);
    for (size_t i = 0; i < n; i++)
        rgb[i] = (uint8_t)(qw_rng_u32(&rng) >> 24);
    qwren_status st = qwren_image_from_rgb(out, rgb, (int)edge, (int)edge, 0, err);
    qw_free(rgb);
    return st;
}

/* The best of several: it is a small part, and a disturbed one would be taken from the tower's time. */
static qwren_status time_preparing(bench_row *r, const image_run *i, qwren_error *err)
{
    r->prepare_s = INFINITY;
    for (int k = 0; k < 4; k++) {
        float *patches;
        size_t len;
        int grid[3];
        const double start = qw_now_s();
        QW_TRY(qwren_image_preprocess(i->model, i->image, &patches, &r->patches, &len, grid, err));
        if (cli_interrupted()) {
            qwren_free(patches);
            return qw_fail(err, QWREN_E_CANCELLED, "stopped while preparing a picture");
        }
        r->prepare_s = fmin(r->prepare_s, qw_now_s() - start);
        qwren_free(patches);
    }
    return QWREN_OK;
}

static qwren_status measure_image(bench *b, image_run *i, size_t edge, qwren_error *err)
{
    char what[48];
    bench_row *r = new_row(b, BENCH_IMAGE);
    snprintf(what, sizeof what, "a picture of %zu x %zu", edge, edge);
    QW_TRY(tell(b, what, 0, b->repeats + 2, err));
    r->edge = edge;
    r->is_float = true;
    const double start = qw_now_s();
    QW_TRY(encode(i, err));
    r->first_s = qw_now_s() - start;
    QW_TRY(time_preparing(r, i, err));
    r->tokens = i->n_rows;
    r->ops = (double)qwren_model_get_image_ops(b->model, r->patches);
    return sample(b, r, what, encode, i, err);
}

static qwren_status run_image(bench *b, size_t edge, qwren_error *err)
{
    image_run i = { .model = b->model };
    QW_TRY(draw_image(&i.image, edge, err));
    qwren_status st = measure_image(b, &i, edge, err);
    qwren_image_free(i.image);
    return st;
}

/* ---- all of them */

qwren_status bench_run(bench *b, qwren_error *err)
{
    for (size_t i = 0; i < b->n_prompts; i++)
        if (b->prompts[i])
            QW_TRY(run_prompt(b, b->prompts[i], err));
    for (size_t i = 0; b->n_decode && i < b->n_depths; i++)
        for (size_t k = 0; k < (i ? 1 : b->n_batches); k++)
            QW_TRY(run_decode(b, b->depths[i], i ? 1 : b->batches[k], err));
    for (size_t i = 0; i < b->n_edges; i++)
        QW_TRY(run_image(b, b->edges[i], err));
    return QWREN_OK;
}

/* ---- what the samples say */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(const bench_row *r)
{
    double sorted[BENCH_MOST_REPEATS];
    memcpy(sorted, r->samples, r->n * sizeof *sorted);
    qsort(sorted, r->n, sizeof *sorted, compare_doubles);
    return r->n % 2 ? sorted[r->n / 2] : (sorted[r->n / 2 - 1] + sorted[r->n / 2]) / 2;
}

double bench_spread(const bench_row *r)
{
    const double median = bench_median(r);
    double most = 0;
    for (size_t i = 0; i < r->n; i++)
        most = fmax(most, fabs(r->samples[i] - median));
    return most / median;
}

double bench_rate(const bench_row *r) { return (double)(r->tokens * r->batch) / bench_median(r); }

double bench_read_share(const bench *b, const bench_row *r)
{
    return r->kind == BENCH_DECODE ? r->bytes / bench_median(r) / b->machine.read_bytes_per_s : (double)NAN;
}

double bench_peak_share(const bench *b, const bench_row *r)
{
    const double most = r->is_float ? b->machine.float_ops_per_s : b->machine.dot_ops_per_s;
    return r->ops / (bench_median(r) - r->prepare_s) / most;
}

double bench_mean(const bench_row *r)
{
    double sum = 0;
    for (size_t i = 0; i < r->n; i++)
        sum += r->samples[i];
    return sum / (double)r->n;
}

double bench_unexplained(const bench_row *r)
{
    double left = bench_mean(r) - r->prepare_s;
    for (size_t i = 0; i < BENCH_KINDS; i++)
        left -= r->spent[i];
    return left;
}
