/* The settings of an image tower's GGUF file (mmproj) -> qw_vision_config and qw_processor_config. What the file does not say has the
 * published values, as in config_vision.c. Tested by tests/unit/test_config_gguf.c and tests/fuzz/fuzz_gguf.c. */
#include "model/config_gguf_parts.h"
#include "model/config_parts.h"

#include <stddef.h>

#define RULE(key, field, min, max)                   \
  {                                                  \
    key, offsetof(qw_vision_config, field), min, max \
  }

static const qw_gguf_int_rule sizes[] = {
    RULE("vision.block_count", depth, 1, QW_MOST_TOWER_DEPTH),
    RULE("vision.embedding_length", hidden_size, 4, QW_MOST_TOWER_HIDDEN),
    RULE("vision.attention.head_count", n_heads, 1, QW_MOST_HEADS),
    RULE("vision.feed_forward_length", intermediate_size, 1, QW_MOST_TOWER_INTERMEDIATE),
    RULE("vision.projection_dim", out_hidden_size, 1, QW_MOST_HIDDEN),
    RULE("vision.patch_size", patch_size, 1, QW_MOST_PATCH),
    RULE("vision.spatial_merge_size", merge_size, 2, 2),
};

static qwren_status refuse_variants(const qw_gguf_fields *f)
{
    const qw_gguf_value *list = qw_gguf_field(f, "vision.is_deepstack_layers");
    bool is_deep = list && (!list->is_list || list->type != QW_GGUF_BOOL), one;
    for (size_t i = 0; !is_deep && qw_gguf_bool_at(list, i, &one); i++)
        is_deep = one;
    if (is_deep)
        return qw_gguf_field_fail(f, QWREN_E_UNSUPPORTED, "vision.is_deepstack_layers", "towers with deepstack are not supported");
    QW_TRY(qw_gguf_field_must_be_bool(f, "has_vision_encoder", true));
    QW_TRY(qw_gguf_field_must_be_bool(f, "use_gelu", true));
    return qw_gguf_field_must_be_bool(f, "use_silu", false);
}

/* The learned positions are a square grid; the file says its side as that of a picture. */
static qwren_status read_positions(const qw_gguf_fields *f, const qw_weights *w, qw_vision_config *v)
{
    const qw_tensor *pos = qw_weights_find(w, "visual.pos_embed.weight");
    int image = 0;
    QW_TRY(qw_gguf_field_int(f, "vision.image_size", v->patch_size, QW_MOST_TOWER_SIDE * QW_MOST_PATCH, &image));
    int64_t side = image / v->patch_size;
    if (!pos || pos->n_dims != 2)
        return qw_fail(f->err, QWREN_E_FORMAT, "%s: has no matrix v.position_embd.weight", qw_gguf_path(f->file));
    if (image % v->patch_size || side > QW_MOST_TOWER_SIDE || (size_t)(side * side) != pos->shape[0])
        return qw_gguf_field_fail(
            f, QWREN_E_FORMAT, "vision.image_size",
            "divided by patch_size, %d, it must be the side of a square grid of %zu positions (v.position_embd.weight)", v->patch_size,
            pos->shape[0]);
    v->n_positions = (int)(side * side);
    return QWREN_OK;
}

static qwren_status check_sizes(const qw_gguf_fields *f, const qw_vision_config *v, const qw_text_config *text)
{
    if (v->hidden_size % v->n_heads || v->hidden_size / v->n_heads % 4)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "vision.attention.head_count",
                                  "heads must share vision.embedding_length, %d, in multiples of 4", v->hidden_size);
    if (v->out_hidden_size != text->hidden_size)
        return qw_gguf_field_fail(
            f, QWREN_E_FORMAT, "vision.projection_dim",
            "it must be the embedding_length of the model, %d: the tower is another model's; give its own as mmproj, or \"none\"",
            text->hidden_size);
    return QWREN_OK;
}

/* ---- how pictures are cut */

static qwren_status read_colours(const qw_gguf_fields *f, const char *key, double min, double max, double out[3])
{
    const qw_gguf_value *list = qw_gguf_field(f, key);
    bool good = !list || (list->is_list && list->n == 3);
    for (size_t i = 0; good && list && i < 3; i++)
        good = qw_gguf_number_at(list, i, &out[i]) && out[i] >= min && out[i] <= max;
    return good ? QWREN_OK : qw_gguf_field_fail(f, QWREN_E_FORMAT, key, "three numbers from %g to %g are needed", min, max);
}

static qwren_status read_processor(const qw_gguf_fields *f, qw_processor_config *out)
{
    int least = 65536, most = 16777216;
    *out = (qw_processor_config){ .mean = { 0.5, 0.5, 0.5 }, .std = { 0.5, 0.5, 0.5 } };
    QW_TRY(qw_gguf_field_int_maybe(f, "vision.image_min_pixels", 1, QW_MOST_PIXELS, &least));
    QW_TRY(qw_gguf_field_int_maybe(f, "vision.image_max_pixels", 1, QW_MOST_PIXELS, &most));
    if (least > most)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "vision.image_min_pixels", "it is larger than vision.image_max_pixels, %d", most);
    out->min_pixels = least;
    out->max_pixels = most;
    out->sizes_assumed = !qw_gguf_field(f, "vision.image_min_pixels") || !qw_gguf_field(f, "vision.image_max_pixels");
    QW_TRY(read_colours(f, "vision.image_mean", -10, 10, out->mean));
    return read_colours(f, "vision.image_std", 1e-3, 10, out->std);
}

/* The epsilon in the file is the text model's, copied by the converter; the tower's is always 1e-6. */
qwren_status qw_gguf_vision_config_read(qw_vision_config *out, qw_processor_config *processor, const qw_gguf_fields *clip,
                                        const qw_weights *w, const qw_text_config *text)
{
    *out = (qw_vision_config){ .present = true, .in_channels = 3, .temporal_patch_size = 2, .rope_theta = 10000, .layer_norm_eps = 1e-6 };
    QW_TRY(refuse_variants(clip));
    QW_TRY(qw_gguf_field_ints(clip, sizes, sizeof sizes / sizeof sizes[0], out));
    QW_TRY(read_positions(clip, w, out));
    QW_TRY(check_sizes(clip, out, text));
    return read_processor(clip, processor);
}
