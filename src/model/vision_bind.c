/* The tower's tensors by name (vision.h). Tested by tests/golden/test_vision.c. */
#include "model/vision.h"

#include <stdio.h>

/* PREFIX.PART.weight [rows, cols] and PREFIX.PART.bias [rows] */
static qwren_status bind_linear(const qw_binder *b, qw_matrix *w, const float **bias, size_t rows, size_t cols, const char *prefix,
                                const char *part, qwren_error *err)
{
    QW_TRY(qw_bind_matrix(b, w, rows, cols, err, "%s.%s.weight", prefix, part));
    return qw_bind_vector(b, bias, rows, 0, err, "%s.%s.bias", prefix, part);
}

static qwren_status bind_norm(const qw_binder *b, const float **w, const float **bias, size_t n, const char *prefix, const char *part,
                              qwren_error *err)
{
    QW_TRY(qw_bind_vector(b, w, n, 0, err, "%s.%s.weight", prefix, part));
    return qw_bind_vector(b, bias, n, 0, err, "%s.%s.bias", prefix, part);
}

static qwren_status bind_block(qw_vision_block *l, const qw_vision_config *c, int i, const qw_binder *b, qwren_error *err)
{
    size_t D = (size_t)c->hidden_size, I = (size_t)c->intermediate_size;
    char prefix[40];
    snprintf(prefix, sizeof prefix, "visual.blocks.%d", i);
    QW_TRY(bind_norm(b, &l->norm1_w, &l->norm1_b, D, prefix, "norm1", err));
    QW_TRY(bind_linear(b, &l->qkv, &l->qkv_b, 3 * D, D, prefix, "attn.qkv", err));
    QW_TRY(bind_linear(b, &l->proj, &l->proj_b, D, D, prefix, "attn.proj", err));
    QW_TRY(bind_norm(b, &l->norm2_w, &l->norm2_b, D, prefix, "norm2", err));
    QW_TRY(bind_linear(b, &l->fc1, &l->fc1_b, I, D, prefix, "mlp.linear_fc1", err));
    return bind_linear(b, &l->fc2, &l->fc2_b, D, I, prefix, "mlp.linear_fc2", err);
}

static qwren_status bind_blocks(qw_vision_model *m, const qw_binder *b, qwren_error *err)
{
    size_t bytes = (size_t)m->config->depth * sizeof *m->blocks;
    m->blocks = qw_arena_alloc(b->arena, bytes);
    if (!m->blocks)
        return qw_fail_memory(err, bytes, "the layers of the image tower");
    for (int i = 0; i < m->config->depth; i++)
        QW_TRY(bind_block(&m->blocks[i], m->config, i, b, err));
    return QWREN_OK;
}

qwren_status qw_vision_bind(qw_vision_model *m, const qw_vision_config *c, const qw_binder *b, qwren_error *err)
{
    size_t D = (size_t)c->hidden_size, P = (size_t)c->patch_size, merged = (size_t)c->merge_size * (size_t)c->merge_size * D;
    const size_t kernel[5] = { D, (size_t)c->in_channels, (size_t)c->temporal_patch_size, P, P };
    *m = (qw_vision_model){ .config = c };
    QW_TRY(qw_bind_tensor(b, &m->patch, 5, kernel, err, "visual.patch_embed.proj.weight"));
    QW_TRY(qw_bind_vector(b, &m->patch_b, D, 0, err, "visual.patch_embed.proj.bias"));
    QW_TRY(qw_bind_matrix(b, &m->pos, (size_t)c->n_positions, D, err, "visual.pos_embed.weight"));
    QW_TRY(bind_blocks(m, b, err));
    QW_TRY(bind_norm(b, &m->norm_w, &m->norm_b, D, "visual.merger", "norm", err));
    QW_TRY(bind_linear(b, &m->fc1, &m->fc1_b, merged, merged, "visual.merger", "linear_fc1", err));
    return bind_linear(b, &m->fc2, &m->fc2_b, (size_t)c->out_hidden_size, merged, "visual.merger", "linear_fc2", err);
}
