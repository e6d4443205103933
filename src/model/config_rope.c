/* How positions become angles, out of config.json: in rope_parameters, in the older rope_scaling, or beside them; and YaRN, with which a
 * model takes more positions than it was trained on. Tested by tests/unit/test_config.c and tests/golden/test_yarn.c. */
#include "model/config_parts.h"

#include <math.h>
#include <string.h>

/* Where keys may stand, the first place that has one wins. The reference looks at rope_scaling alone once it is there; what people mean who
 * add it beside a rope_parameters is that the rest stays. */
typedef struct places {
    qw_fields at[3];
    int n;
} places;

static qwren_status find_places(const qw_fields *f, places *p)
{
    const bool nested = f->section[0] != '\0';
    qw_fields newer, older;
    *p = (places){ 0 };
    QW_TRY(qw_field_object(f, "rope_parameters", nested ? "text_config.rope_parameters." : "rope_parameters.", &newer));
    QW_TRY(qw_field_object(f, "rope_scaling", nested ? "text_config.rope_scaling." : "rope_scaling.", &older));
    if (qw_json_size(older.object))
        p->at[p->n++] = older;
    if (newer.object)
        p->at[p->n++] = newer;
    p->at[p->n++] = *f;
    return QWREN_OK;
}

/* The place of a key; that where it would belong when it is missing. */
static const qw_fields *where(const places *p, const char *key)
{
    for (int i = 0; i < p->n; i++)
        if (qw_field(&p->at[i], key))
            return &p->at[i];
    return &p->at[0];
}

static qwren_status number_maybe(const places *p, const char *key, double min, double max, double *out)
{
    return qw_field_number_maybe(where(p, key), key, min, max, out);
}

static qwren_status read_sections(const places *p, qw_text_config *t)
{
    static const int published[3] = { 11, 11, 10 };
    const qw_fields *at = where(p, "mrope_section");
    const qw_json *list = qw_field(at, "mrope_section");
    int pairs = t->rotary_dim / 2, sum = 0;
    bool good = !list || (qw_json_is(list, QW_JSON_ARRAY) && qw_json_size(list) == 3);
    for (int i = 0; good && i < 3; i++) {
        int64_t n = list ? qw_json_int(qw_json_at(list, (size_t)i), -1) : published[i];
        good = n >= 0 && n <= pairs;
        t->mrope_section[i] = good ? (int)n : 0;
        sum += t->mrope_section[i];
    }
    return good && sum == pairs
               ? QWREN_OK
               : qw_field_fail(at, QWREN_E_FORMAT, "mrope_section",
                               "three numbers of pairs are needed whose sum is %d, half of the %d rotated values of a head", pairs,
                               t->rotary_dim);
}

/* ---- YaRN: the keys of transformers' _compute_yarn_parameters, and its defaults */

/* "rope_type", or as it was called before, "type". */
static qwren_status read_type(const places *p, bool *is_yarn)
{
    const char *key = qw_field(where(p, "rope_type"), "rope_type") ? "rope_type" : "type";
    const qw_fields *at = where(p, key);
    const qw_json *v = qw_field(at, key);
    const char *text = qw_json_string(v, NULL), *type = text ? text : "";
    *is_yarn = strcmp(type, "yarn") == 0;
    if (!v || *is_yarn || strcmp(type, "default") == 0 || strcmp(type, "mrope") == 0)
        return QWREN_OK;
    return qw_field_fail(at, QWREN_E_UNSUPPORTED, key, "supported is \"default\" (or \"mrope\", which means the same) and \"yarn\"");
}

/* A missing 0 or null stands for the default, as in the reference. */
static void use_default(double *x, double value) { *x = *x == 0 ? value : *x; }

static qwren_status read_yarn(const places *p, qw_text_config *t)
{
    qw_yarn *y = &t->yarn;
    bool truncate = true;
    y->original = t->max_positions;
    QW_TRY(qw_field_number(where(p, "factor"), "factor", 1, QW_MOST_YARN, &y->factor));
    QW_TRY(number_maybe(p, "original_max_position_embeddings", 1, QW_MOST_POSITIONS, &y->original));
    QW_TRY(number_maybe(p, "beta_fast", 0, 1e6, &y->beta_fast));
    QW_TRY(number_maybe(p, "beta_slow", 0, 1e6, &y->beta_slow));
    QW_TRY(number_maybe(p, "attention_factor", 1e-3, 1e3, &y->attention));
    QW_TRY(number_maybe(p, "mscale", 0, 1e3, &y->mscale));
    QW_TRY(number_maybe(p, "mscale_all_dim", 0, 1e3, &y->mscale_all_dim));
    QW_TRY(qw_field_bool_maybe(where(p, "truncate"), "truncate", &truncate));
    use_default(&y->beta_fast, QW_YARN_FAST);
    use_default(&y->beta_slow, QW_YARN_SLOW);
    y->fractions = !truncate;
    const qw_fields *theta = where(p, "rope_theta");
    if (t->rope_theta <= 1) /* all pairs turn alike: none is slower than another */
        return qw_field_fail(theta, QWREN_E_FORMAT, "rope_theta", "with \"yarn\" it must be more than 1");
    if (y->beta_fast < y->beta_slow)
        return qw_field_fail(where(p, "beta_fast"), QWREN_E_FORMAT, "beta_fast", "it must not be less than beta_slow, which is %g",
                             y->beta_slow);
    return qw_yarn_positions(t)
               ? QWREN_OK
               : qw_field_fail(where(p, "factor"), QWREN_E_LIMIT, "factor", "times %.0f positions it is more than %d, which is supported",
                               y->original, QW_MOST_POSITIONS);
}

bool qw_yarn_positions(qw_text_config *t)
{
    const double most = floor(t->yarn.factor * t->yarn.original);
    if (most > QW_MOST_POSITIONS)
        return false;
    t->max_positions = most > t->max_positions ? (int)most : t->max_positions;
    return true;
}

qwren_status qw_text_config_stretch(qw_text_config *c, double factor, qwren_error *err)
{
    qw_yarn *y = &c->yarn;
    if (c->rope_theta <= 1)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "YaRN needs slow and fast rotations, but this model's rope_theta is %g", c->rope_theta);
    if (y->factor == 0)
        *y = (qw_yarn){ .original = c->max_positions, .beta_fast = QW_YARN_FAST, .beta_slow = QW_YARN_SLOW };
    y->factor = factor;
    y->attention = 0;     /* a file's own was for its own factor */
    c->max_positions = 1; /* those of the file's factor are no more */
    return qw_yarn_positions(c) ? QWREN_OK
                                : qw_fail(err, QWREN_E_LIMIT, "YaRN: %g times %.0f positions is more than %d, which is supported", factor,
                                          y->original, QW_MOST_POSITIONS);
}

/* ---- all of it */

qwren_status qw_rope_config_read(qw_text_config *t, const qw_fields *text)
{
    places p;
    double part = 0.25;
    bool is_yarn = false;
    QW_TRY(find_places(text, &p));
    QW_TRY(read_type(&p, &is_yarn));
    QW_TRY(qw_field_must_be_bool(where(&p, "mrope_interleaved"), "mrope_interleaved", true));
    QW_TRY(qw_field_number(where(&p, "rope_theta"), "rope_theta", 1, 1e15, &t->rope_theta));
    QW_TRY(number_maybe(&p, "partial_rotary_factor", 0, 1, &part));
    t->rotary_dim = (int)(t->head_dim * part);
    if (t->rotary_dim < 2 || t->rotary_dim % 2)
        return qw_field_fail(where(&p, "partial_rotary_factor"), QWREN_E_FORMAT, "partial_rotary_factor",
                             "it must make an even number of the %d values of a head, not %d", t->head_dim, t->rotary_dim);
    QW_TRY(read_sections(&p, t));
    return is_yarn ? read_yarn(&p, t) : QWREN_OK;
}
