/* Recipe "auto": every tensor alone as codes, what that does to the answers, and a plan that spends its bits where they help most. All
 * variants of the model go through a layer together, so that it is read once; a variant begins where it differs from the source. Of a large
 * model the variants are whole classes of tensors at one width, and the other widths follow from their errors. Tested by
 * tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "convert/codes.h"
#include "convert/divergence.h"
#include "convert/run.h"
#include "convert/sensitivity_spend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TENSOR_WORK 2e12 /* operations that measuring every tensor may cost */
#define TOKENS_SMALL 1024
#define TOKENS_LARGE 128
#define SAMPLE_ROWS 64           /* of a tensor, for the errors of all options */
#define LOGITS ((size_t)4 << 20) /* at a time */

/* The plain powers of the format; the others follow by their errors. Of classes QW_AUTO_REFERENCE alone. */
static bool is_measured(bool by_tensor, size_t option)
{
    return option == QW_AUTO_REFERENCE || (by_tensor && qw_auto_options[option].group == 64);
}

/* One tensor, or one class. */
typedef struct unit {
    char name[80];
    qw_tensor_class class;
    size_t entry; /* when it is one tensor */
    double weights;
    double errors[QW_AUTO_OPTIONS]; /* sums over sampled rows */
    double loss[QW_AUTO_OPTIONS];
} unit;

/* The model with one unit as codes. */
typedef struct variant {
    size_t unit, option;
    float *x; /* [tokens, H]; NULL while it is the source's */
    double loss;
} variant;

typedef struct measuring {
    qw_run *run;
    bool by_tensor;
    qw_streams streams; /* x is the source's */
    unit *units;
    size_t n_units;
    variant *variants;
    size_t n_variants;
    uint64_t done, total;
} measuring;

/* ---- units */

static size_t floats(const measuring *m) { return m->streams.n_tokens * (size_t)m->run->config->hidden_size; }

static unit *find_class(measuring *m, qw_tensor_class class)
{
    for (size_t u = 0; u < m->n_units; u++)
        if (m->units[u].class == class)
            return &m->units[u];
    return NULL;
}

static size_t unit_of(const measuring *m, size_t entry)
{
    const qw_plan_entry *e = &m->run->plan.entries[entry];
    for (size_t u = 0; u < m->n_units; u++)
        if (m->by_tensor ? m->units[u].entry == entry : m->units[u].class == e->class)
            return u;
    return m->n_units; /* not reached for entries that take part */
}

static void add_units(measuring *m)
{
    const qw_plan *p = &m->run->plan;
    for (size_t i = 0; i < p->n; i++) {
        const qw_plan_entry *e = &p->entries[i];
        if (!qw_auto_takes_part(e))
            continue;
        unit *u = m->by_tensor ? NULL : find_class(m, e->class);
        if (!u) {
            u = &m->units[m->n_units++];
            *u = (unit){ .class = e->class, .entry = i };
            snprintf(u->name, sizeof u->name, "%s", m->by_tensor ? e->source->name : qw_class_name(e->class));
        }
        u->weights += (double)e->rows * (double)e->cols;
    }
}

static void add_variants(measuring *m)
{
    for (size_t u = 0; u < m->n_units; u++)
        for (size_t o = 0; o < QW_AUTO_OPTIONS; o++)
            if (is_measured(m->by_tensor, o))
                m->variants[m->n_variants++] = (variant){ .unit = u, .option = o };
}

/* Operations of measuring every tensor at every width of group 64, on TOKENS_SMALL tokens: half the layers, and the head. */
static bool can_do_tensors(const qw_run *r)
{
    double weights = 0, head = (double)r->config->vocab_size * (double)r->config->hidden_size, tensors = 0;
    for (size_t i = 0; i < r->plan.n; i++)
        if (qw_auto_takes_part(&r->plan.entries[i])) {
            weights += (double)r->plan.entries[i].rows * (double)r->plan.entries[i].cols;
            tensors++;
        }
    return tensors * 5 * TOKENS_SMALL * 2 * (weights / 2 + head) < TENSOR_WORK;
}

/* The first samples, to about `most` tokens. */
static size_t count_samples(const qw_run *r, size_t most)
{
    size_t n = 0, tokens = 0;
    while (n < r->job->n_samples && tokens < most)
        tokens += r->job->samples[n++].n;
    return n;
}

static qwren_status begin(measuring *m, qw_run *r, qwren_error *err)
{
    *m = (measuring){ .run = r, .by_tensor = can_do_tensors(r) };
    const size_t n = count_samples(r, m->by_tensor ? TOKENS_SMALL : TOKENS_LARGE);
    QW_TRY(qw_streams_init(&m->streams, r->source, r->job->samples, n, err));
    m->units = qw_calloc(r->plan.n, sizeof *m->units);
    m->variants = qw_calloc(r->plan.n * QW_AUTO_OPTIONS, sizeof *m->variants);
    if (!m->units || !m->variants)
        return qw_fail_memory(err, r->plan.n * (sizeof *m->units + QW_AUTO_OPTIONS * sizeof *m->variants), "sensitivities");
    add_units(m);
    add_variants(m);
    m->total = (uint64_t)m->n_variants * ((uint64_t)r->config->n_layers + 1);
    return QWREN_OK;
}

static void end(measuring *m)
{
    for (size_t v = 0; v < m->n_variants; v++)
        qw_free(m->variants[v].x);
    qw_free(m->variants);
    qw_free(m->units);
    qw_streams_deinit(&m->streams);
}

static qwren_status advance(measuring *m, qwren_error *err)
{
    m->run->done = ++m->done;
    return qw_run_report(m->run, "sensitivity", m->done, m->total, err);
}

/* ---- codes of a variant */

static qwren_status make(const measuring *m, size_t entry, size_t option, const qw_matrix *source, const qw_moments *moments,
                         qw_matrix *out, double *errors, qwren_error *err)
{
    qw_run *r = m->run;
    const char *note;
    const qw_choice c = qw_choice_fit(qw_auto_options[option], source->cols, &note);
    *out = qw_run_shape(r, entry, c);
    out->rows = source->rows;
    qw_code_sums *sums = qw_alloc_array(source->rows, sizeof *sums);
    if (!sums)
        return qw_fail_memory(err, source->rows * sizeof *sums, "sensitivities");
    qwren_status st = qw_codes_alloc(out, err);
    if (st == QWREN_OK)
        st = qw_codes_make(r->pool, out, source, qw_run_method(c.method, moments), moments, sums, r->plan.entries[entry].source->file_name,
                           0, err);
    if (st != QWREN_OK)
        qw_codes_free(out);
    for (size_t k = 0; st == QWREN_OK && errors && k < source->rows; k++)
        *errors += sums[k].errors;
    qw_free(sums);
    return st;
}

/* The errors of all options on a few rows from the middle. */
static qwren_status compare_options(measuring *m, size_t entry, const qw_moments *moments, qwren_error *err)
{
    const qw_matrix all = qw_run_source(m->run, entry);
    const size_t n = all.rows < SAMPLE_ROWS ? all.rows : SAMPLE_ROWS;
    const qw_matrix rows = qw_matrix_rows(&all, (all.rows - n) / 2, n);
    unit *u = &m->units[unit_of(m, entry)];
    for (size_t o = 0; o < QW_AUTO_OPTIONS; o++) {
        qw_matrix codes;
        QW_TRY(make(m, entry, o, &rows, moments, &codes, &u->errors[o], err));
        qw_codes_free(&codes);
    }
    return QWREN_OK;
}

/* ---- streams of the variants */

static qwren_status own_stream(measuring *m, variant *v, qwren_error *err)
{
    if (v->x)
        return QWREN_OK;
    v->x = qw_alloc_array(floats(m), sizeof *v->x);
    if (!v->x)
        return qw_fail_memory(err, floats(m) * sizeof *v->x, "sensitivities");
    memcpy(v->x, m->streams.x, floats(m) * sizeof *v->x);
    return QWREN_OK;
}

/* The embedding's rows as codes. A row is made each time it occurs: those of the samples are few among all. */
static qwren_status embed_codes(measuring *m, variant *v, size_t entry, qwren_error *err)
{
    const size_t H = (size_t)m->run->config->hidden_size;
    const qw_matrix all = qw_run_source(m->run, entry);
    size_t at = 0;
    QW_TRY(own_stream(m, v, err));
    for (size_t s = 0; s < m->streams.n_samples; at += m->streams.samples[s++].n) {
        const qw_timeline *t = &m->streams.samples[s];
        size_t span = 0;
        for (size_t i = 0; i < t->n; i++) {
            while (span < t->n_spans && i >= t->spans[span].begin + t->spans[span].n)
                span++;
            if (span < t->n_spans && i >= t->spans[span].begin)
                continue; /* a picture */
            const qw_matrix row = qw_matrix_rows(&all, (size_t)t->ids[i], 1);
            qw_matrix codes;
            QW_TRY(make(m, entry, v->option, &row, NULL, &codes, NULL, err));
            qw_matrix_decode(&codes, 0, 0, H, v->x + (at + i) * H);
            qw_codes_free(&codes);
        }
    }
    return QWREN_OK;
}

static qwren_status embed(measuring *m, qwren_error *err)
{
    const qw_plan_entry *e = qw_plan_find(&m->run->plan, "embed_tokens.weight");
    qw_streams_embed(&m->streams, &m->run->source->text.embed, m->streams.x);
    for (size_t v = 0; e && v < m->n_variants; v++)
        if (m->units[m->variants[v].unit].class == QW_CLASS_EMBED)
            QW_TRY(embed_codes(m, &m->variants[v], (size_t)(e - m->run->plan.entries), err));
    return QWREN_OK;
}

/* One variant through layer n; where it has nothing of its own it stays the source's, or goes through the source's layer. */
static qwren_status run_variant(measuring *m, int n, variant *v, const qw_layer_moments *moments, qwren_error *err)
{
    qw_run *r = m->run;
    qw_coded_layer l;
    qwren_status st = QWREN_OK;
    bool differs = false;
    qw_coded_layer_begin(r, n, &l);
    for (size_t k = 0; k < l.n && st == QWREN_OK; k++) {
        size_t entry = 0;
        st = qw_run_entry_of(r, n, l.slots[k].name, &entry, err);
        if (st != QWREN_OK || !qw_auto_takes_part(&r->plan.entries[entry]) || unit_of(m, entry) != v->unit)
            continue;
        const qw_matrix source = qw_run_source(r, entry);
        qw_matrix codes;
        st = make(m, entry, v->option, &source, moments->of[l.slots[k].input], &codes, NULL, err);
        if (st == QWREN_OK)
            qw_coded_layer_set(&l, k, &codes);
        differs = true;
    }
    if (st == QWREN_OK && differs)
        st = own_stream(m, v, err);
    if (st == QWREN_OK && v->x && !qw_streams_layer(&m->streams, &l.layer, v->x, v->x, qw_run_keep_on, r))
        st = qw_run_cancelled(err);
    qw_coded_layer_free(&l);
    return st;
}

static qwren_status compare_layer(measuring *m, int n, const qw_layer_moments *moments, qwren_error *err)
{
    qw_layer l = m->run->source->text.layers[n];
    qw_slot slots[QW_LAYER_SLOTS];
    const size_t n_slots = qw_layer_slots(&l, slots);
    for (size_t k = 0; k < n_slots; k++) {
        size_t entry = 0;
        QW_TRY(qw_run_entry_of(m->run, n, slots[k].name, &entry, err));
        if (qw_auto_takes_part(&m->run->plan.entries[entry]))
            QW_TRY(compare_options(m, entry, moments->of[slots[k].input], err));
    }
    return QWREN_OK;
}

static qwren_status run_layer(measuring *m, int n, qwren_error *err)
{
    qw_streams *s = &m->streams;
    qw_layer_moments moments;
    QW_TRY(qw_run_at_layer(
        qw_streams_observe(s, &m->run->source->text.layers[n], s->x, NULL, m->run->pool, &moments, qw_run_keep_on, m->run, err), n, err));
    qwren_status st = compare_layer(m, n, &moments, err);
    for (size_t v = 0; v < m->n_variants && st == QWREN_OK; v++) {
        st = run_variant(m, n, &m->variants[v], &moments, err);
        if (st == QWREN_OK)
            st = advance(m, err);
    }
    qw_layer_moments_free(&moments);
    QW_TRY(st);
    qw_streams_layer(s, &m->run->source->text.layers[n], s->x, s->x, NULL, NULL);
    qw_run_release_layer(m->run, n);
    return QWREN_OK;
}

/* ---- the answers */

/* Divergences of one variant over a block of the vocabulary. */
static void add_block(const measuring *m, qw_divergence *d, const float *source, const float *other, size_t rows)
{
    for (size_t t = 0; t < m->streams.n_tokens; t++)
        qw_divergence_add(&d[t], source + t * rows, other + t * rows, rows);
}

typedef struct answers {
    qw_divergence *d;      /* [variants, tokens] */
    float *source, *other; /* [tokens, rows] logits */
    qw_moments *moments;   /* of the head's inputs */
    size_t entry;          /* of the head */
    bool coded;            /* the head can be codes */
} answers;

static qwren_status answer_block(measuring *m, answers *a, const qw_matrix *rows, qwren_error *err)
{
    qw_ops *ops = m->run->source->ops;
    const size_t T = m->streams.n_tokens;
    qw_op_linear(ops, a->source, rows, NULL, m->streams.x, T);
    for (size_t v = 0; v < m->n_variants; v++) {
        const variant *one = &m->variants[v];
        qw_matrix codes = { 0 };
        const bool coded = a->coded && unit_of(m, a->entry) == one->unit;
        if (coded)
            QW_TRY(make(m, a->entry, one->option, rows, a->moments, &codes, NULL, err));
        qw_op_linear(ops, a->other, coded ? &codes : rows, NULL, one->x ? one->x : m->streams.x, T);
        qw_codes_free(&codes);
        add_block(m, a->d + v * T, a->source, a->other, rows->rows);
        QW_TRY(qw_run_report(m->run, "sensitivity", m->done, m->total, err));
    }
    qw_map_release(rows->data, rows->rows * qw_matrix_row_bytes(rows));
    return QWREN_OK;
}

static qwren_status fail_loss(const measuring *m, const variant *v, qwren_error *err)
{
    return qw_fail(
        err, QWREN_E_FORMAT,
        "the answers with %s at %d bits in groups of %d are not finite numbers; recipe \"auto\" cannot measure this model, take one by "
        "its name",
        m->units[v->unit].name, qw_auto_options[v->option].bits, qw_auto_options[v->option].group);
}

static qwren_status answer_all(measuring *m, answers *a, size_t block, qwren_error *err)
{
    const qw_matrix *head = &m->run->source->text.head;
    const size_t T = m->streams.n_tokens, H = head->cols;
    const float *norm = m->run->source->text.norm;
    for (size_t v = 0; v < m->n_variants; v++)
        if (m->variants[v].x)
            qw_streams_norm(&m->streams, norm, m->variants[v].x, T, m->variants[v].x);
    qw_streams_norm(&m->streams, norm, m->streams.x, T, m->streams.x);
    QW_TRY(qw_moments_create(&a->moments, H, qw_moments_block(H), err));
    qw_moments_add(a->moments, m->run->pool, m->streams.x, T);
    QW_TRY(qw_moments_finish(a->moments, m->run->pool, err));
    if (a->coded)
        QW_TRY(compare_options(m, a->entry, a->moments, err));
    for (size_t first = 0; first < head->rows; first += block) {
        const qw_matrix rows = qw_matrix_rows(head, first, head->rows - first < block ? head->rows - first : block);
        QW_TRY(answer_block(m, a, &rows, err));
    }
    for (size_t v = 0; v < m->n_variants; v++) {
        variant *one = &m->variants[v];
        for (size_t t = 0; t < T; t++)
            one->loss += qw_divergence_value(&a->d[v * T + t]) / (double)T;
        if (!isfinite(one->loss))
            return fail_loss(m, one, err);
        QW_TRY(advance(m, err));
    }
    return QWREN_OK;
}

static qwren_status answer(measuring *m, qwren_error *err)
{
    const qw_run *r = m->run;
    const qw_plan_entry *e = qw_plan_find(&r->plan, r->config->tied_embeddings ? "embed_tokens.weight" : "lm_head.weight");
    const size_t T = m->streams.n_tokens, n = m->n_variants * T;
    const size_t block = LOGITS / T < 1 ? 1 : LOGITS / T < (size_t)r->config->vocab_size ? LOGITS / T : (size_t)r->config->vocab_size;
    answers a = { .entry = e ? (size_t)(e - r->plan.entries) : 0, .coded = e && qw_auto_takes_part(e) };
    a.d = qw_alloc_array(n, sizeof *a.d);
    a.source = qw_alloc_array(T * block, sizeof *a.source);
    a.other = qw_alloc_array(T * block, sizeof *a.other);
    qwren_status st = QWREN_OK;
    if (!a.d || !a.source || !a.other)
        st = qw_fail_memory(err, n * sizeof *a.d + 2 * T * block * sizeof *a.source, "sensitivities");
    for (size_t i = 0; a.d && i < n; i++)
        a.d[i] = QW_DIVERGENCE_INIT;
    if (st == QWREN_OK)
        st = answer_all(m, &a, block, err);
    qw_moments_free(a.moments);
    qw_free(a.d);
    qw_free(a.source);
    qw_free(a.other);
    return st;
}

/* ---- the table */

/* Losses of options that were not measured: they grow as the squared error. */
static void fill_losses(measuring *m)
{
    for (size_t v = 0; v < m->n_variants; v++)
        m->units[m->variants[v].unit].loss[m->variants[v].option] = m->variants[v].loss;
    for (size_t u = 0; u < m->n_units; u++) {
        unit *one = &m->units[u];
        for (size_t o = 0; o < QW_AUTO_OPTIONS; o++) {
            size_t near = QW_AUTO_REFERENCE; /* the measured one of the same width */
            for (size_t k = 0; k < QW_AUTO_OPTIONS; k++)
                if (is_measured(m->by_tensor, k) && qw_auto_options[k].bits == qw_auto_options[o].bits)
                    near = k;
            if (!is_measured(m->by_tensor, o) && one->errors[near] > 0)
                one->loss[o] = one->loss[near] * one->errors[o] / one->errors[near];
        }
    }
}

/* {"unit": "tensor", "tokens": 1024, "kld": {"NAME": {"3/64": 0.01, ...}}} */
static qwren_status print(const measuring *m, char **out, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    qw_buf_printf(&b, "{\"unit\": \"%s\", \"tokens\": %zu, \"measured\": \"%s\", \"kld\": {", m->by_tensor ? "tensor" : "class",
                  m->streams.n_tokens, m->by_tensor ? "groups of 64; 32 by their errors" : "4 bits; others by their errors");
    for (size_t u = 0; u < m->n_units; u++) {
        qw_buf_puts(&b, u ? ", " : "");
        qw_json_dump_string(&b, m->units[u].name, strlen(m->units[u].name));
        for (size_t o = 0; o < QW_AUTO_OPTIONS; o++)
            qw_buf_printf(&b, "%s\"%d/%d\": %.6g", o ? ", " : ": {", qw_auto_options[o].bits, qw_auto_options[o].group,
                          m->units[u].loss[o]);
        qw_buf_puts(&b, "}");
    }
    qw_buf_puts(&b, "}}");
    return qw_buf_take(&b, out, NULL, err);
}

static qwren_status measure(qw_run *r, char **table, qwren_error *err)
{
    measuring m;
    qwren_status st = begin(&m, r, err);
    r->phase = "sensitivity";
    r->total = m.total;
    if (st == QWREN_OK)
        st = embed(&m, err);
    for (int n = 0; n < r->config->n_layers && st == QWREN_OK; n++)
        st = run_layer(&m, n, err);
    if (st == QWREN_OK)
        st = answer(&m, err);
    if (st == QWREN_OK) {
        fill_losses(&m);
        st = print(&m, table, err);
    }
    end(&m);
    return st;
}

/* ---- all of it */

qwren_status qw_sensitivity_plan(qw_run *r, qwren_error *err)
{
    const char *kept = qw_folder_kept(r->folder, "sensitivities");
    if (!r->job->n_samples)
        return qw_fail(err, QWREN_E_ARGUMENT, "recipe \"auto\" measures on calibration samples: there are none");
    if (kept)
        r->sensitivities = qw_strdup(kept);
    else
        QW_TRY(measure(r, &r->sensitivities, err));
    if (!r->sensitivities)
        return qw_fail_memory(err, strlen(kept), "sensitivities");
    if (!kept)
        QW_TRY(qw_folder_keep(r->folder, "sensitivities", r->sensitivities, err));
    qw_json *root = NULL;
    QW_TRY(qw_json_parse(&root, r->sensitivities, strlen(r->sensitivities), "sensitivities", err));
    qwren_status st = qw_auto_spend(&r->plan, qw_json_get(root, "kld"), r->job->bpw, err);
    qw_json_free(root);
    return st;
}
