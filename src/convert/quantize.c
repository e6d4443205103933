/* The steps of a quantisation (quantize.h), in order. Tested by tests/unit/test_quantize.c. */
#include "convert/quantize.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "convert/run.h"
#include "weights/names.h"

#include <stdio.h>

#define CALIBRATION_WORK 4e11            /* tokens x weights */
#define STREAM_BYTES ((size_t)512 << 20) /* the source's stream and that of the codes */

/* ---- before any work */

qwren_status qw_quantize_check_source(const qw_model *m, const char *src, qwren_error *err)
{
    const qw_weights *w = m->weights;
    if (qw_weights_layout(w) != QW_LAYOUT_HF)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: is in the layout of %s; quantize reads a Hugging Face directory of bf16, f16 or f32",
                       src, qw_weights_layout(w) == QW_LAYOUT_MLX ? "MLX" : "GGUF");
    for (size_t i = 0; i < qw_weights_count(w); i++) {
        const qw_tensor *t = qw_weights_at(w, i);
        if (qw_part_of(t->name) != QW_PART_OTHER && !qw_type_is_float(t->type))
            return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s is %s; quantize reads bf16, f16 and f32 weights", t->file, t->file_name,
                           t->dtype);
    }
    return QWREN_OK;
}

static void hash_timeline(qw_hash *h, const qw_timeline *t, size_t H)
{
    qw_hash_add(h, t->ids, t->n * sizeof *t->ids);
    qw_hash_add(h, t->pos, t->n * sizeof *t->pos);
    for (size_t k = 0; k < t->n_spans; k++)
        qw_hash_add(h, t->spans[k].rows, t->spans[k].n * H * sizeof *t->spans[k].rows);
}

/* Everything that decides the bytes, beside the source: what an interrupted run must have had in common with this one. */
static void describe(const qw_run *r, char *out, size_t n)
{
    const qw_quantize_job *j = r->job;
    qw_hash h;
    qw_hash_init(&h);
    qw_hash_add(&h, r->recipe.choice, sizeof r->recipe.choice);
    for (size_t i = 0; i < r->streams.n_samples; i++)
        hash_timeline(&h, &j->samples[i], (size_t)r->config->hidden_size);
    hash_timeline(&h, j->check, (size_t)r->config->hidden_size);
    snprintf(out, n, "qwren %s recipe %s bpw %.6g calibration %zu tokens %016llx", qwren_version(), j->bpw > 0 ? "auto" : r->recipe.name,
             j->bpw, r->streams.n_tokens, (unsigned long long)qw_hash_value(&h));
}

static qwren_status open_folder(qw_run *r, qwren_error *err)
{
    char line[200];
    describe(r, line, sizeof line);
    const qw_folder_options o = { .src = r->job->src, .dst = r->job->dst, .options = line, .force = r->job->force, .fresh = r->job->fresh };
    return qw_folder_open(&r->folder, &o, err);
}

/* ---- the plan */

static qwren_status lay_out(qw_run *r, qwren_error *err)
{
    const qw_choice body = r->recipe.choice[QW_CLASS_MLP_GATE];
    qw_folder_tensor *list = qw_alloc_array(r->plan.n, sizeof *list);
    if (!list)
        return qw_fail_memory(err, r->plan.n * sizeof *list, "the list of tensors");
    for (size_t i = 0; i < r->plan.n; i++) {
        const qw_plan_entry *e = &r->plan.entries[i];
        list[i] = (qw_folder_tensor){ e->source, qw_plan_type(e), e->choice.group };
        r->total += e->choice.bits ? (uint64_t)e->rows * e->cols : 0;
    }
    qwren_status st = qw_folder_plan(r->folder, list, r->plan.n, body.bits, body.group, err);
    qw_free(list);
    return st;
}

static qwren_status plan(qw_run *r, qwren_error *err)
{
    QW_TRY(qw_plan_weights(&r->plan, r->source->weights, qw_folder_rules_of(r->folder), &r->recipe, err));
    if (r->job->bpw > 0)
        QW_TRY(qw_sensitivity_plan(r, err));
    r->phase = "weights";
    r->done = r->total = 0;
    return lay_out(r, err);
}

/* ---- what is not in a layer */

static qwren_status round_norm(qw_run *r, qwren_error *err)
{
    const qw_plan_entry *e = qw_plan_find(&r->plan, "norm.weight");
    if (!e)
        return qw_fail(err, QWREN_E_INTERNAL, "the plan has no tensor norm.weight");
    return qw_run_rounded(r, (size_t)(e - r->plan.entries), r->source->text.norm, (size_t)r->config->hidden_size, &r->norm, err);
}

/* Tower, prediction head, and all that stays in float. */
static qwren_status make_others(qw_run *r, qwren_error *err)
{
    for (size_t i = 0; i < r->plan.n; i++) {
        const qw_plan_entry *e = &r->plan.entries[i];
        if (!e->choice.bits)
            QW_TRY(qw_run_float(r, i, err));
        else if (e->class == QW_CLASS_MTP || e->class == QW_CLASS_VISION)
            QW_TRY(qw_run_matrix(r, i, NULL, NULL, err));
    }
    return QWREN_OK;
}

/* ---- all of it */

static qwren_status write_tables(const qw_run *r, qwren_error *err)
{
    if (!r->job->write_tables)
        return QWREN_OK;
    char *path = qw_folder_path(r->folder, "qwren/vocabulary.bin");
    if (!path)
        return qw_fail_memory(err, 0, "a path");
    qwren_status st = r->job->write_tables(r->job->src, path, err);
    qw_free(path);
    return st;
}

static qwren_status run(qw_run *r, qwren_error *err)
{
    const qw_quantize_job *j = r->job;
    QW_TRY(qw_quantize_check_source(j->source, j->src, err));
    QW_TRY(qw_recipe_make(&r->recipe, &j->wish, err));
    QW_TRY(qw_pool_create(&r->pool, j->n_threads > 0 ? j->n_threads : qw_cpu_count(), err));
    if (j->n_samples && qw_recipe_learns(&r->recipe))
        QW_TRY(qw_streams_init(&r->streams, r->source, j->samples, j->n_samples, err));
    QW_TRY(open_folder(r, err));
    QW_TRY(plan(r, err));
    QW_TRY(round_norm(r, err));
    QW_TRY(qw_run_layers(r, err));
    QW_TRY(make_others(r, err));
    QW_TRY(qw_check_codes(r, err));
    QW_TRY(qw_records_write(r, err));
    QW_TRY(write_tables(r, err));
    return qw_folder_finish(r->folder, err);
}

static void deinit(qw_run *r)
{
    qw_folder_close(r->folder);
    qw_streams_deinit(&r->streams);
    qw_streams_deinit(&r->check);
    qw_plan_deinit(&r->plan);
    qw_free(r->norm);
    qw_free(r->coded);
    qw_free(r->check_source);
    qw_free(r->check_codes);
    qw_free(r->logits_source);
    qw_free(r->logits_codes);
    qw_free(r->sensitivities);
    qw_pool_free(r->pool);
}

/* A token goes through a layer about six times: once for the source's inputs, once for each of its four inputs as the codes make them, once
 * behind it. That is 12 operations a weight and token, and codes cost some hundred a weight. A small model reads all there is. */
size_t qw_calibration_tokens(const qw_config *c)
{
    const qw_text_config *t = &c->text;
    const double weights = (double)t->n_layers * (double)t->hidden_size * (4.0 * t->hidden_size + 3.0 * t->intermediate_size);
    const double tokens = CALIBRATION_WORK / weights;
    return tokens < 256 ? 256 : tokens > 16384 ? 16384 : (size_t)tokens;
}

size_t qw_calibration_most(const qw_config *c) { return STREAM_BYTES / (2 * (size_t)c->text.hidden_size * sizeof(float)); }

qwren_status qw_quantize(const qw_quantize_job *job, qwren_error *err)
{
    qw_run r = { .job = job, .source = job->source, .config = &job->source->config.text };
    qwren_status st = run(&r, err);
    deinit(&r);
    return st;
}
