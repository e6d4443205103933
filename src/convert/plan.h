/* Which tensor of a checkpoint becomes what: a recipe laid over the tensors. Made before any work, so that every size is known. */
#ifndef QW_CONVERT_PLAN_H
#define QW_CONVERT_PLAN_H

#include "convert/folder.h"
#include "convert/recipe.h"
#include "weights/weights.h"

typedef struct qw_plan_entry {
    const qw_tensor *source;
    qw_tensor_class class;
    size_t rows, cols; /* of a matrix: rows = shape[0] */
    qw_choice choice;  /* after what the shape allows */
    const char *note;  /* why it is not what the recipe says; NULL otherwise */
} qw_plan_entry;

typedef struct qw_plan {
    qw_plan_entry *entries; /* in the order of the tensors it was made from */
    size_t n;
    qw_folder_rules rules; /* that sizes go by */
} qw_plan;

/* Of those tensors that the rules take. Rows that are no multiple of the group get a smaller group, or stay as they are. The tensors
 * outlive the plan. Free with qw_plan_deinit(), after a failure too. */
qwren_status qw_plan_make(qw_plan *out, const qw_tensor *const *tensors, size_t n, const qw_folder_rules *rules, const qw_recipe *recipe,
                          qwren_error *err);
/* The same of all tensors of a checkpoint. */
qwren_status qw_plan_weights(qw_plan *out, const qw_weights *weights, const qw_folder_rules *rules, const qw_recipe *recipe,
                             qwren_error *err);
void qw_plan_deinit(qw_plan *p); /* safe on zeros */

/* The entry of the tensor, NULL when there is none. */
qw_plan_entry *qw_plan_find(const qw_plan *p, const char *our_name);
/* `choice` brought to what rows of `cols` allow; *note says why it is another, or is NULL. */
qw_choice qw_choice_fit(qw_choice choice, size_t cols, const char **note);

/* Bytes that an entry takes in the file when it becomes `choice`. */
uint64_t qw_plan_bytes(const qw_plan *p, const qw_plan_entry *e, qw_choice choice);
/* Bits of all text tensors, for each weight. */
double qw_plan_bits_per_weight(const qw_plan *p);
/* An affine type; QW_TYPE_OTHER for what stays in float. */
qw_type qw_plan_type(const qw_plan_entry *e);

#endif
