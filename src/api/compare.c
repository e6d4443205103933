/* qwren_eval_compare: several models beside a base, over the same tokens, chunk by chunk; of every position only a few numbers are kept. The measure itself is
 * runtime/divergence.c. Tested by tests/unit/test_eval.c. */
#include "api/eval.h"
#include "api/options.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "convert/bundled.h"
#include "runtime/divergence.h"

#include <stdio.h>
#include <string.h>

enum { KIND_TEXT = 1, KIND_PICTURE = 2, KIND_ANSWER = 4 };

/* A model that is compared. */
typedef struct rival {
    qw_reader reader;
    qw_point *points; /* one for each position that counts */
    size_t n, room;
} rival;

typedef struct comparison {
    qwren_eval_options opt;
    qw_reader base;
    rival *rivals;
    size_t n_rivals, n_lines, n_tokens;
    bool no_pictures; /* lines with pictures are passed over */
} comparison;

qwren_eval_options qwren_eval_options_default(void) { return (qwren_eval_options){ .struct_size = sizeof(qwren_eval_options) }; }

/* ---- the models */

/* Pictures are cut as base cuts them. */
static bool same_patches(const qw_vision_config *a, const qw_vision_config *b)
{
    return a->patch_size == b->patch_size && a->merge_size == b->merge_size && a->temporal_patch_size == b->temporal_patch_size;
}

/* The same ids must mean the same tokens. Which of the added ones are special is not asked: makers of GGUF files differ in it, and no number here depends on it. */
static bool same_tokens(const qwren_tokenizer *a, const qwren_tokenizer *b)
{
    int32_t n = qwren_token_count(a);
    if (qwren_token_count(b) != n)
        return false;
    for (int32_t id = 0; id < n; id++) {
        size_t len = 0, other = 0;
        const char *x = qw_tokenizer_bytes(a->vocabulary, id, &len), *y = qw_tokenizer_bytes(b->vocabulary, id, &other);
        if (len != other || memcmp(x, y, len) != 0 || qw_tokenizer_is_added(a->vocabulary, id) != qw_tokenizer_is_added(b->vocabulary, id))
            return false;
    }
    return true;
}

static qwren_status check_rival(const qwren_model *base, const qwren_model *m, qwren_error *err)
{
    const qw_config *a = &base->core.config, *b = &m->core.config;
    if (b->text.vocab_size < qwren_token_count(base->tokenizer) || (m->tokenizer && !same_tokens(base->tokenizer, m->tokenizer)))
        return qw_fail(err, QWREN_E_ARGUMENT, "%s has other tokens than %s: they are no versions of one model", m->path, base->path);
    if (a->text.hidden_size != b->text.hidden_size ||
        (base->core.has_vision && m->core.has_vision && !same_patches(&a->vision, &b->vision)))
        return qw_fail(err, QWREN_E_ARGUMENT, "%s has other shapes than %s: they are no versions of one model", m->path, base->path);
    return QWREN_OK;
}

static qwren_status comparison_init(comparison *c, const qwren_model *base, const qwren_model *const *models, size_t n, qwren_error *err)
{
    if (!n || !models)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_eval_compare: no model is given to compare with %s", base->path);
    if (!base->tokenizer)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened without its tokenizer; open it with it to read text", base->path);
    c->rivals = qw_calloc(n, sizeof *c->rivals);
    if (!c->rivals)
        return qw_fail_memory(err, n * sizeof *c->rivals, "models");
    c->n_tokens = (size_t)qwren_token_count(base->tokenizer);
    QW_TRY(qw_reader_init(&c->base, base, err));
    for (; c->n_rivals < n; c->n_rivals++) {
        QW_TRY(check_rival(base, models[c->n_rivals], err));
        QW_TRY(qw_reader_init(&c->rivals[c->n_rivals].reader, models[c->n_rivals], err));
        c->rivals[c->n_rivals].reader.kv_type = c->opt.kv_type;
    }
    return QWREN_OK;
}

static void comparison_deinit(comparison *c)
{
    qw_reader_deinit(&c->base);
    for (size_t i = 0; i < c->n_rivals; i++) {
        qw_reader_deinit(&c->rivals[i].reader);
        qw_free(c->rivals[i].points);
    }
    qw_free(c->rivals);
}

/* ---- one line */

static qwren_status open_line(comparison *c, const qw_sample *s, qwren_error *err)
{
    QW_TRY(qw_reader_open(&c->base, s, c->base.model, err));
    for (size_t i = 0; i < c->n_rivals; i++)
        QW_TRY(qw_reader_open(&c->rivals[i].reader, s, c->base.model, err));
    return QWREN_OK;
}

static qwren_status make_room(rival *r, qwren_error *err)
{
    if (r->n < r->room)
        return QWREN_OK;
    size_t room = r->room ? 2 * r->room : 1024;
    qw_point *points = qw_realloc_array(r->points, room, sizeof *points);
    if (!points)
        return qw_fail_memory(err, room * sizeof *points, "the measured positions");
    r->points = points;
    r->room = room;
    return QWREN_OK;
}

static qwren_status measure(const comparison *c, rival *r, size_t row, unsigned kinds, qwren_error *err)
{
    const float *base = c->base.logits + row * (size_t)c->base.model->core.config.text.vocab_size;
    const float *other = r->reader.logits + row * (size_t)r->reader.model->core.config.text.vocab_size;
    qw_point point = { .sample = (uint32_t)c->n_lines, .kinds = (uint8_t)kinds };
    QW_TRY(make_room(r, err));
    if (!qw_point_measure(&point, base, other, c->n_tokens))
        return qw_fail(err, QWREN_E_FORMAT, "%s or %s answers with logits that are no numbers: its weights are damaged",
                       r->reader.model->path, c->base.model->path);
    r->points[r->n++] = point;
    return QWREN_OK;
}

/* Whether what stands behind position t is foreseen by the models at all: not a picture, and nothing follows an answer. */
static bool counts(const qw_timeline *t, size_t at, size_t n_context)
{
    if (at + 1 == t->n)
        return n_context == t->n;
    for (size_t i = 0; i < t->n_spans; i++)
        if (t->spans[i].begin == at + 1)
            return false;
    return true;
}

/* Text tokens [first, end), whose logits are there. */
static qwren_status measure_chunk(comparison *c, size_t first, size_t end, size_t n_context, qwren_error *err)
{
    const qw_timeline *t = &c->base.timeline;
    unsigned kind = t->n_spans ? KIND_PICTURE : KIND_TEXT;
    for (size_t at = first; at < end; at++) {
        if (!counts(t, at, n_context))
            continue;
        for (size_t i = 0; i < c->n_rivals; i++)
            QW_TRY(measure(c, &c->rivals[i], at - first, kind | (at + 1 >= n_context && at + 1 < t->n ? KIND_ANSWER : 0u), err));
    }
    return QWREN_OK;
}

/* All models, chunk by chunk. */
static qwren_status read_through(comparison *c, size_t n_context, size_t done, size_t total, qwren_error *err)
{
    size_t picture = 0, n = c->base.timeline.n;
    for (size_t first = 0, end; first < n; first = end) {
        if (c->opt.progress && !c->opt.progress(c->opt.progress_ctx, "lines", done, total))
            return qw_fail(err, QWREN_E_CANCELLED, "cancelled after %zu of %zu lines", done, total);
        end = qw_reader_chunk(&c->base, first, &picture);
        QW_TRY(qw_reader_eval(&c->base, first, end, picture, err));
        for (size_t i = 0; i < c->n_rivals; i++)
            QW_TRY(qw_reader_eval(&c->rivals[i].reader, first, end, picture, err));
        if (picture == c->base.timeline.n_spans)
            QW_TRY(measure_chunk(c, first, end, n_context, err));
    }
    return QWREN_OK;
}

static qwren_status compare_line(comparison *c, const char *line, size_t len, size_t number, size_t total, qwren_error *err)
{
    qw_sample sample;
    char where[40];
    snprintf(where, sizeof where, "line %zu", number);
    qwren_status st = qw_sample_read(&sample, c->base.model, line, len, where, c->opt.load_image, c->opt.load_ctx, err);
    if (st == QWREN_OK)
        st = open_line(c, &sample, err);
    if (st == QWREN_OK) /* pads before the answer have become more tokens */
        st = read_through(c, c->base.timeline.n - (sample.ids.n - sample.n_context), c->n_lines, total, err);
    qw_sample_deinit(&sample);
    c->n_lines++;
    return st;
}

/* ---- all lines */

/* The next line that is compared on. The lines that are built in show their pictures under the key "image_url", and say that word nowhere else. */
static bool next_line(const comparison *c, const char **text, size_t *left, const char **line, size_t *len, size_t *number)
{
    static const char key[] = "\"image_url\"";
    while (qw_sample_next(text, left, line, len, number)) {
        bool pictures = false;
        for (size_t i = 0; c->no_pictures && !pictures && i + sizeof key - 1 <= *len; i++)
            pictures = memcmp(*line + i, key, sizeof key - 1) == 0;
        if (!pictures)
            return true;
    }
    return false;
}

/* Whether line i of n, from 0, is among the `most` that are spread over all: those in the middle of equal parts. */
static bool is_taken(size_t i, size_t n, size_t taken, size_t most)
{
    return most >= n || (taken < most && i == (size_t)((2 * (double)taken + 1) * (double)n / (2 * (double)most)));
}

static qwren_status compare_lines(comparison *c, const char *lines, size_t len, qwren_error *err)
{
    const char *line = NULL, *text = lines;
    size_t left = len, n = 0, number = 0, found = 0, total = 0;
    while (next_line(c, &text, &left, &line, &n, &number))
        found++;
    if (!found)
        return qw_fail(err, QWREN_E_ARGUMENT, "there are no lines to compare on; give requests or {\"text\": ...}, one a line");
    total = c->opt.max_lines && c->opt.max_lines < found ? c->opt.max_lines : found;
    text = lines, left = len, number = 0;
    for (size_t i = 0; next_line(c, &text, &left, &line, &n, &number); i++)
        if (is_taken(i, found, c->n_lines, total))
            QW_TRY(compare_line(c, line, n, number, total, err));
    if (c->opt.progress)
        c->opt.progress(c->opt.progress_ctx, "lines", total, total);
    return QWREN_OK;
}

static qwren_status summarize(const comparison *c, qwren_comparison *out, qwren_error *err)
{
    for (size_t i = 0; i < c->n_rivals; i++) {
        const rival *r = &c->rivals[i];
        out[i].n_lines = c->n_lines;
        QW_TRY(qw_points_summarize(r->points, r->n, KIND_TEXT | KIND_PICTURE, &out[i].all, err));
        QW_TRY(qw_points_summarize(r->points, r->n, KIND_TEXT, &out[i].text, err));
        QW_TRY(qw_points_summarize(r->points, r->n, KIND_PICTURE, &out[i].pictures, err));
        QW_TRY(qw_points_summarize(r->points, r->n, KIND_ANSWER, &out[i].answers, err));
    }
    return QWREN_OK;
}

qwren_status qwren_eval_compare(const qwren_model *base, const qwren_model *const *models, size_t n_models, const char *lines, size_t len,
                                const qwren_eval_options *opt, qwren_comparison *out, qwren_error *err)
{
    comparison c = { .opt = qwren_eval_options_default() };
    for (size_t i = 0; i < n_models; i++)
        out[i] = (qwren_comparison){ 0 };
    QW_TRY(qw_options_read(&c.opt, sizeof c.opt, opt, "qwren_eval_options", err));
    QW_TRY(qw_kv_type_check(c.opt.kv_type, err));
    c.no_pictures = !lines && !base->core.has_vision;
    if (!lines)
        lines = qw_evaluation_default(&len);
    len = len == SIZE_MAX ? strlen(lines) : len;
    qwren_status st = comparison_init(&c, base, models, n_models, err);
    if (st == QWREN_OK)
        st = compare_lines(&c, lines, len, err);
    if (st == QWREN_OK)
        st = summarize(&c, out, err);
    for (size_t i = 0; st != QWREN_OK && i < n_models; i++)
        out[i] = (qwren_comparison){ 0 };
    comparison_deinit(&c);
    return st;
}
