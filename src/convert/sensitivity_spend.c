/* From a table of losses to the choices of a plan (sensitivity_spend.h). Tested by tests/unit/test_sensitivity_spend.c. */
#include "convert/sensitivity_spend.h"

#include "base/alloc.h"
#include "convert/budget.h"
#include "weights/names.h"

#include <stdio.h>
#include <string.h>

const qw_choice qw_auto_options[QW_AUTO_OPTIONS] = {
    { 3, 64, QW_ENCODE_FEEDBACK }, [QW_AUTO_REFERENCE] = { 4, 64, QW_ENCODE_FEEDBACK },
    { 4, 32, QW_ENCODE_FEEDBACK }, { 5, 64, QW_ENCODE_FEEDBACK },
    { 5, 32, QW_ENCODE_FEEDBACK }, { 6, 64, QW_ENCODE_FEEDBACK },
    { 6, 32, QW_ENCODE_FEEDBACK }, { 8, 64, QW_ENCODE_FEEDBACK },
};
_Static_assert(QW_AUTO_OPTIONS <= QW_MAX_OPTIONS, "a unit has room for all of them");

bool qw_auto_takes_part(const qw_plan_entry *e) { return e->choice.bits && e->class <= QW_CLASS_MLP_DOWN; }

/* Units are entries or classes by their names. */
typedef struct spending {
    qw_unit *units;
    const char **names;
    size_t n;
} spending;

static bool is_called(const qw_plan_entry *e, const char *name)
{
    return strcmp(e->source->name, name) == 0 || strcmp(qw_class_name(e->class), name) == 0;
}

static void add_bits(const qw_plan *p, const char *name, qw_unit *u)
{
    for (size_t i = 0; i < p->n; i++) {
        const qw_plan_entry *e = &p->entries[i];
        const char *note;
        for (size_t o = 0; qw_auto_takes_part(e) && is_called(e, name) && o < QW_AUTO_OPTIONS; o++)
            u->options[o].bits += 8.0 * (double)qw_plan_bytes(p, e, qw_choice_fit(qw_auto_options[o], e->cols, &note));
    }
}

static void read_units(const qw_plan *p, const qw_json *kld, spending *s)
{
    for (qw_json_iter it = qw_json_first(kld); it.key; qw_json_next(kld, &it)) {
        qw_unit *u = &s->units[s->n];
        *u = (qw_unit){ .n = QW_AUTO_OPTIONS };
        for (size_t o = 0; o < QW_AUTO_OPTIONS; o++) {
            char key[16];
            snprintf(key, sizeof key, "%d/%d", qw_auto_options[o].bits, qw_auto_options[o].group);
            u->options[o].loss = qw_json_number(qw_json_get(it.value, key), 0);
        }
        add_bits(p, it.key, u);
        s->names[s->n++] = it.key;
    }
}

/* Of the text model: its weights, and the bits of what stays as it is. */
static void count_text(const qw_plan *p, double *weights, double *kept)
{
    *weights = *kept = 0;
    for (size_t i = 0; i < p->n; i++) {
        const qw_plan_entry *e = &p->entries[i];
        if (qw_part_of(e->source->name) != QW_PART_TEXT)
            continue;
        *weights += (double)e->rows * (double)e->cols;
        *kept += qw_auto_takes_part(e) ? 0 : 8.0 * (double)qw_plan_bytes(p, e, e->choice);
    }
}

static void choose(qw_plan *p, const spending *s)
{
    for (size_t i = 0; i < p->n; i++) {
        qw_plan_entry *e = &p->entries[i];
        for (size_t u = 0; qw_auto_takes_part(e) && u < s->n; u++)
            if (is_called(e, s->names[u])) {
                e->choice = qw_choice_fit(qw_auto_options[s->units[u].chosen], e->cols, &e->note);
                break;
            }
    }
}

static qwren_status spend(qw_plan *p, spending *s, double bpw, qwren_error *err)
{
    double weights, kept;
    count_text(p, &weights, &kept);
    const double bits = weights * bpw - kept, spent = qw_budget_spend(s->units, s->n, bits);
    if (spent > bits)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "%.4g bits per weight are too few for this model: the least that recipe \"auto\" can do is %.4g", bpw,
                       (spent + kept) / weights);
    choose(p, s);
    return QWREN_OK;
}

qwren_status qw_auto_spend(qw_plan *p, const qw_json *kld, double bpw, qwren_error *err)
{
    const size_t n = qw_json_size(kld);
    spending s = { .units = qw_calloc(n ? n : 1, sizeof *s.units), .names = qw_calloc(n ? n : 1, sizeof *s.names) };
    qwren_status st = QWREN_OK;
    if (s.units && s.names) {
        read_units(p, kld, &s);
        st = spend(p, &s, bpw, err);
    } else {
        st = qw_fail_memory(err, n * sizeof *s.units, "sensitivities");
    }
    qw_free(s.units);
    qw_free((void *)s.names);
    return st;
}
