/* The recipes (recipe.h): which classes of tensors get more bits than the body. Decided by measurement, docs/quantisation.md has the
 * figures. Tested by tests/unit/test_recipe.c. */
#include "convert/recipe.h"

#include "base/affix.h"
#include "weights/names.h"

#include <stdio.h>
#include <string.h>

/* ---- classes */

static const char *const class_names[QW_CLASS_COUNT] = {
    [QW_CLASS_EMBED] = "embed",         [QW_CLASS_HEAD] = "head",
    [QW_CLASS_ATTN_Q] = "attention.q",  [QW_CLASS_ATTN_K] = "attention.k",
    [QW_CLASS_ATTN_V] = "attention.v",  [QW_CLASS_ATTN_O] = "attention.o",
    [QW_CLASS_DELTA_QKV] = "delta.qkv", [QW_CLASS_DELTA_Z] = "delta.z",
    [QW_CLASS_DELTA_AB] = "delta.ab",   [QW_CLASS_DELTA_OUT] = "delta.out",
    [QW_CLASS_MLP_GATE] = "mlp.gate",   [QW_CLASS_MLP_UP] = "mlp.up",
    [QW_CLASS_MLP_DOWN] = "mlp.down",   [QW_CLASS_MTP] = "mtp",
    [QW_CLASS_VISION] = "vision",       [QW_CLASS_SMALL] = "small",
};

const char *qw_class_name(qw_tensor_class c) { return class_names[c]; }

/* What stands behind "layers.N." */
static const struct {
    const char *tail;
    qw_tensor_class class;
} tails[] = {
    { "self_attn.q_proj.weight", QW_CLASS_ATTN_Q },
    { "self_attn.k_proj.weight", QW_CLASS_ATTN_K },
    { "self_attn.v_proj.weight", QW_CLASS_ATTN_V },
    { "self_attn.o_proj.weight", QW_CLASS_ATTN_O },
    { "linear_attn.in_proj_qkv.weight", QW_CLASS_DELTA_QKV },
    { "linear_attn.in_proj_z.weight", QW_CLASS_DELTA_Z },
    { "linear_attn.in_proj_a.weight", QW_CLASS_DELTA_AB },
    { "linear_attn.in_proj_b.weight", QW_CLASS_DELTA_AB },
    { "linear_attn.out_proj.weight", QW_CLASS_DELTA_OUT },
    { "mlp.gate_proj.weight", QW_CLASS_MLP_GATE },
    { "mlp.up_proj.weight", QW_CLASS_MLP_UP },
    { "mlp.down_proj.weight", QW_CLASS_MLP_DOWN },
};

static qw_tensor_class class_of_text(const char *name)
{
    if (strcmp(name, "embed_tokens.weight") == 0)
        return QW_CLASS_EMBED;
    if (strcmp(name, "lm_head.weight") == 0)
        return QW_CLASS_HEAD;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (qw_ends_with(name, tails[i].tail))
            return tails[i].class;
    return QW_CLASS_SMALL;
}

/* Norms, biases, the table of positions and the patch kernel stay as they are in every checkpoint. */
static qw_tensor_class class_of_vision(const char *name)
{
    bool matrix = qw_ends_with(name, ".weight") && !strstr(name, "norm") && !strstr(name, "pos_embed") && !strstr(name, "patch_embed");
    return matrix ? QW_CLASS_VISION : QW_CLASS_SMALL;
}

qw_tensor_class qw_class_of(const char *name)
{
    switch (qw_part_of(name)) {
    case QW_PART_TEXT: return class_of_text(name);
    case QW_PART_VISION: return class_of_vision(name);
    case QW_PART_MTP: return strcmp(name, "mtp.fc.weight") == 0 || class_of_text(name) != QW_CLASS_SMALL ? QW_CLASS_MTP : QW_CLASS_SMALL;
    default: return QW_CLASS_SMALL;
    }
}

/* ---- the table */

#define BODY(bits, group)           \
  {                                 \
    bits, group, QW_ENCODE_FEEDBACK \
  }
#define KEPT              \
  {                       \
    0, 0, QW_ENCODE_PLAIN \
  }

/* clang-format off */
/* name, about; then embed, head, q, k, v, o, qkv, z, a and b, out, gate, up, down */
#define RECIPE(name, about, embed, head, q, k, v, o, qkv, z, ab, out, gate, up, down)                                       \
    { name, about, { [QW_CLASS_EMBED] = embed, [QW_CLASS_HEAD] = head, [QW_CLASS_ATTN_Q] = q, [QW_CLASS_ATTN_K] = k,        \
                     [QW_CLASS_ATTN_V] = v, [QW_CLASS_ATTN_O] = o, [QW_CLASS_DELTA_QKV] = qkv, [QW_CLASS_DELTA_Z] = z,      \
                     [QW_CLASS_DELTA_AB] = ab, [QW_CLASS_DELTA_OUT] = out, [QW_CLASS_MLP_GATE] = gate,                      \
                     [QW_CLASS_MLP_UP] = up, [QW_CLASS_MLP_DOWN] = down, [QW_CLASS_MTP] = KEPT, [QW_CLASS_VISION] = KEPT } }
#define B4 BODY(4, 64)
#define B5 BODY(5, 64)
#define B6 BODY(6, 64)
#define B8 BODY(8, 64)
#define P6 { 6, 64, QW_ENCODE_PLAIN }
static const qw_recipe recipes[] = {
    /*                    embed head q   k   v   o   qkv z   ab    out gate up  down */
    RECIPE("6bit", "6 bits; what carries most (DeltaNet's and attention's way out, keys and values) 8; codes chosen by calibration",
                          B6,  B6,  B6, B8, B8, B8, B6, B6, KEPT, B8, B6,  B6, B6),
    RECIPE("6bit-plain", "6 bits for every matrix, codes as mlx_lm.convert makes them",
                          P6,  P6,  P6, P6, P6, P6, P6, P6, P6,   P6, P6,  P6, P6),
    RECIPE("5bit", "5 bits; what carries most 6; codes chosen by calibration",
                          B5,  B5,  B5, B6, B6, B6, B5, B5, KEPT, B6, B5,  B5, B5),
    RECIPE("4bit", "4 bits; what carries most 6; codes chosen by calibration",
                          B4,  B4,  B4, B6, B6, B6, B4, B4, KEPT, B6, B4,  B4, B4),
    RECIPE("8bit", "8 bits; codes chosen by calibration",
                          B8,  B8,  B8, B8, B8, B8, B8, B8, KEPT, B8, B8,  B8, B8),
};
/* clang-format on */

const qw_recipe *qw_recipe_at(size_t i) { return i < sizeof recipes / sizeof *recipes ? &recipes[i] : NULL; }

static const qw_recipe *find(const char *name)
{
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

/* ---- wishes */

bool qw_bits_exist(int bits) { return qw_type_affine(bits) != QW_TYPE_OTHER; }

static qwren_status check_wish(const qw_recipe_wish *w, qwren_error *err)
{
    if (w->bits && !qw_bits_exist(w->bits))
        return qw_fail(err, QWREN_E_ARGUMENT, "codes of %d bits do not exist in MLX's format; there are " QW_BITS_TEXT, w->bits);
    if (w->group && w->group != 32 && w->group != 64 && w->group != 128)
        return qw_fail(err, QWREN_E_ARGUMENT, "groups of %d weights do not exist in MLX's format; there are " QW_GROUPS_TEXT, w->group);
    if ((w->vision_bits && w->vision_bits != 8 && w->vision_bits != 16) || (w->mtp_bits && w->mtp_bits != 8 && w->mtp_bits != 16))
        return qw_fail(err, QWREN_E_ARGUMENT, "the image tower and the prediction head have 8 or 16 bits, not %d",
                       w->vision_bits && w->vision_bits != 8 && w->vision_bits != 16 ? w->vision_bits : w->mtp_bits);
    return QWREN_OK;
}

static qwren_status fail_name(const char *name, qwren_error *err)
{
    char list[200] = "";
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        strcat(list, recipes[i].name);
        strcat(list, ", ");
    }
    return qw_fail(err, QWREN_E_ARGUMENT, "there is no recipe \"%.60s\"; there are %sand auto with a number of bits per weight", name,
                   list);
}

/* The width of critical tensors above a body that has no recipe of its own. */
static int width_above(int bits) { return bits <= 2 ? 4 : bits == 3 ? 5 : bits <= 5 ? 6 : 8; }

/* The recipe for a body: the one with this width, or the 4-bit one's pattern. */
static qw_recipe recipe_of_body(int bits)
{
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (recipes[i].choice[QW_CLASS_MLP_GATE].bits == bits)
            return recipes[i];
    qw_recipe r = *find("4bit");
    snprintf(r.name, sizeof r.name, "%dbit", bits);
    for (int c = 0; c < QW_CLASS_COUNT; c++)
        if (r.choice[c].bits)
            r.choice[c].bits = r.choice[c].bits == 4 ? bits : width_above(bits);
    return r;
}

/* What is not the recipe of the table must not be called so: the name goes into recipe.json. */
static void add_to_name(qw_recipe *r, const char *what, int value)
{
    const size_t n = strlen(r->name);
    snprintf(r->name + n, sizeof r->name - n, ", %s %d", what, value);
}

/* Another body under a named recipe: critical tensors never get fewer bits than the body. */
static void change_body(qw_recipe *r, int bits)
{
    const int body = r->choice[QW_CLASS_MLP_GATE].bits;
    if (body != bits)
        add_to_name(r, "body", bits);
    for (int c = 0; c < QW_CLASS_COUNT; c++)
        if (r->choice[c].bits == body || (r->choice[c].bits && r->choice[c].bits < bits))
            r->choice[c].bits = bits;
}

static void change_group(qw_recipe *r, int group)
{
    const int body = r->choice[QW_CLASS_MLP_GATE].group;
    if (body != group)
        add_to_name(r, "groups of", group);
    for (int c = 0; c < QW_CLASS_COUNT; c++)
        if (r->choice[c].group == body)
            r->choice[c].group = group;
}

qwren_status qw_recipe_make(qw_recipe *out, const qw_recipe_wish *w, qwren_error *err)
{
    QW_TRY(check_wish(w, err));
    const qw_recipe *named = find(w->name ? w->name : "6bit");
    if (!named)
        return fail_name(w->name, err);
    *out = w->bits && !w->name ? recipe_of_body(w->bits) : *named;
    if (w->bits)
        change_body(out, w->bits);
    if (w->group)
        change_group(out, w->group);
    if (w->vision_bits == 8)
        out->choice[QW_CLASS_VISION] = (qw_choice){ 8, 64, QW_ENCODE_PLAIN };
    if (w->mtp_bits != 16)
        out->choice[QW_CLASS_MTP] = (qw_choice){ 8, 64, QW_ENCODE_SEARCH };
    return QWREN_OK;
}

bool qw_recipe_learns(const qw_recipe *r)
{
    for (int c = 0; c < QW_CLASS_COUNT; c++)
        if (r->choice[c].bits && r->choice[c].method == QW_ENCODE_FEEDBACK)
            return true;
    return false;
}
