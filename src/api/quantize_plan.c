/* qwren_quantize_plan: what qwren_quantize would do, from the headers alone. Tested by tests/unit/test_quantize_plan.c. */
#include "api/model.h"
#include "api/options.h"
#include "base/buf.h"
#include "base/json.h"
#include "convert/plan.h"
#include "convert/quantize.h"

#include <string.h>

typedef struct work {
    qwren_model *model;
    qw_recipe recipe;
    qw_plan plan;
} work;

static qwren_status make_plan(work *w, const char *src, const qwren_quantize_options *o, qwren_error *err)
{
    const qwren_model_options open = { .struct_size = sizeof open, .config_only = true, .no_tokenizer = true };
    const qw_recipe_wish wish = { o->recipe, o->bits, o->group, o->vision_bits, o->mtp_bits };
    qw_folder_rules rules;
    if (o->bpw > 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "recipe \"auto\" measures before it decides, so that its plan is not known beforehand");
    QW_TRY(qw_recipe_make(&w->recipe, &wish, err));
    QW_TRY(qwren_model_open(&w->model, src, &open, err));
    QW_TRY(qw_quantize_check_source(&w->model->core, src, err));
    QW_TRY(qw_folder_rules_read(&rules, src, err));
    return qw_plan_weights(&w->plan, w->model->core.weights, &rules, &w->recipe, err);
}

static uint64_t bytes_of(const work *w, const qw_plan_entry *e) { return qw_plan_bytes(&w->plan, e, e->choice); }

static void put_tensor(const work *w, const qw_plan_entry *e, qw_buf *out)
{
    qw_buf_puts(out, "{\"name\": ");
    qw_json_dump_string(out, e->source->name, strlen(e->source->name));
    qw_buf_printf(out, ", \"class\": \"%s\", \"shape\": [", qw_class_name(e->class));
    for (int i = 0; i < e->source->n_dims; i++)
        qw_buf_printf(out, i ? ", %zu" : "%zu", e->source->shape[i]);
    qw_buf_printf(out, "], \"bits\": %d", e->choice.bits);
    if (e->choice.bits)
        qw_buf_printf(out, ", \"group\": %d", e->choice.group);
    else
        qw_buf_printf(out, ", \"type\": \"%s\"", qw_type_name(qw_rules_type(&w->plan.rules, e->source)));
    qw_buf_printf(out, ", \"bytes\": %llu", (unsigned long long)bytes_of(w, e));
    if (e->note)
        qw_buf_printf(out, ", \"note\": \"%s\"", e->note);
    qw_buf_putc(out, '}');
}

static void put_plan(const work *w, qw_buf *out)
{
    uint64_t before = 0, after = 0;
    for (size_t i = 0; i < w->plan.n; i++) {
        before += w->plan.entries[i].source->n_bytes;
        after += bytes_of(w, &w->plan.entries[i]);
    }
    qw_buf_printf(out, "{\"recipe\": \"%s\", \"bits_per_weight\": %.6g, \"source_bytes\": %llu, \"bytes\": %llu, \"tensors\": [",
                  w->recipe.name, qw_plan_bits_per_weight(&w->plan), (unsigned long long)before, (unsigned long long)after);
    for (size_t i = 0; i < w->plan.n; i++) {
        qw_buf_puts(out, i ? ", " : "");
        put_tensor(w, &w->plan.entries[i], out);
    }
    qw_buf_puts(out, "]}");
}

qwren_status qwren_quantize_plan(const char *src, const qwren_quantize_options *opt, char **json, qwren_error *err)
{
    qw_buf out = QW_BUF_INIT;
    work w = { 0 };
    qwren_quantize_options o = qwren_quantize_options_default();
    *json = NULL;
    QW_TRY(qw_options_read(&o, sizeof o, opt, "qwren_quantize_options", err));
    if (!src)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_quantize_plan: the path is NULL; give the folder to read");
    qwren_status st = make_plan(&w, src, &o, err);
    if (st == QWREN_OK) {
        put_plan(&w, &out);
        st = qw_buf_take(&out, json, NULL, err);
    }
    qw_plan_deinit(&w.plan);
    qwren_model_close(w.model);
    return st;
}
