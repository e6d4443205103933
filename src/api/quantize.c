/* qwren_quantize: opens the source, makes samples of the calibration's lines, and lets src/convert do the rest. Tested by
 * tests/unit/test_quantize.c. */
#include "api/options.h"
#include "api/sample.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "convert/bundled.h"
#include "convert/folder.h"
#include "convert/quantize.h"

#include <stdio.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)
#define LONGEST 512 /* tokens of a sample; what is beyond is left out */
/* Doctor's reference text: names of things, a sum, two scripts. */
#define CHECK_TEXT "The capital of France is Paris, 17 + 25 = 42, and \xE4\xBD\xA0\xE5\xA5\xBD means hello."
#define CHECK_TOKENS 24

qwren_quantize_options qwren_quantize_options_default(void)
{
    return (qwren_quantize_options){ .struct_size = sizeof(qwren_quantize_options) };
}

const char *qwren_quantize_recipe(size_t i, const char **about)
{
    const qw_recipe *r = qw_recipe_at(i);
    if (about)
        *about = r ? r->about : NULL;
    return r ? r->name : NULL;
}

/* One call's belongings. */
typedef struct work {
    qwren_quantize_options opt;
    qwren_model *model;
    char *file;    /* the calibration's text, when it comes from a file */
    size_t budget; /* tokens */
    qw_timeline *samples;
    qw_pictures *pictures; /* of each sample: they own the rows */
    size_t n, room, n_tokens;
    size_t n_unseen; /* samples with pictures that a model without a tower cannot see */
    qw_timeline check;
} work;

/* ---- samples */

static qwren_status grow(work *w, qwren_error *err)
{
    if (w->n < w->room)
        return QWREN_OK;
    const size_t room = w->room ? 2 * w->room : 64;
    qw_timeline *samples = qw_realloc_array(w->samples, room, sizeof *samples);
    if (samples)
        w->samples = samples;
    qw_pictures *pictures = qw_realloc_array(w->pictures, room, sizeof *pictures);
    if (pictures)
        w->pictures = pictures;
    if (!samples || !pictures)
        return qw_fail_memory(err, room * (sizeof *samples + sizeof *pictures), "calibration samples");
    w->room = room;
    return QWREN_OK;
}

/* At most n tokens of it; a picture is whole or not there, and what follows one that is not is left out too. */
static void cut(qw_timeline *t, size_t n)
{
    if (t->n > n)
        t->n = n;
    for (; t->n_spans; t->n_spans--) {
        const qw_image_span *last = &t->spans[t->n_spans - 1];
        if (last->begin + last->n <= t->n)
            return;
        if (last->begin < t->n)
            t->n = last->begin;
    }
}

static bool keep_looking(void *ctx, int step, const float *x, size_t n)
{
    const work *w = ctx;
    (void)step, (void)x, (void)n;
    return !w->opt.progress || w->opt.progress(w->opt.progress_ctx, "samples", w->n_tokens, w->budget);
}

static qwren_status see_pictures(work *w, qw_timeline *t, qw_pictures *p, qwren_error *err)
{
    const qw_vision_trace trace = { .fn = keep_looking, .ctx = w };
    for (size_t k = 0; k < t->n_spans; k++)
        QW_TRY(qw_pictures_see(p, &t->spans[k], &trace, err));
    return keep_looking(w, 0, NULL, 0) ? QWREN_OK : qw_fail(err, QWREN_E_CANCELLED, "cancelled while the calibration was read");
}

static qwren_status add_sample(work *w, const char *line, size_t len, const char *where, qwren_error *err)
{
    qw_sample s;
    QW_TRY(grow(w, err));
    w->pictures[w->n] = (qw_pictures){ 0 };
    w->samples[w->n] = (qw_timeline){ 0 };
    w->n++;
    qw_timeline *t = &w->samples[w->n - 1];
    qwren_status st = qw_sample_read(&s, w->model, line, len, where, NULL, NULL, err);
    const bool unseen = s.n_images && !w->model->core.has_vision;
    if (st == QWREN_OK && !unseen)
        st = qw_sample_lay_out(&s, w->model, &w->pictures[w->n - 1], t, err);
    qw_sample_deinit(&s);
    w->n_unseen += unseen;
    QW_TRY(st);
    const size_t left = w->budget - w->n_tokens;
    cut(t, left < LONGEST ? left : LONGEST);
    QW_TRY(see_pictures(w, t, &w->pictures[w->n - 1], err));
    w->n_tokens += t->n;
    if (!t->n) { /* unseen, or nothing but a picture that is too large */
        qw_timeline_deinit(t);
        qw_pictures_deinit(&w->pictures[--w->n]);
    }
    return QWREN_OK;
}

static qwren_status read_lines(work *w, const char *text, size_t left, const char *name, qwren_error *err)
{
    const char *line;
    size_t len, number = 0;
    char where[160];
    while (w->n_tokens < w->budget && qw_sample_next(&text, &left, &line, &len, &number)) {
        snprintf(where, sizeof where, "%.120s: line %zu", name, number);
        QW_TRY(add_sample(w, line, len, where, err));
    }
    if (w->n_unseen)
        qw_log(QWREN_LOG_INFO, "%s: %zu samples with pictures are left out: the model has no image tower", name, w->n_unseen);
    return w->n ? QWREN_OK : qw_fail(err, QWREN_E_ARGUMENT, "%s: has no line to calibrate with", name);
}

static void set_budget(work *w)
{
    const qw_config *c = &w->model->core.config;
    const size_t most = qw_calibration_most(c);
    w->budget = w->opt.calibration_tokens ? w->opt.calibration_tokens : qw_calibration_tokens(c);
    if (w->budget <= most)
        return;
    qw_log(QWREN_LOG_WARN, "of %zu tokens of calibration %zu are taken: more do not fit in the memory that quantize allows itself",
           w->budget, most);
    w->budget = most;
}

static qwren_status read_calibration(work *w, qwren_error *err)
{
    const char *path = w->opt.calibration;
    size_t len = 0;
    if (path && strcmp(path, "none") == 0)
        return QWREN_OK;
    set_budget(w);
    if (path)
        QW_TRY(qw_file_read(path, MAX_FILE_BYTES, &w->file, &len, err));
    const char *bundled = path ? NULL : qw_calibration_default(&len);
    return read_lines(w, path ? w->file : bundled, len, path ? qw_path_base(path) : "bundled", err);
}

static qwren_status make_check(work *w, qwren_error *err)
{
    const qwren_model *m = w->model;
    qw_ids ids = QW_IDS_INIT;
    qwren_status st =
        qw_tokenizer_encode(m->tokenizer->vocabulary, CHECK_TEXT, sizeof CHECK_TEXT - 1, QWREN_SPECIAL_NONE, NULL, 0, &ids, err);
    if (st == QWREN_OK)
        st = qw_timeline_build(&w->check, &m->core.config, ids.data, ids.n < CHECK_TOKENS ? ids.n : CHECK_TOKENS, NULL, NULL, 0, 0, err);
    qw_ids_free(&ids);
    return st;
}

/* ---- all of it */

static qwren_status quantize(work *w, const char *src, const char *dst, qwren_error *err)
{
    const qwren_quantize_options *o = &w->opt;
    const qwren_model_options open = { .struct_size = sizeof open, .n_threads = o->n_threads, .arithmetic = QWREN_ARITHMETIC_EXACT };
    const bool is_auto = o->recipe && strcmp(o->recipe, "auto") == 0;
    if (is_auto != (o->bpw > 0))
        return qw_fail(err, QWREN_E_ARGUMENT, "recipe \"auto\" and a number of bits per weight go together; give both or neither");
    if (is_auto && (o->bits || o->group))
        return qw_fail(err, QWREN_E_ARGUMENT, "recipe \"auto\" chooses bits and groups by itself; leave `bits` and `group` 0");
    qw_recipe r;
    const qw_recipe_wish wish = { is_auto ? NULL : o->recipe, o->bits, o->group, o->vision_bits, o->mtp_bits };
    QW_TRY(qw_recipe_make(&r, &wish, err));
    QW_TRY(qw_folder_check(src, dst, o->force, err));
    QW_TRY(qwren_model_open(&w->model, src, &open, err));
    QW_TRY(qw_quantize_check_source(&w->model->core, src, err));
    QW_TRY(make_check(w, err));
    if (is_auto || qw_recipe_learns(&r))
        QW_TRY(read_calibration(w, err));
    const qw_quantize_job job = {
        .source = &w->model->core,
        .src = src,
        .dst = dst,
        .force = o->force,
        .fresh = o->fresh,
        .wish = wish,
        .bpw = o->bpw,
        .samples = w->samples,
        .n_samples = w->n,
        .calibration = o->calibration ? qw_path_base(o->calibration) : "bundled",
        .check = &w->check,
        .write_tables = qw_tokenizer_write_tables,
        .n_threads = o->n_threads,
        .progress = o->progress,
        .progress_ctx = o->progress_ctx,
    };
    return qw_quantize(&job, err);
}

static void deinit(work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        qw_timeline_deinit(&w->samples[i]);
        qw_pictures_deinit(&w->pictures[i]);
    }
    qw_timeline_deinit(&w->check);
    qw_free(w->samples);
    qw_free(w->pictures);
    qw_free(w->file);
    qwren_model_close(w->model);
}

qwren_status qwren_quantize(const char *src, const char *dst, const qwren_quantize_options *opt, qwren_error *err)
{
    work w = { .opt = qwren_quantize_options_default() };
    QW_TRY(qw_options_read(&w.opt, sizeof w.opt, opt, "qwren_quantize_options", err));
    if (!src || !dst)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_quantize: a path is NULL; give the folder to read and the folder to make");
    qwren_status st = quantize(&w, src, dst, err);
    deinit(&w);
    return st;
}
