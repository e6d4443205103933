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

static qwren_status begin(qw_plan *out, size_t most, const qw_folder_rules *rules, qwren_error *err)
{
    *out = (qw_plan){ .entries = qw_calloc(most ? most : 1, sizeof *out->entries), .rules = *rules };
    return out->entries ? QWREN_OK : qw_fail_memory(err, most * sizeof *out->entries, "the plan");
}

static void add(qw_plan *p, const qw_tensor *t, const qw_recipe *r)
{
    if (qw_rules_take(&p->rules, t))
        set_entry(&p->entries[p->n++], t, r);
}

qwren_status qw_plan_make(qw_plan *out, const qw_tensor *const *tensors, size_t n, const qw_folder_rules *rules, const qw_recipe *r,
                          qwren_error *err)
{
    QW_TRY(begin(out, n, rules, err));
    for (size_t i = 0; i < n; i++)
        add(out, tensors[i], r);
    return QWREN_OK;
}

qwren_status qw_plan_weights(qw_plan *out, const qw_weights *w, const qw_folder_rules *rules, const qw_recipe *r, qwren_error *err)
{
    QW_TRY(begin(out, qw_weights_count(w), rules, err));
    for (size_t i = 0; i < qw_weights_count(w); i++)
        add(out, qw_weights_at(w, i), r);
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

static qw_type type_of(qw_choice c) { return c.bits ? qw_type_affine(c.bits) : QW_TYPE_OTHER; }

qw_type qw_plan_type(const qw_plan_entry *e) { return type_of(e->choice); }

uint64_t qw_plan_bytes(const qw_plan *p, const qw_plan_entry *e, qw_choice c)
{
    const qw_folder_tensor t = { e->source, type_of(c), c.group };
    return qw_rules_bytes(&p->rules, &t);
}

double qw_plan_bits_per_weight(const qw_plan *p)
{
    double bits = 0, weights = 0;
    for (size_t i = 0; i < p->n; i++)
        if (qw_part_of(p->entries[i].source->name) == QW_PART_TEXT) {
            bits += 8.0 * (double)qw_plan_bytes(p, &p->entries[i], p->entries[i].choice);
            weights += (double)p->entries[i].rows * (double)p->entries[i].cols;
        }
    return weights > 0 ? bits / weights : 0;
}
