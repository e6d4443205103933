/* The calibrated part of a quantisation. Two streams go through the layers: the source's, and one of the codes made so far. A layer's
 * matrices become codes that give on the second what the source gives on the first, so that each makes up for what those before it did
 * wrong. The embedding comes first, the head last. As long as a layer's inputs fit in RECORDING_BYTES (they do, unless far more tokens are
 * asked for than the model's size is worth), each input is looked at when all before it are codes; beyond that all four of a layer at once.
 * Tested by tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/file.h"
#include "convert/codes.h"
#include "convert/pairs.h"
#include "convert/run.h"

#include <string.h>

#define RECORDING_BYTES ((size_t)192 << 20) /* that all inputs of a layer may take */
#define LOOKUP_SHARE 0.5                    /* of a tied embedding's error that is the lookup's: measured, docs/quantisation.md */

static bool learns(const qw_run *r) { return r->streams.n_samples > 0; }
static size_t stream_bytes(const qw_run *r) { return r->streams.n_tokens * (size_t)r->config->hidden_size * sizeof(float); }

static qw_plan_entry *head_of(const qw_run *r)
{
    return qw_plan_find(&r->plan, r->config->tied_embeddings ? "embed_tokens.weight" : "lm_head.weight");
}

static bool is_pending(const qw_run *r, const qw_plan_entry *e)
{
    return e && e->choice.bits && !qw_folder_is_done(r->folder, (size_t)(e - r->plan.entries));
}

/* ---- the embedding */

qwren_status qw_run_embed(qw_run *r, qw_streams *s, float *x, qwren_error *err)
{
    const size_t H = (size_t)r->config->hidden_size;
    const qw_plan_entry *e = qw_plan_find(&r->plan, "embed_tokens.weight");
    if (!e)
        return qw_fail(err, QWREN_E_INTERNAL, "the plan has no tensor embed_tokens.weight");
    qw_streams_embed(s, &r->source->text.embed, x);
    size_t at = 0;
    for (size_t k = 0; e->choice.bits && k < s->n_samples; at += s->samples[k++].n) {
        const qw_timeline *t = &s->samples[k];
        for (size_t i = 0, span = 0; i < t->n; i++) {
            while (span < t->n_spans && i >= t->spans[span].begin + t->spans[span].n)
                span++;
            if (span < t->n_spans && i >= t->spans[span].begin)
                continue; /* a picture's row */
            qw_matrix row;
            QW_TRY(qw_run_load(r, (size_t)(e - r->plan.entries), (size_t)t->ids[i], 1, &row, err));
            qw_matrix_decode(&row, 0, 0, H, x + (at + i) * H);
            qw_codes_free(&row);
        }
    }
    return QWREN_OK;
}

/* What the head of the source reads: the samples through all layers. */
static qwren_status observe_source(qw_run *r, qw_moments **out, qwren_error *err)
{
    qw_streams *s = &r->streams;
    const size_t H = (size_t)r->config->hidden_size;
    qw_streams_embed(s, &r->source->text.embed, s->x);
    for (int n = 0; n < r->config->n_layers; n++) {
        const bool all = qw_streams_layer(s, &r->source->text.layers[n], s->x, s->x, qw_run_keep_on, r);
        qw_run_release_layer(r, n);
        if (!all)
            return qw_run_cancelled(err);
    }
    QW_TRY(qw_moments_create(out, H, qw_moments_block(H), err));
    qw_streams_norm(s, r->source->text.norm, s->x, s->n_tokens, s->x);
    qw_moments_add(*out, r->pool, s->x, s->n_tokens);
    qw_moments_spread(*out, LOOKUP_SHARE);
    return qw_moments_finish(*out, r->pool, err);
}

/* An embedding that is the head too is calibrated as the head, one beside a head only looked up. */
static qwren_status make_embedding(qw_run *r, qwren_error *err)
{
    const qw_plan_entry *e = qw_plan_find(&r->plan, "embed_tokens.weight");
    qw_moments *moments = NULL;
    qwren_status st = QWREN_OK;
    if (!e || !e->choice.bits)
        return QWREN_OK;
    if (learns(r) && r->config->tied_embeddings && is_pending(r, e))
        st = observe_source(r, &moments, err);
    if (st == QWREN_OK)
        st = qw_run_matrix(r, (size_t)(e - r->plan.entries), moments, NULL, err);
    qw_moments_free(moments);
    return st;
}

/* ---- a layer */

static bool is_done(const qw_run *r, int n)
{
    qw_layer l = r->source->text.layers[n];
    qw_slot slots[QW_LAYER_SLOTS];
    const size_t n_slots = qw_layer_slots(&l, slots);
    for (size_t k = 0; k < n_slots; k++) {
        size_t i = 0;
        if (qw_run_entry_of(r, n, slots[k].name, &i, NULL) == QWREN_OK && is_pending(r, &r->plan.entries[i]))
            return false;
    }
    return true;
}

/* Whether anything from layer n on still has to be learnt, which is what streams are for. */
static bool has_more(const qw_run *r, int n)
{
    for (; n < r->config->n_layers; n++)
        if (!is_done(r, n))
            return true;
    return !r->config->tied_embeddings && is_pending(r, head_of(r));
}

/* The matrices that read input `input` (QW_LAYER_INPUTS: all of them). */
static qwren_status make_codes(qw_run *r, int n, int input, const qw_layer_moments *moments, qw_coded_layer *out, qwren_error *err)
{
    for (size_t k = 0; k < out->n; k++) {
        size_t i = 0;
        qw_matrix codes;
        if (input != QW_LAYER_INPUTS && out->slots[k].input != input)
            continue;
        QW_TRY(qw_run_entry_of(r, n, out->slots[k].name, &i, err));
        if (!r->plan.entries[i].choice.bits)
            continue;
        QW_TRY(qw_run_matrix(r, i, moments->of[out->slots[k].input], &codes, err));
        qw_coded_layer_set(out, k, &codes);
    }
    return QWREN_OK;
}

static qwren_status create_moments(const qw_coded_layer *l, int input, qw_layer_moments *out, qwren_error *err)
{
    for (size_t k = 0; k < l->n; k++) {
        const int i = l->slots[k].input;
        const size_t cols = l->slots[k].matrix->cols;
        if (!out->of[i] && (input == QW_LAYER_INPUTS || input == i))
            QW_TRY(qw_moments_create(&out->of[i], cols, qw_moments_block(cols), err));
    }
    return QWREN_OK;
}

static qwren_status finish_moments(qw_run *r, qw_layer_moments *m, qwren_error *err)
{
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        if (m->of[i])
            QW_TRY(qw_moments_finish(m->of[i], r->pool, err));
    return QWREN_OK;
}

/* Whether anything that reads this input is still to be made. */
static bool input_is_pending(const qw_run *r, int n, int input, const qw_coded_layer *l)
{
    for (size_t k = 0; k < l->n; k++) {
        size_t i = 0;
        if (l->slots[k].input == input && qw_run_entry_of(r, n, l->slots[k].name, &i, NULL) == QWREN_OK &&
            is_pending(r, &r->plan.entries[i]))
            return true;
    }
    return false;
}

/* One input: the coded layer so far shows it, its matrices become codes. */
static qwren_status learn_input(qw_run *r, int n, int input, const qw_recording *source, qw_coded_layer *coded, qwren_error *err)
{
    const qw_sample_range all = { 0, r->streams.n_samples };
    qw_layer_moments m = { 0 };
    if (!input_is_pending(r, n, input, coded))
        return make_codes(r, n, input, &m, coded, err);
    qwren_status st = create_moments(coded, input, &m, err);
    if (st == QWREN_OK)
        st = qw_streams_pair(&r->streams, &coded->layer, all, r->coded, source, r->pool, &m, qw_run_keep_on, r, err);
    if (st == QWREN_OK)
        st = qw_run_at_layer(finish_moments(r, &m, err), n, err);
    if (st == QWREN_OK)
        st = make_codes(r, n, input, &m, coded, err);
    qw_layer_moments_free(&m);
    return st;
}

static qwren_status learn_inputs(qw_run *r, int n, qw_recording *source, qw_coded_layer *coded, qwren_error *err)
{
    const qw_sample_range all = { 0, r->streams.n_samples };
    if (!qw_streams_record(&r->streams, &r->source->text.layers[n], all, r->streams.x, source, qw_run_keep_on, r))
        return qw_run_cancelled(err);
    for (int input = 0; input < QW_LAYER_INPUTS; input++)
        QW_TRY(learn_input(r, n, input, source, coded, err));
    return QWREN_OK;
}

/* All inputs at once, sample by sample. */
static qwren_status pair_samples(qw_run *r, int n, qw_recording *source, qw_coded_layer *coded, qw_layer_moments *m, qwren_error *err)
{
    QW_TRY(create_moments(coded, QW_LAYER_INPUTS, m, err));
    for (size_t k = 0; k < r->streams.n_samples; k++) {
        const qw_sample_range one = { k, 1 };
        if (!qw_streams_record(&r->streams, &r->source->text.layers[n], one, r->streams.x, source, qw_run_keep_on, r))
            return qw_run_cancelled(err);
        QW_TRY(qw_streams_pair(&r->streams, &coded->layer, one, r->coded, source, r->pool, m, qw_run_keep_on, r, err));
    }
    return qw_run_at_layer(finish_moments(r, m, err), n, err);
}

static qwren_status learn_at_once(qw_run *r, int n, qw_recording *source, qw_coded_layer *coded, qwren_error *err)
{
    qw_layer_moments m = { 0 };
    qwren_status st = pair_samples(r, n, source, coded, &m, err);
    if (st == QWREN_OK)
        st = make_codes(r, n, QW_LAYER_INPUTS, &m, coded, err);
    qw_layer_moments_free(&m);
    return st;
}

static qwren_status learn_layer(qw_run *r, int n, qw_coded_layer *coded, qwren_error *err)
{
    qw_layer *l = &r->source->text.layers[n];
    const bool small = qw_recording_bytes(l, r->streams.n_tokens) <= RECORDING_BYTES;
    qw_recording source;
    QW_TRY(qw_recording_init(&source, l, small ? r->streams.n_tokens : r->streams.longest, err));
    qwren_status st = small ? learn_inputs(r, n, &source, coded, err) : learn_at_once(r, n, &source, coded, err);
    qw_recording_deinit(&source);
    return st;
}

/* Codes of a layer with nothing to learn from, or made before: the source's stream goes on by itself. */
static qwren_status pass_layer(qw_run *r, int n, qw_coded_layer *coded, qwren_error *err)
{
    const qw_layer_moments none = { 0 };
    QW_TRY(make_codes(r, n, QW_LAYER_INPUTS, &none, coded, err));
    if (learns(r) && has_more(r, n + 1) &&
        !qw_streams_layer(&r->streams, &r->source->text.layers[n], r->streams.x, r->streams.x, qw_run_keep_on, r))
        return qw_run_cancelled(err);
    return QWREN_OK;
}

static qwren_status make_layer(qw_run *r, int n, qw_coded_layer *coded, qwren_error *err)
{
    QW_TRY(qw_coded_layer_round(r, n, coded, err));
    QW_TRY(learns(r) && !is_done(r, n) ? learn_layer(r, n, coded, err) : pass_layer(r, n, coded, err));
    if (learns(r) && has_more(r, n + 1) && !qw_streams_layer(&r->streams, &coded->layer, r->coded, r->coded, qw_run_keep_on, r))
        return qw_run_cancelled(err);
    qw_check_layer(r, n);
    return QWREN_OK;
}

/* ---- the head */

static qwren_status observe_head(qw_run *r, qw_moments **out, qwren_error *err)
{
    qw_streams *s = &r->streams;
    const size_t H = (size_t)r->config->hidden_size;
    QW_TRY(qw_moments_create(out, H, qw_moments_block(H), err));
    qw_streams_norm(s, r->source->text.norm, s->x, s->n_tokens, s->x);
    qw_streams_norm(s, r->norm, r->coded, s->n_tokens, r->coded);
    QW_TRY(qw_moments_add_pair(*out, r->pool, r->coded, s->x, s->n_tokens, err));
    return qw_moments_finish(*out, r->pool, err);
}

static qwren_status make_head(qw_run *r, qwren_error *err)
{
    const qw_plan_entry *e = head_of(r);
    qw_moments *moments = NULL;
    qwren_status st = QWREN_OK;
    if (r->config->tied_embeddings || !e || !e->choice.bits)
        return QWREN_OK;
    if (learns(r) && is_pending(r, e))
        st = observe_head(r, &moments, err);
    if (st == QWREN_OK)
        st = qw_run_matrix(r, (size_t)(e - r->plan.entries), moments, NULL, err);
    qw_moments_free(moments);
    return st;
}

/* ---- all of it */

static qwren_status begin_streams(qw_run *r, qwren_error *err)
{
    if (!learns(r) || !has_more(r, 0))
        return QWREN_OK;
    r->coded = qw_malloc(stream_bytes(r));
    if (!r->coded)
        return qw_fail_memory(err, stream_bytes(r), "calibration");
    qw_streams_embed(&r->streams, &r->source->text.embed, r->streams.x);
    return qw_run_embed(r, &r->streams, r->coded, err);
}

qwren_status qw_run_layers(qw_run *r, qwren_error *err)
{
    QW_TRY(make_embedding(r, err));
    QW_TRY(begin_streams(r, err));
    QW_TRY(qw_check_begin(r, err));
    for (int n = 0; n < r->config->n_layers; n++) {
        qw_coded_layer coded;
        qw_coded_layer_begin(r, n, &coded);
        qwren_status st = make_layer(r, n, &coded, err);
        qw_coded_layer_free(&coded);
        qw_run_release_layer(r, n);
        QW_TRY(st);
    }
    return make_head(r, err);
}
