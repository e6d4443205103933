/* The tower's tensors by name (vision.h). Tested by tests/golden/test_vision.c. */
#include "model/vision.h"
#include "quant/half.h"

#include <stdio.h>
#include <string.h>

/* PREFIX.PART.weight [rows, cols] and PREFIX.PART.bias [rows] */
static qwren_status bind_linear(const qw_binder *b, qw_matrix *w, const float **bias, size_t rows, size_t cols, const char *prefix,
                                const char *part, qwren_error *err)
{
    QW_TRY(qw_bind_matrix(b, w, rows, cols, err, "%s.%s.weight", prefix, part));
    return qw_bind_vector(b, bias, rows, err, "%s.%s.bias", prefix, part);
}

static qwren_status bind_norm(const qw_binder *b, const float **w, const float **bias, size_t n, const char *prefix, const char *part,
                              qwren_error *err)
{
    QW_TRY(qw_bind_vector(b, w, n, err, "%s.%s.weight", prefix, part));
    return qw_bind_vector(b, bias, n, err, "%s.%s.bias", prefix, part);
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

/* m [D, n * C] with the colours of a place side by side -> [D, C * n]: a plane for each colour. */
static qwren_status colours_first(qw_matrix *m, size_t C, const qw_binder *b, qwren_error *err)
{
    const size_t size = qw_type_block_bytes(m->type), n = m->cols / C;
    char *planes = qw_arena_alloc(b->arena, qw_matrix_bytes(m));
    if (!planes)
        return qw_fail_memory(err, qw_matrix_bytes(m), "the patch kernel");
    for (size_t row = 0; row < m->rows; row++) {
        const char *from = (const char *)m->data + row * qw_matrix_row_bytes(m);
        char *to = planes + row * qw_matrix_row_bytes(m);
        for (size_t i = 0; i < n; i++)
            for (size_t colour = 0; colour < C; colour++)
                memcpy(to + (colour * n + i) * size, from + (i * C + colour) * size, size);
    }
    m->data = planes;
    return QWREN_OK;
}

/* GGUF has a kernel [D, C, P, P] for each of the two frames: both in one, colour by colour. */
static qwren_status join_taps(qw_matrix *out, const size_t shape[4], const char *name, const qw_binder *b, qwren_error *err)
{
    const size_t D = shape[0], C = shape[1], plane = shape[2] * shape[3];
    qw_matrix taps[2];
    QW_TRY(qw_bind_tensor(b, &taps[0], 4, shape, err, "%s", name));
    QW_TRY(qw_bind_tensor(b, &taps[1], 4, shape, err, "%s.1", name));
    *out = (qw_matrix){ 0 };
    if (!taps[0].data || !taps[1].data)
        return QWREN_OK;
    float *joined = qw_arena_alloc(b->arena, 2 * D * C * plane * sizeof *joined);
    if (!joined)
        return qw_fail_memory(err, 2 * D * C * plane * sizeof *joined, "the patch kernel");
    for (size_t i = 0; i < D * C; i++)
        for (size_t frame = 0; frame < 2; frame++) {
            const size_t bytes = plane * qw_type_block_bytes(taps[frame].type);
            qw_widen(taps[frame].type, (const char *)taps[frame].data + i * bytes, plane, joined + (2 * i + frame) * plane);
        }
    *out = (qw_matrix){ .type = QW_TYPE_F32, .rows = D, .cols = 2 * C * plane, .data = joined };
    return QWREN_OK;
}

/* [D, C, Tp, P, P], the order of the patches; MLX's [D, Tp, P, P, C] and GGUF's two are copied into that order, the only matrix that is
 * ever copied. */
static qwren_status bind_kernel(qw_matrix *out, const qw_vision_config *c, const qw_binder *b, qwren_error *err)
{
    static const char name[] = "visual.patch_embed.proj.weight";
    const size_t D = (size_t)c->hidden_size, C = (size_t)c->in_channels, T = (size_t)c->temporal_patch_size, P = (size_t)c->patch_size;
    const size_t ours[5] = { D, C, T, P, P }, mlx[5] = { D, T, P, P, C };
    const qw_tensor *t = qw_bind_find(b, name);
    if (qw_weights_layout(b->weights) == QW_LAYOUT_GGUF)
        return join_taps(out, (size_t[]){ D, C, P, P }, name, b, err);
    if (qw_weights_layout(b->weights) != QW_LAYOUT_MLX || (t && t->n_dims == 5 && memcmp(t->shape, ours, sizeof ours) == 0))
        return qw_bind_tensor(b, out, 5, ours, err, "%s", name);
    QW_TRY(qw_bind_tensor(b, out, 5, mlx, err, "%s", name));
    return out->data ? colours_first(out, C, b, err) : QWREN_OK;
}

qwren_status qw_vision_bind(qw_vision_model *m, const qw_vision_config *c, const qw_binder *b, qwren_error *err)
{
    size_t D = (size_t)c->hidden_size, merged = (size_t)c->merge_size * (size_t)c->merge_size * D;
    *m = (qw_vision_model){ .config = c };
    QW_TRY(bind_kernel(&m->patch, c, b, err));
    QW_TRY(qw_bind_vector(b, &m->patch_b, D, err, "visual.patch_embed.proj.bias"));
    QW_TRY(qw_bind_matrix(b, &m->pos, (size_t)c->n_positions, D, err, "visual.pos_embed.weight"));
    QW_TRY(bind_blocks(m, b, err));
    QW_TRY(bind_norm(b, &m->norm_w, &m->norm_b, D, "visual.merger", "norm", err));
    QW_TRY(bind_linear(b, &m->fc1, &m->fc1_b, merged, merged, "visual.merger", "linear_fc1", err));
    return bind_linear(b, &m->fc2, &m->fc2_b, (size_t)c->out_hidden_size, merged, "visual.merger", "linear_fc2", err);
}
