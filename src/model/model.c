/* Opening a checkpoint: config, weights, a device, and every tensor bound to its layer. Tested by tests/unit/test_model.c. */
#include "model/model.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "model/config_gguf.h"
#include "weights/gguf_files.h"

#include <stdlib.h>
#include <string.h>

static bool report(const qw_model_params *p, const char *what, uint64_t done, uint64_t total)
{
    return !p->progress || p->progress(p->progress_ctx, what, done, total);
}

static size_t max(size_t a, size_t b) { return a > b ? a : b; }

/* Columns of the widest matrix of the text model and the MTP head. */
static size_t widest(const qw_text_config *c)
{
    const size_t heads = (size_t)c->n_heads * (size_t)c->head_dim, values = (size_t)c->linear_value_heads * (size_t)c->linear_value_dim;
    return max(max(heads, values), max((size_t)c->intermediate_size, 2 * (size_t)c->hidden_size));
}

static qwren_status make_device(qw_model *m, const qw_model_params *p, qwren_error *err)
{
    const qw_text_config *c = &m->config.text;
    const qw_ops_options opt = { .n_threads = p->n_threads, .arithmetic = p->arithmetic };
    qw_ops_needs needs = { .cols = widest(c),
                           .key_dim = (size_t)c->linear_key_dim,
                           .value_dim = (size_t)c->linear_value_dim,
                           .values_per_key = (size_t)c->linear_value_heads / (size_t)c->linear_key_heads,
                           .tail = qw_conv_floats(c),
                           .head_dim = (size_t)c->head_dim,
                           .heads_per_kv = (size_t)c->n_heads / (size_t)c->n_kv_heads };
    if (m->config.vision.present)
        qw_vision_needs(&m->config.vision, &needs);
    QW_TRY(qw_ops_create(&m->ops, &opt, err));
    return qw_ops_reserve(m->ops, &needs, err);
}

/* The number behind `prefix` in a tensor's name ("layers.12.mlp..." -> 12), or -1. */
static long number_behind(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && name[n] >= '0' && name[n] <= '9' ? strtol(name + n, NULL, 10) : -1;
}

/* The embeddings of an MTP head are known, and not used (config_gguf.c says so). */
static bool is_own_embedding(const char *name)
{
    static const char *const tails[] = { ".nextn.embed_tokens.weight", ".nextn.shared_head_head.weight" };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        const char *at = strstr(name, tails[i]);
        if (at && strcmp(at, tails[i]) == 0)
            return true;
    }
    return false;
}

/* Tensors of a GGUF model that no layer reads: whoever wrote them computed with them. Of an image tower's file only the image part
 * counts. */
static qwren_status check_foreign(const qw_model *m, const qw_tensor *t, qwren_error *err)
{
    const qw_gguf *tower = qw_weights_mmproj(m->weights);
    const bool of_tower = tower && strcmp(t->file, qw_path_base(qw_gguf_path(tower))) == 0;
    if (strncmp(t->name, "other.", 6) != 0 || (of_tower && strncmp(t->file_name, "v.", 2) != 0 && strncmp(t->file_name, "mm.", 3) != 0))
        return QWREN_OK;
    if (strstr(t->file_name, ".nextn.") && !qw_gguf_find(qw_weights_gguf(m->weights), "qwen35.nextn_predict_layers"))
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s: tensor %s is of an MTP head, but qwen35.nextn_predict_layers is missing: its block would be taken for a layer",
                       t->file, t->file_name);
    if (is_own_embedding(t->file_name))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s is not of this model: Qwen 3.5 has no such tensor", t->file, t->file_name);
}

/* Layers that the files have and config.json does not know: half a model would answer, and answer nonsense. */
static qwren_status check_surplus(const qw_model *m, const qw_binder *b, const qw_tensor *t, qwren_error *err)
{
    const bool is_gguf = qw_weights_gguf(m->weights) != NULL;
    if (is_gguf)
        QW_TRY(check_foreign(m, t, err));
    if (number_behind(t->name, "layers.") >= m->config.text.n_layers)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s is of a layer that %s does not have: %s is %d", t->file, t->file_name,
                       qw_bind_config_name(b), is_gguf ? "the number of layers" : "num_hidden_layers", m->config.text.n_layers);
    if (m->has_vision && number_behind(t->name, "visual.blocks.") >= m->config.vision.depth)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s is of a block that %s does not have: %s is %d", t->file, t->file_name,
                       qw_bind_config_name(b), is_gguf ? "clip.vision.block_count" : "vision_config.depth", m->config.vision.depth);
    return QWREN_OK;
}

static qwren_status refuse_surplus(const qw_model *m, const qw_binder *b, qwren_error *err)
{
    for (size_t i = 0; i < qw_weights_count(m->weights); i++) {
        const qw_tensor *t = qw_weights_at(m->weights, i);
        qwren_error why;
        if (b->complain && check_surplus(m, b, t, &why) != QWREN_OK)
            b->complain(b->complain_ctx, t->name, &why);
        else if (!b->complain)
            QW_TRY(check_surplus(m, b, t, err));
    }
    return QWREN_OK;
}

static qwren_status make_bound(qw_model *m, qwren_error *err)
{
    const size_t n = qw_weights_count(m->weights);
    m->bound = qw_calloc(n ? n : 1, sizeof *m->bound);
    return m->bound ? QWREN_OK : qw_fail_memory(err, n * sizeof *m->bound, "the list of matrices");
}

/* A config that promises a part none of whose tensors are not there is common (converted files drop them): it is only not used. */
static qwren_status bind_parts(qw_model *m, const qw_model_params *p, qwren_error *err)
{
    const qw_binder b = { m->weights, &m->arena, &m->quant, m->bound, p->complain, p->complain_ctx };
    QW_TRY(qw_text_bind(&m->text, &m->config.text, &b, err));
    m->has_vision = m->config.vision.present && (qw_weights_mmproj(m->weights) || qw_bind_has_part(&b, QW_PART_VISION));
    if (m->has_vision)
        QW_TRY(qw_vision_bind(&m->vision, &m->config.vision, &b, err));
    else if (m->config.vision.present)
        qw_log(QWREN_LOG_INFO, "config.json has a vision_config, but the weights have no image tower: pictures are refused");
    if (m->has_vision && m->config.processor.sizes_assumed)
        qw_log(QWREN_LOG_INFO, "picture sizes are not stated, assumed %lld..%lld pixels", (long long)m->config.processor.min_pixels,
               (long long)m->config.processor.max_pixels);
    m->has_mtp = m->config.text.mtp_layers > 0 && qw_bind_has_part(&b, QW_PART_MTP);
    if (m->has_mtp)
        QW_TRY(qw_mtp_bind(&m->mtp, &m->config.text, &b, err));
    return refuse_surplus(m, &b, err);
}

static qwren_status open_folder(qw_model *m, const char *dir, const char *mmproj, qwren_error *err)
{
    if (mmproj)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s: mmproj is for models in GGUF files; the image tower of this one is in its own files",
                       dir);
    QW_TRY(qw_config_read(&m->config, dir, err));
    QW_TRY(qw_quant_config_read(&m->quant, dir, &m->arena, err));
    return qw_weights_open(&m->weights, dir, err);
}

/* Settings, and which tensors there are, stand in the same files. */
static qwren_status open_gguf(qw_model *m, const char *path, const char *mmproj, qwren_error *err)
{
    QW_TRY(qw_weights_open_gguf(&m->weights, path, mmproj, err));
    return qw_config_read_gguf(&m->config, m->weights, err);
}

static qwren_status init(qw_model *m, const char *dir, const qw_model_params *p, qwren_error *err)
{
    if (p->made_weights)
        m->config = *p->made_config;
    else if (qw_gguf_is_model(dir))
        QW_TRY(open_gguf(m, dir, p->mmproj, err));
    else
        QW_TRY(open_folder(m, dir, p->mmproj, err));
    if (p->yarn_factor > 0)
        QW_TRY(qw_text_config_stretch(&m->config.text, p->yarn_factor, err));
    if (!report(p, "headers", 1, 2))
        return qw_fail(err, QWREN_E_CANCELLED, "%s: opening was cancelled", dir);
    QW_TRY(make_bound(m, err));
    QW_TRY(bind_parts(m, p, err));
    if (!p->config_only) {
        QW_TRY(qw_weights_expect(m->weights, p->lock, err));
        QW_TRY(make_device(m, p, err));
    }
    if (!report(p, "headers", 2, 2))
        return qw_fail(err, QWREN_E_CANCELLED, "%s: opening was cancelled", dir);
    return QWREN_OK;
}

qwren_status qw_model_init(qw_model *m, const char *dir, const qw_model_params *p, qwren_error *err)
{
    memset(m, 0, sizeof *m);
    m->weights = p->made_weights;
    m->arithmetic = p->arithmetic;
    qw_arena_init(&m->arena, 64 * 1024);
    qwren_status st = init(m, dir, p, err);
    if (st != QWREN_OK)
        qw_model_deinit(m);
    return st;
}

void qw_model_deinit(qw_model *m)
{
    qw_ops_free(m->ops);
    qw_weights_close(m->weights);
    qw_free(m->bound);
    qw_arena_deinit(&m->arena);
    memset(m, 0, sizeof *m);
}

qw_patch_config qw_model_patch_config(const qw_model *m)
{
    const qw_vision_config *v = &m->config.vision;
    const qw_processor_config *p = &m->config.processor;
    qw_patch_config c = {
        .patch_size = v->patch_size,
        .merge_size = v->merge_size,
        .temporal_patch_size = v->temporal_patch_size,
        .channels = v->in_channels,
        .min_pixels = p->min_pixels,
        .max_pixels = p->max_pixels,
    };
    memcpy(c.mean, p->mean, sizeof c.mean);
    memcpy(c.std, p->std, sizeof c.std);
    return c;
}
