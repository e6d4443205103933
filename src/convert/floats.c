/* What the converters of MLX do to tensors that are not quantised (floats.h). Tested by tests/unit/test_mlx_floats.c. */
#include "convert/floats.h"

#include "base/affix.h"
#include "quant/half.h"

#include <string.h>

/* ---- which tensor is what */

/* Those that are stored around zero: all of the text model and of the prediction head, but the one inside DeltaNet. */
static bool is_norm(const qw_tensor *t)
{
    static const char *const ends[] = { "_layernorm.weight", ".q_norm.weight", ".k_norm.weight" };
    static const char *const whole[] = { "norm.weight", "mtp.norm.weight", "mtp.pre_fc_norm_embedding.weight",
                                         "mtp.pre_fc_norm_hidden.weight" };
    if (t->n_dims != 1 || qw_begins_with(t->name, "visual."))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (qw_ends_with(t->name, ends[i]))
            return true;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(t->name, whole[i]) == 0)
            return true;
    return false;
}

static bool is_conv(const qw_tensor *t) { return t->n_dims == 3 && qw_ends_with(t->name, ".conv1d.weight"); }

/* [D, colours, frames, rows, columns] */
static bool is_patch_kernel(const qw_tensor *t) { return t->n_dims == 5 && strcmp(t->name, "visual.patch_embed.proj.weight") == 0; }

void qw_mlx_shape(const qw_tensor *t, size_t shape[QW_MAX_DIMS])
{
    memcpy(shape, t->shape, QW_MAX_DIMS * sizeof *shape);
    if (is_conv(t)) {
        shape[1] = t->shape[2];
        shape[2] = t->shape[1];
    } else if (is_patch_kernel(t)) {
        memmove(shape + 1, t->shape + 2, 3 * sizeof *shape);
        shape[4] = t->shape[1];
    }
}

/* ---- values */

/* colours first -> colours last, element by element: the kernel is small. */
static void turn_patch_kernel(const qw_tensor *t, size_t first, size_t n, float *out)
{
    size_t colours = t->shape[1], pixels = t->shape[2] * t->shape[3] * t->shape[4], size = qw_type_block_bytes(t->type);
    for (size_t i = 0; i < n; i++) {
        size_t e = first + i, colour = e % colours, pixel = e / colours % pixels, row = e / colours / pixels;
        qw_widen(t->type, (const char *)t->data + ((row * colours + colour) * pixels + pixel) * size, 1, out + i);
    }
}

/* The sum is rounded to the file's type, as MLX does before it casts. */
static void add_one(qw_type type, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float sum = x[i] + 1.0f;
        uint32_t rounded;
        qw_narrow(type, &sum, 1, &rounded);
        qw_widen(type, &rounded, 1, x + i);
    }
}

/* A convolution [C, 1, taps] has the same bytes when it is [C, taps, 1]. */
void qw_mlx_floats(const qw_tensor *t, qw_type type, size_t first, size_t n, float *buf, void *out)
{
    size_t size = qw_type_block_bytes(t->type);
    const char *source = (const char *)t->data + first * size;
    bool norm = is_norm(t), turned = is_patch_kernel(t);
    if (n == 0)
        return;
    if (!norm && !turned && type == t->type) {
        memcpy(out, source, n * size);
        return;
    }
    if (turned)
        turn_patch_kernel(t, first, n, buf);
    else
        qw_widen(t->type, source, n, buf);
    if (norm)
        add_one(t->type, buf, n);
    qw_narrow(type, buf, n, out);
}
