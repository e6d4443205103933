/* A layer as the finished folder will have it: codes in place of the source's matrices, and small vectors rounded as they are stored.
 * Tested by tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/file.h"
#include "convert/codes.h"
#include "convert/run.h"
#include "quant/half.h"

#include <stdio.h>

qwren_status qw_run_entry_of(const qw_run *r, int layer, const char *tail, size_t *out, qwren_error *err)
{
    char name[96];
    snprintf(name, sizeof name, "layers.%d.%s", layer, tail);
    const qw_plan_entry *e = qw_plan_find(&r->plan, name);
    if (!e)
        return qw_fail(err, QWREN_E_INTERNAL, "the plan has no tensor %s", name);
    *out = (size_t)(e - r->plan.entries);
    return QWREN_OK;
}

void qw_coded_layer_begin(const qw_run *r, int layer, qw_coded_layer *out)
{
    *out = (qw_coded_layer){ .layer = r->source->text.layers[layer] };
    out->n = qw_layer_slots(&out->layer, out->slots);
}

void qw_coded_layer_set(qw_coded_layer *l, size_t k, const qw_matrix *codes)
{
    l->codes[k] = *codes;
    *l->slots[k].matrix = *codes;
}

void qw_coded_layer_free(qw_coded_layer *l)
{
    for (size_t k = 0; k < QW_LAYER_SLOTS; k++)
        qw_codes_free(&l->codes[k]);
    for (size_t k = 0; k < QW_LAYER_VECTORS; k++)
        qw_free(l->vectors[k]);
}

/* ---- what is stored in 16 bits */

qwren_status qw_run_rounded(const qw_run *r, size_t entry, const float *v, size_t n, float **out, qwren_error *err)
{
    const qw_type type = qw_folder_type_of(r->folder, r->plan.entries[entry].source);
    float *copy = qw_alloc_array(n, sizeof *copy);
    void *narrow = qw_alloc_array(n, sizeof *copy);
    qwren_status st = copy && narrow ? QWREN_OK : qw_fail_memory(err, n * sizeof *copy, "a layer's vectors");
    if (st == QWREN_OK) {
        qw_narrow(type, v, n, narrow);
        qw_widen(type, narrow, n, copy);
    }
    qw_free(narrow);
    if (st != QWREN_OK) {
        qw_free(copy);
        copy = NULL;
    }
    *out = copy;
    return st;
}

static qwren_status round_vector(const qw_run *r, int layer, qw_coded_layer *l, size_t k, const float **v, size_t n, const char *tail,
                                 qwren_error *err)
{
    size_t i = 0;
    QW_TRY(qw_run_entry_of(r, layer, tail, &i, err));
    QW_TRY(qw_run_rounded(r, i, *v, n, &l->vectors[k], err));
    *v = l->vectors[k];
    return QWREN_OK;
}

/* A matrix that stays in float, but is cast. */
static qwren_status cast_matrix(const qw_run *r, int layer, qw_coded_layer *l, size_t k, qwren_error *err)
{
    size_t i = 0;
    QW_TRY(qw_run_entry_of(r, layer, l->slots[k].name, &i, err));
    const qw_plan_entry *e = &r->plan.entries[i];
    const qw_type type = qw_folder_type_of(r->folder, e->source);
    if (e->choice.bits || type == e->source->type)
        return QWREN_OK;
    const size_t n = e->rows * e->cols;
    float *wide = qw_alloc_array(n, sizeof *wide);
    void *data = qw_alloc_array(n, sizeof *wide);
    qw_matrix cast = { .type = type, .rows = e->rows, .cols = e->cols, .data = data };
    qwren_status st = wide && data ? QWREN_OK : qw_fail_memory(err, 2 * n * sizeof *wide, "a layer's matrices");
    if (st == QWREN_OK) {
        qw_widen(e->source->type, e->source->data, n, wide);
        qw_narrow(type, wide, n, data);
        qw_coded_layer_set(l, k, &cast);
    } else {
        qw_free(data);
    }
    qw_free(wide);
    return st;
}

qwren_status qw_coded_layer_round(const qw_run *r, int n, qw_coded_layer *l, qwren_error *err)
{
    const qw_text_config *c = r->config;
    const size_t H = (size_t)c->hidden_size, hd = (size_t)c->head_dim, Hv = (size_t)c->linear_value_heads, dv = (size_t)c->linear_value_dim;
    QW_TRY(round_vector(r, n, l, 0, &l->layer.norm_in, H, "input_layernorm.weight", err));
    QW_TRY(round_vector(r, n, l, 1, &l->layer.norm_post, H, "post_attention_layernorm.weight", err));
    if (l->layer.kind == QW_LAYER_ATTENTION) {
        QW_TRY(round_vector(r, n, l, 2, &l->layer.mixer.attention.q_norm, hd, "self_attn.q_norm.weight", err));
        QW_TRY(round_vector(r, n, l, 3, &l->layer.mixer.attention.k_norm, hd, "self_attn.k_norm.weight", err));
    } else {
        QW_TRY(round_vector(r, n, l, 2, &l->layer.mixer.delta.norm, dv, "linear_attn.norm.weight", err));
        QW_TRY(round_vector(r, n, l, 3, &l->layer.mixer.delta.dt_bias, Hv, "linear_attn.dt_bias", err));
        QW_TRY(round_vector(r, n, l, 4, &l->layer.mixer.delta.conv, qw_delta_channels(c) * (size_t)c->conv_kernel,
                            "linear_attn.conv1d.weight", err));
    }
    for (size_t k = 0; k < l->n; k++)
        QW_TRY(cast_matrix(r, n, l, k, err));
    return QWREN_OK;
}

qwren_status qw_run_load_layer(qw_run *r, int n, qw_coded_layer *out, qwren_error *err)
{
    qw_coded_layer_begin(r, n, out);
    QW_TRY(qw_coded_layer_round(r, n, out, err));
    for (size_t k = 0; k < out->n; k++) {
        size_t i = 0;
        qw_matrix codes;
        QW_TRY(qw_run_entry_of(r, n, out->slots[k].name, &i, err));
        if (!r->plan.entries[i].choice.bits)
            continue;
        QW_TRY(qw_run_load(r, i, 0, r->plan.entries[i].rows, &codes, err));
        qw_coded_layer_set(out, k, &codes);
    }
    return QWREN_OK;
}

void qw_run_release_layer(const qw_run *r, int layer)
{
    qw_layer l = r->source->text.layers[layer];
    qw_slot slots[QW_LAYER_SLOTS];
    const size_t n = qw_layer_slots(&l, slots);
    for (size_t k = 0; k < n; k++)
        qw_map_release(slots[k].matrix->data, slots[k].matrix->rows * qw_matrix_row_bytes(slots[k].matrix));
}
