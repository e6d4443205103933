/* What is in a checkpoint: qwren_model_info and its tensors, for inspect and doctor. Tested by tests/unit/test_api_model.c and
 * tests/cli/inspect.sh. */
#include "api/model.h"
#include "base/alloc.h"
#include "base/log.h"

#include <string.h>

static void describe_text(qwren_model_info *info, const qw_text_config *c)
{
    info->n_layers = c->n_layers;
    info->n_attention_layers = c->n_attention_layers;
    info->n_delta_layers = c->n_delta_layers;
    info->hidden_size = c->hidden_size;
    info->intermediate_size = c->intermediate_size;
    info->n_heads = c->n_heads;
    info->n_kv_heads = c->n_kv_heads;
    info->head_dim = c->head_dim;
    info->rotary_dim = c->rotary_dim;
    info->linear_key_heads = c->linear_key_heads;
    info->linear_value_heads = c->linear_value_heads;
    info->linear_key_dim = c->linear_key_dim;
    info->linear_value_dim = c->linear_value_dim;
    info->conv_kernel = c->conv_kernel;
    info->vocab_size = c->vocab_size;
    info->max_positions = c->max_positions;
    info->yarn_factor = c->yarn.factor > 0 ? c->yarn.factor : 1;
    info->trained_positions = c->yarn.factor > 0 ? (int)c->yarn.original : c->max_positions;
    info->tied_embeddings = c->tied_embeddings;
}

static void describe_vision(qwren_model_info *info, const qw_vision_config *c, const qw_processor_config *p)
{
    info->vision_depth = c->depth;
    info->vision_hidden = c->hidden_size;
    info->vision_heads = c->n_heads;
    info->vision_intermediate = c->intermediate_size;
    info->patch_size = c->patch_size;
    info->merge_size = c->merge_size;
    info->temporal_patch_size = c->temporal_patch_size;
    info->min_pixels = p->min_pixels;
    info->max_pixels = p->max_pixels;
}

/* ---- tensors */

static qwren_status list_tensors(qwren_model *m, qwren_error *err)
{
    const qw_model *core = &m->core;
    size_t n = 0;
    for (qw_logical t = { 0 }; qw_logical_next(&t, core->weights, core->bound, &core->quant);)
        n++;
    m->tensors = qw_alloc_array(n ? n : 1, sizeof *m->tensors);
    if (!m->tensors)
        return qw_fail_memory(err, n * sizeof *m->tensors, "the list of tensors");
    m->info.n_tensors = 0;
    for (qw_logical t = { 0 }; qw_logical_next(&t, core->weights, core->bound, &core->quant);)
        m->tensors[m->info.n_tensors++] = t;
    return QWREN_OK;
}

static double bits(uint64_t bytes, uint64_t weights) { return weights ? 8 * (double)bytes / (double)weights : 0; }

static void count_tensors(const qwren_model *m, qwren_model_info *info)
{
    uint64_t *const weights[] = { &info->n_parameters_text, &info->n_parameters_vision, &info->n_parameters_mtp };
    uint64_t *const bytes[] = { &info->n_bytes_text, &info->n_bytes_vision, &info->n_bytes_mtp };
    for (size_t i = 0; i < info->n_tensors; i++) {
        const qw_logical *t = &m->tensors[i];
        info->n_parameters += t->n_weights;
        info->n_bytes += t->n_bytes;
        if (t->part == QW_PART_OTHER)
            continue;
        *weights[t->part] += t->n_weights;
        *bytes[t->part] += t->n_bytes;
    }
    info->bits_per_weight = bits(info->n_bytes, info->n_parameters);
    info->bits_per_weight_text = bits(info->n_bytes_text, info->n_parameters_text);
    info->bits_per_weight_vision = bits(info->n_bytes_vision, info->n_parameters_vision);
    info->bits_per_weight_mtp = bits(info->n_bytes_mtp, info->n_parameters_mtp);
}

/* A model runs without its records, so damage to them is only told here; doctor makes a finding of it. */
static qwren_status read_records(qwren_model *m, qwren_error *err)
{
    qwren_error why;
    qwren_status st = qw_records_read(&m->records, m->path, &why);
    if (st == QWREN_E_MEMORY && err)
        *err = why;
    else if (st != QWREN_OK)
        qw_log(QWREN_LOG_WARN, "%s", why.text);
    return st == QWREN_E_MEMORY ? st : QWREN_OK;
}

/* ---- the whole */

const char *qw_layout_name(qw_layout layout)
{
    switch (layout) {
    case QW_LAYOUT_MLX: return "MLX";
    case QW_LAYOUT_GGUF: return "GGUF";
    default: return "Hugging Face";
    }
}

qwren_status qw_model_describe(qwren_model *m, qwren_error *err)
{
    qwren_model_info *info = &m->info;
    info->path = m->path;
    info->architecture = m->core.config.architecture;
    info->size_name = qw_config_size_name(&m->core.config);
    describe_text(info, &m->core.config.text);
    info->has_vision = m->core.has_vision;
    info->has_mtp = m->core.has_mtp;
    if (m->core.has_vision)
        describe_vision(info, &m->core.config.vision, &m->core.config.processor);
    if (!m->made_by)
        QW_TRY(read_records(m, err));
    info->format = qw_layout_name(qw_weights_layout(m->core.weights));
    info->recipe = m->made_by ? m->made_by : qw_records_recipe(m->records);
    QW_TRY(list_tensors(m, err));
    count_tensors(m, info);
    return QWREN_OK;
}

bool qwren_model_get_tensor(const qwren_model *m, size_t i, qwren_tensor_info *out)
{
    qw_record record;
    *out = (qwren_tensor_info){ 0 };
    if (i >= m->info.n_tensors)
        return false;
    const qw_logical *t = &m->tensors[i];
    out->name = t->tensor->file_name;
    out->type = t->type == QW_TYPE_OTHER ? t->tensor->dtype : qw_type_name(t->type);
    out->part = qw_part_name(t->part);
    out->file = t->tensor->file;
    out->n_dims = t->n_dims;
    memcpy(out->shape, t->shape, sizeof out->shape);
    out->n_bytes = t->n_bytes;
    out->bits_per_weight = t->bits;
    out->bits = qw_type_bits(t->type);
    out->group = t->group;
    out->recipe_class = qw_records_find(m->records, t->tensor->name, &record) ? record.class : NULL;
    return true;
}
