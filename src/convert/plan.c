/* Recipe x tensors -> plan (plan.h). Tested by tests/unit/test_recipe.c. */
#include "convert/plan.h"

#include "base/alloc.h"
#include "weights/names.h"

#include <string.h>

/* ---- what a shape allows */

qw_choice qw_choice_fit(qw_choice c, size_t cols, const char **note)
{
    *note = NULL;
    if (!c.bits)
        return c;
    for (int group = c.group; group >= 32; group /= 2)
        if (cols % (size_t)group == 0) {
            if (group != c.group)
                *note = "rows are no multiple of the recipe's group";
            c.group = group;
            return c;
        }
    *note = "rows are no multiple of 32: kept in float";
    return (qw_choice){ 0 };
}

/* ---- making */

static void set_entry(qw_plan_entry *e, const qw_tensor *t, const qw_recipe *r)
{
    *e = (qw_plan_entry){ .source = t, .class = qw_class_of(t->name), .rows = t->n_dims ? t->shape[0] : 1, .cols = 1 };
    for (int i = 1; i < t->n_dims; i++)
        e->cols *= t->shape[i];
    if (t->n_dims == 2)
        e->choice = qw_choice_fit(r->choice[e->class], e->cols, &e->note);
}

qwren_status qw_plan_make(qw_plan *out, const qw_tensor *const *tensors, size_t n, const qw_recipe *r, qwren_error *err)
{
    *out = (qw_plan){ .entries = qw_calloc(n ? n : 1, sizeof *out->entries), .n = n };
    if (!out->entries)
        return qw_fail_memory(err, n * sizeof *out->entries, "the plan");
    for (size_t i = 0; i < n; i++)
        set_entry(&out->entries[i], tensors[i], r);
    return QWREN_OK;
}

void qw_plan_deinit(qw_plan *p)
{
    qw_free(p->entries);
    *p = (qw_plan){ 0 };
}

/* ---- questions */

qw_plan_entry *qw_plan_find(const qw_plan *p, const char *our_name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->entries[i].source->name, our_name) == 0)
            return &p->entries[i];
    return NULL;
}

qw_type qw_plan_type(const qw_plan_entry *e) { return e->choice.bits ? qw_type_affine(e->choice.bits) : QW_TYPE_OTHER; }

uint64_t qw_plan_bits(const qw_plan_entry *e, qw_choice c)
{
    const uint64_t n = (uint64_t)e->rows * e->cols;
    if (!c.bits)
        return n * 8 * qw_type_block_bytes(e->source->type);
    return n * (uint64_t)c.bits + n / (uint64_t)c.group * 32;
}

double qw_plan_bits_per_weight(const qw_plan *p)
{
    double bits = 0, weights = 0;
    for (size_t i = 0; i < p->n; i++)
        if (qw_part_of(p->entries[i].source->name) == QW_PART_TEXT) {
            bits += (double)qw_plan_bits(&p->entries[i], p->entries[i].choice);
            weights += (double)p->entries[i].rows * (double)p->entries[i].cols;
        }
    return weights > 0 ? bits / weights : 0;
}
