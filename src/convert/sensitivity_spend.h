/* Recipe "auto": what a tensor may become, and a table of losses turned into a plan. Pure arithmetic; sensitivity.c measures. */
#ifndef QW_CONVERT_SENSITIVITY_SPEND_H
#define QW_CONVERT_SENSITIVITY_SPEND_H

#include "base/json.h"
#include "convert/plan.h"

/* Cheapest first. */
#define QW_AUTO_OPTIONS 8
extern const qw_choice qw_auto_options[QW_AUTO_OPTIONS];
#define QW_AUTO_REFERENCE 1 /* the option that is measured for every unit: 4 bits in groups of 64 */

/* Whether its bits are a question: matrices of the text model that the recipe does not keep in float. */
bool qw_auto_takes_part(const qw_plan_entry *e);

/* kld: {"NAME of a tensor or a class": {"3/64": loss, ...}, ...}. Sets the choices of those entries, so that all text tensors together take
 * at most `bpw` bits per weight. E_ARGUMENT with the least that is possible when that is more. */
qwren_status qw_auto_spend(qw_plan *p, const qw_json *kld, double bpw, qwren_error *err);

#endif
