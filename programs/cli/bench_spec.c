/* qwren bench --spec: guessing ahead (bench.h). What it costs can be measured with any model, how often drafts are right only with one that
 * says something: qwren-nano, or any other that can chat, answers the bundled tasks without and with it, in turns, so that what disturbs
 * the machine disturbs all alike. Tested by tests/cli/bench_spec.sh. */
#include "bench.h"
#include "eval.h"
#include "images.h"
#include "interrupt.h"
#include "models.h"
#include "progress.h"
#include "table.h"

#include "base/alloc.h"
#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 16 /* of a pass */
#define SAMPLES BENCH_MOST_REPEATS
#define DEPTH 512
#define TASKS_A_ROUND 26 /* --repeat times as many are answered */

/* ---- what it costs */

typedef struct costs {
    double pass_s[ROWS + 1], draft_s; /* medians; draft_s NAN: the model has no prediction head */
} costs;

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *samples, size_t n)
{
    qsort(samples, n, sizeof *samples, compare);
    return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

static qwren_status make_session(const bench *b, qwren_session **out, qwren_spec spec, size_t n_ctx, qwren_error *err)
{
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = n_ctx;
    opt.kv_type = cli_kv_type(b->args);
    opt.spec = spec;
    return qwren_session_create(out, b->model, &opt, err);
}

/* Passes of all lengths, one after the other, again and again. */
static qwren_status sample_costs(const bench *b, costs *c, qwren_session *s, double (*samples)[SAMPLES], qwren_error *err)
{
    int32_t ids[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        ids[i] = (int32_t)((unsigned)i * 7919 % ((unsigned)qwren_model_get_info(b->model)->vocab_size / 2 + 1));
    QW_TRY(qwren_session_eval(s, ids, DEPTH, NULL, 0, NULL, NULL, err));
    for (size_t k = 0; k <= b->repeats; k++) /* the first time warms up, and is overwritten */
        for (size_t n = 1; n <= ROWS; n++) {
            if (!cli_progress(NULL, "passes", k * ROWS + n, (b->repeats + 1) * ROWS))
                return qw_fail(err, QWREN_E_CANCELLED, "stopped while measuring passes");
            const size_t at = k ? k - 1 : 0;
            QW_TRY(qwren_session_measure_ahead(s, n, &samples[n][at], &samples[0][at], err));
        }
    for (size_t n = 1; n <= ROWS; n++)
        c->pass_s[n] = median(samples[n], b->repeats);
    c->draft_s = median(samples[0], b->repeats);
    return QWREN_OK;
}

static qwren_status measure_costs(const bench *b, costs *c, qwren_error *err)
{
    double(*samples)[SAMPLES] = qw_calloc(ROWS + 1, sizeof *samples);
    qwren_session *s = NULL;
    qwren_status st = samples ? make_session(b, &s, QWREN_SPEC_AUTO, DEPTH + ROWS, err) : qw_fail_memory(err, sizeof *samples, "samples");
    if (st == QWREN_OK)
        st = sample_costs(b, c, s, samples, err);
    qwren_session_free(s);
    qw_free(samples);
    return st;
}

/* Tokens a second of rounds with k drafts, of which each is right with probability p, over those without drafts. */
static double speed_up(const costs *c, double p, size_t k)
{
    double tokens = 1, chance = 1;
    for (size_t i = 0; i < k; i++)
        tokens += chance *= p;
    return tokens * c->pass_s[1] / (c->pass_s[k + 1] + (double)k * c->draft_s);
}

/* ---- what comes of it */

typedef struct way {
    const char *name;
    qwren_spec spec;
    qwren_session *session;
    size_t tokens;
    double seconds;
    qwren_stats sum; /* of passes and drafts */
} way;

typedef struct tasks {
    way ways[4];
    size_t n_ways, n; /* requests that were answered */
    cli_rows requests;
} tasks;

static qwren_status read_requests(tasks *t, qwren_error *err)
{
    char *dir = NULL, *path = NULL;
    QW_TRY(cli_exam_path(&dir, err));
    path = qw_path_join(dir, "requests.jsonl");
    qw_free(dir);
    if (!path)
        return qw_fail_memory(err, 1, "a path");
    qwren_status st = cli_rows_read(&t->requests, path, err);
    qw_free(path);
    return st;
}

static void add_drafts(qwren_draft_stats *sum, const qwren_draft_stats *d)
{
    sum->drafted += d->drafted;
    sum->accepted += d->accepted;
    for (int i = 0; i < QWREN_DRAFT_PLACES; i++) {
        sum->checked_at[i] += d->checked_at[i];
        sum->accepted_at[i] += d->accepted_at[i];
    }
}

static bool go_on(void *ctx, const qwren_event *event)
{
    (void)ctx, (void)event;
    return !cli_interrupted();
}

static qwren_status answer(way *w, const char *request, qwren_error *err)
{
    qwren_chat_options opt = qwren_chat_options_default();
    qwren_result *r = NULL;
    cli_images none = { 0 };
    opt.greedy = true;
    opt.on_event = go_on;
    opt.load_image = cli_images_load;
    opt.load_ctx = &none;
    QW_TRY(qwren_chat(w->session, request, &opt, &r, err));
    const qwren_stats *s = qwren_result_stats(r);
    w->tokens += s->completion_tokens;
    w->seconds += s->decode_s;
    w->sum.decode_passes += s->decode_passes;
    add_drafts(&w->sum.mtp, &s->mtp);
    add_drafts(&w->sum.lookup, &s->lookup);
    qwren_result_free(r);
    return QWREN_OK;
}

/* One request by all ways; each time another one begins. */
static qwren_status ask_all(tasks *t, const qw_json *request, qwren_error *err)
{
    qw_buf text = QW_BUF_INIT;
    qw_json_dump(&text, request);
    qwren_status st = qw_buf_status(&text, err);
    for (size_t i = 0; st == QWREN_OK && i < t->n_ways; i++)
        st = answer(&t->ways[(t->n + i) % t->n_ways], qw_buf_text(&text), err);
    qw_buf_free(&text);
    t->n++;
    return st;
}

static qwren_status answer_tasks(bench *b, tasks *t, qwren_error *err)
{
    const way all[] = { { "off", QWREN_SPEC_OFF, .tokens = 0 },
                        { "lookup", QWREN_SPEC_LOOKUP, .tokens = 0 },
                        { "auto", QWREN_SPEC_AUTO, .tokens = 0 },
                        { "mtp", QWREN_SPEC_MTP, .tokens = 0 } };
    const size_t most = TASKS_A_ROUND * b->repeats;
    t->n_ways = qwren_model_get_info(b->model)->has_mtp ? 4 : 3;
    QW_TRY(read_requests(t, err));
    for (size_t i = 0; i < t->n_ways; i++) {
        t->ways[i] = all[i];
        QW_TRY(make_session(b, &t->ways[i].session, all[i].spec, 2048, err));
    }
    const size_t n = most < t->requests.n ? most : t->requests.n;
    for (size_t i = 0; i < n; i++) { /* spread evenly */
        if (!cli_progress(NULL, "tasks", i + 1, n))
            return qw_fail(err, QWREN_E_CANCELLED, "stopped while answering");
        QW_TRY(ask_all(t, t->requests.rows[i * t->requests.n / n], err));
    }
    return QWREN_OK;
}

static void put_away(tasks *t)
{
    for (size_t i = 0; i < t->n_ways; i++)
        qwren_session_free(t->ways[i].session);
    cli_rows_free(&t->requests);
}

/* ---- telling */

static double rate(const way *w) { return (double)w->tokens / w->seconds; }

static void put_text_costs(qw_buf *out, const costs *c)
{
    cli_put_row(out, "verifying");
    qw_buf_printf(out, "a pass of 1 token %.3f ms;", 1e3 * c->pass_s[1]);
    for (size_t n = 2; n <= ROWS; n += n < 5 ? 1 : n == 5 ? 3 : 8)
        qw_buf_printf(out, " %zu: x %.2f%s", n, c->pass_s[n] / c->pass_s[1], n == ROWS ? "\n" : ",");
    if (isnan(c->draft_s))
        return;
    cli_put_row(out, "drafting");
    qw_buf_printf(out, "a draft of the prediction head %.3f ms: x %.2f\n", 1e3 * c->draft_s, c->draft_s / c->pass_s[1]);
    cli_put_row(out, "so");
    qw_buf_puts(
        out, "the head makes answers so many times as fast, if drafts were right with the given probability (computed, not measured):\n");
    for (double p = 0.5; p < 0.95; p += 0.1) {
        cli_put_row(out, "");
        qw_buf_printf(out, "%.0f %%:", 100 * p);
        for (size_t k = 1; k <= 4; k++)
            qw_buf_printf(out, "  %.2f with %zu", speed_up(c, p, k), k);
        qw_buf_putc(out, '\n');
    }
}

static void put_text_drafts(qw_buf *out, const char *name, const qwren_draft_stats *d)
{
    if (!d->drafted)
        return;
    cli_put_row(out, "");
    qw_buf_printf(out, "  %s: %zu of %zu right; by place", name, d->accepted, d->drafted);
    for (int i = 0; i < QWREN_DRAFT_PLACES && d->checked_at[i]; i++)
        qw_buf_printf(out, " %.1f %%", 100 * (double)d->accepted_at[i] / (double)d->checked_at[i]);
    qw_buf_putc(out, '\n');
}

static void put_text_tasks(qw_buf *out, const tasks *t)
{
    cli_put_row(out, "tasks");
    qw_buf_printf(out, "%zu of the bundled ones, answered by each way in turn\n", t->n);
    for (size_t i = 0; i < t->n_ways; i++) {
        const way *w = &t->ways[i];
        cli_put_row(out, w->name);
        qw_buf_printf(out, "%.1f tokens/s, x %.2f", rate(w), rate(w) / rate(&t->ways[0]));
        if (w->sum.decode_passes)
            qw_buf_printf(out, "; %zu tokens in %zu passes", w->tokens, w->sum.decode_passes);
        qw_buf_putc(out, '\n');
        put_text_drafts(out, "prediction head", &w->sum.mtp);
        put_text_drafts(out, "lookup", &w->sum.lookup);
    }
}

static void put_json_drafts(qw_buf *out, const char *name, const qwren_draft_stats *d)
{
    qw_buf_printf(out, ", \"%s\": {\"drafted\": %zu, \"accepted\": %zu, \"acceptance_by_place\": [", name, d->drafted, d->accepted);
    for (int i = 0; i < QWREN_DRAFT_PLACES && d->checked_at[i]; i++)
        qw_buf_printf(out, "%s%.4f", i ? ", " : "", (double)d->accepted_at[i] / (double)d->checked_at[i]);
    qw_buf_puts(out, "]}");
}

static void put_json(qw_buf *out, const costs *c, const tasks *t)
{
    qw_buf_puts(out, "{\"pass_s\": [");
    for (size_t n = 1; n <= ROWS; n++)
        qw_buf_printf(out, "%s%.9g", n > 1 ? ", " : "", c->pass_s[n]);
    qw_buf_puts(out, "], \"draft_s\": ");
    if (isnan(c->draft_s))
        qw_buf_puts(out, "null");
    else
        qw_buf_printf(out, "%.9g", c->draft_s);
    qw_buf_printf(out, ", \"tasks\": %zu, \"ways\": [", t->n);
    for (size_t i = 0; i < t->n_ways && t->n; i++) {
        const way *w = &t->ways[i];
        qw_buf_printf(out, "%s{\"spec\": \"%s\", \"tokens\": %zu, \"decode_s\": %.9g, \"speed_up\": %.4f, \"passes\": %zu", i ? ", " : "",
                      w->name, w->tokens, w->seconds, rate(w) / rate(&t->ways[0]), w->sum.decode_passes);
        put_json_drafts(out, "mtp", &w->sum.mtp);
        put_json_drafts(out, "lookup", &w->sum.lookup);
        qw_buf_putc(out, '}');
    }
    qw_buf_puts(out, "]}\n");
}

qwren_status bench_spec(qw_buf *out, bench *b, qwren_error *err)
{
    costs c = { 0 };
    tasks t = { .n_ways = 0 };
    qwren_status st = measure_costs(b, &c, err);
    if (st == QWREN_OK && qwren_model_tokenizer(b->model))
        st = answer_tasks(b, &t, err);
    if (st == QWREN_OK && cli_has(b->args, OPT_JSON))
        put_json(out, &c, &t);
    else if (st == QWREN_OK) {
        put_text_costs(out, &c);
        if (t.n)
            put_text_tasks(out, &t);
    }
    put_away(&t);
    return st;
}
