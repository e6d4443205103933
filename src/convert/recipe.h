/* How many bits each kind of tensor gets. A recipe is a row of a table; the figures that it was chosen by stand in docs/quantisation.md. */
#ifndef QW_CONVERT_RECIPE_H
#define QW_CONVERT_RECIPE_H

#include "base/status.h"
#include "convert/encode.h"

/* What a tensor is for. The order is that of the table in recipe.c and of `class` in recipe.json. */
typedef enum qw_tensor_class {
    QW_CLASS_EMBED, /* embed_tokens; the head too, when they are one tensor */
    QW_CLASS_HEAD,  /* lm_head */
    QW_CLASS_ATTN_Q,
    QW_CLASS_ATTN_K,
    QW_CLASS_ATTN_V,
    QW_CLASS_ATTN_O,
    QW_CLASS_DELTA_QKV,
    QW_CLASS_DELTA_Z,
    QW_CLASS_DELTA_AB, /* in_proj_a, in_proj_b: a row for each head; they steer the decay of the state */
    QW_CLASS_DELTA_OUT,
    QW_CLASS_MLP_GATE,
    QW_CLASS_MLP_UP,
    QW_CLASS_MLP_DOWN,
    QW_CLASS_MTP,    /* matrices of the prediction head */
    QW_CLASS_VISION, /* matrices of the tower's blocks and merger */
    QW_CLASS_SMALL,  /* norms, biases, convolutions, positions: always as they are */
    QW_CLASS_COUNT
} qw_tensor_class;

const char *qw_class_name(qw_tensor_class c); /* "attention.q" */
/* By our name (weights/names.h). */
qw_tensor_class qw_class_of(const char *our_name);

/* What becomes of a tensor. bits 0: kept as it is. */
typedef struct qw_choice {
    int bits, group;
    qw_encode_method method;
} qw_choice;

typedef struct qw_recipe {
    char name[40]; /* "4bit"; "4bit, body 2" when a wish changed it */
    const char *about;
    qw_choice choice[QW_CLASS_COUNT];
} qw_recipe;

/* The table, for lists and help. NULL behind the last. */
const qw_recipe *qw_recipe_at(size_t i);

/* What the caller asks for; 0 or NULL where nothing is said. */
typedef struct qw_recipe_wish {
    const char *name;          /* of the table; NULL: "6bit", or a body of `bits` */
    int bits, group;           /* of the body: the named recipe's critical classes keep what is above it */
    int vision_bits, mtp_bits; /* 8 or 16 (kept); 0 = 16 for the tower, 8 for the prediction head */
} qw_recipe_wish;
/* Unknown names and widths that the format does not have are E_ARGUMENT, naming those that exist. "auto" is not in the table
 * (sensitivity.h). */
qwren_status qw_recipe_make(qw_recipe *out, const qw_recipe_wish *wish, qwren_error *err);

/* Whether calibration changes anything. */
bool qw_recipe_learns(const qw_recipe *r);

/* Whether MLX's format has codes of this width; the list for messages. */
bool qw_bits_exist(int bits);
#define QW_BITS_TEXT "2, 3, 4, 5, 6 and 8"
#define QW_GROUPS_TEXT "32, 64 and 128"

#endif
