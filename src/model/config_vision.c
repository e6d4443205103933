/* The tower's part of config.json, and preprocessor_config.json, which must describe the same patches. Tested by
 * tests/unit/test_config.c. */
#include "model/config_parts.h"

#include <math.h>
#include <stddef.h>

#define RULE(key, field, min, max)                   \
  {                                                  \
    key, offsetof(qw_vision_config, field), min, max \
  }

static const qw_int_rule sizes[] = {
    RULE("depth", depth, 1, QW_MOST_TOWER_DEPTH),
    RULE("hidden_size", hidden_size, 4, QW_MOST_TOWER_HIDDEN),
    RULE("num_heads", n_heads, 1, QW_MOST_HEADS),
    RULE("intermediate_size", intermediate_size, 1, QW_MOST_TOWER_INTERMEDIATE),
    RULE("out_hidden_size", out_hidden_size, 1, QW_MOST_HIDDEN),
    RULE("patch_size", patch_size, 1, QW_MOST_PATCH),
    RULE("temporal_patch_size", temporal_patch_size, 2, 2), /* a still counts as two equal frames */
    RULE("spatial_merge_size", merge_size, 2, 2),
    RULE("num_position_embeddings", n_positions, 1, QW_MOST_TOWER_POSITIONS),
};

static qwren_status check_sizes(const qw_fields *f, const qw_vision_config *v, const qw_text_config *text)
{
    int side = (int)lrint(sqrt((double)v->n_positions));
    if (v->hidden_size % v->n_heads || v->hidden_size / v->n_heads % 4)
        return qw_field_fail(f, QWREN_E_FORMAT, "num_heads", "heads must share hidden_size, %d, in multiples of 4", v->hidden_size);
    if (side * side != v->n_positions)
        return qw_field_fail(f, QWREN_E_FORMAT, "num_position_embeddings", "the number of points of a square grid is needed");
    if (v->out_hidden_size != text->hidden_size)
        return qw_field_fail(f, QWREN_E_FORMAT, "out_hidden_size", "it must be the hidden_size of the text model, %d", text->hidden_size);
    return QWREN_OK;
}

qwren_status qw_vision_config_read(qw_vision_config *out, const qw_fields *vision, const qw_text_config *text)
{
    *out = (qw_vision_config){ .in_channels = 3, .rope_theta = 10000, .layer_norm_eps = 1e-6 };
    if (!vision->object)
        return QWREN_OK;
    qw_fields rope;
    out->present = true;
    QW_TRY(qw_field_ints(vision, sizes, sizeof sizes / sizeof sizes[0], out));
    QW_TRY(qw_field_must_be_int(vision, "in_channels", 3));
    QW_TRY(qw_field_must_be_text(vision, "hidden_act", "gelu_pytorch_tanh", NULL));
    QW_TRY(qw_field_must_be_empty(vision, "deepstack_visual_indexes"));
    QW_TRY(qw_field_object(vision, "rope_parameters", "vision_config.rope_parameters.", &rope));
    QW_TRY(qw_field_must_be_text(&rope, "rope_type", "axial", "default"));
    QW_TRY(qw_field_number_maybe(&rope, "rope_theta", 1, 1e15, &out->rope_theta));
    return check_sizes(vision, out, text);
}

/* ---- preprocessor_config.json */

/* `size` in either spelling, and the older keys on top, which go before it. */
static qwren_status read_pixels(qw_processor_config *out, const qw_fields *f)
{
    qw_fields size;
    QW_TRY(qw_field_object(f, "size", "size.", &size));
    QW_TRY(qw_field_int64_maybe(&size, "shortest_edge", 1, QW_MOST_PIXELS, &out->min_pixels));
    QW_TRY(qw_field_int64_maybe(&size, "longest_edge", 1, QW_MOST_PIXELS, &out->max_pixels));
    QW_TRY(qw_field_int64_maybe(&size, "min_pixels", 1, QW_MOST_PIXELS, &out->min_pixels));
    QW_TRY(qw_field_int64_maybe(&size, "max_pixels", 1, QW_MOST_PIXELS, &out->max_pixels));
    QW_TRY(qw_field_int64_maybe(f, "min_pixels", 1, QW_MOST_PIXELS, &out->min_pixels));
    QW_TRY(qw_field_int64_maybe(f, "max_pixels", 1, QW_MOST_PIXELS, &out->max_pixels));
    out->sizes_assumed = !((qw_field(&size, "shortest_edge") || qw_field(&size, "min_pixels") || qw_field(f, "min_pixels")) &&
                           (qw_field(&size, "longest_edge") || qw_field(&size, "max_pixels") || qw_field(f, "max_pixels")));
    if (out->min_pixels > out->max_pixels)
        return qw_fail(f->err, QWREN_E_FORMAT, "%s: the least number of pixels, %lld, is larger than the greatest, %lld", f->path,
                       (long long)out->min_pixels, (long long)out->max_pixels);
    return QWREN_OK;
}

/* Steps that the engine always takes, in its one way. */
static qwren_status refuse_variants(const qw_fields *f, const qw_vision_config *v)
{
    double rescale = 1.0 / 255;
    QW_TRY(qw_field_must_be_int(f, "patch_size", v->patch_size));
    QW_TRY(qw_field_must_be_int(f, "temporal_patch_size", v->temporal_patch_size));
    QW_TRY(qw_field_must_be_int(f, "merge_size", v->merge_size));
    QW_TRY(qw_field_must_be_int(f, "resample", 3)); /* bicubic */
    QW_TRY(qw_field_must_be_bool(f, "do_resize", true));
    QW_TRY(qw_field_must_be_bool(f, "do_rescale", true));
    QW_TRY(qw_field_must_be_bool(f, "do_normalize", true));
    return qw_field_number_maybe(f, "rescale_factor", 1.0 / 255 - 1e-6, 1.0 / 255 + 1e-6, &rescale);
}

qwren_status qw_processor_config_read(qw_processor_config *out, const qw_fields *f, const qw_vision_config *vision)
{
    *out = (qw_processor_config){ .min_pixels = 65536, .max_pixels = 16777216, .mean = { 0.5, 0.5, 0.5 }, .std = { 0.5, 0.5, 0.5 } };
    QW_TRY(read_pixels(out, f));
    QW_TRY(qw_field_numbers_maybe(f, "image_mean", 3, -10, 10, out->mean));
    QW_TRY(qw_field_numbers_maybe(f, "image_std", 3, 1e-3, 10, out->std));
    return refuse_variants(f, vision);
}
