/* Guessing ahead (ahead.h): which drafters the options mean, and what is told of them. The guessing itself is runtime/speculate.c. Tested
 * by tests/unit/test_chat_ahead.c. */
#include "api/ahead.h"

#include "api/tokenizer.h"
#include "base/alloc.h"

#include <string.h>

static qwren_spec wanted(const qwren_session_options *opt) { return opt->spec == QWREN_SPEC_DEFAULT ? QWREN_SPEC_OFF : opt->spec; }

/* The model that drafts for such a session, beside its own head; NULL: none does. */
static const qwren_model *draft_model(const qwren_session_options *opt)
{
    return wanted(opt) == QWREN_SPEC_AUTO || wanted(opt) == QWREN_SPEC_MODEL ? opt->draft_model : NULL;
}

size_t qw_ahead_rows(const qwren_session_options *opt) { return wanted(opt) == QWREN_SPEC_OFF ? 0 : QW_SPEC_ROWS; }

/* ---- options */

static qwren_status check(const qwren_model *m, const qwren_session_options *opt, qwren_error *err)
{
    if ((int)opt->spec < 0 || opt->spec > QWREN_SPEC_MODEL)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_options: spec is %d, which is no qwren_spec", (int)opt->spec);
    if (opt->max_drafts < 0 || opt->max_drafts > QW_SPEC_DRAFTS)
        return qw_fail(err, QWREN_E_ARGUMENT, "%d drafts at a time: there can be from 1 to %d; 0 leaves it open", opt->max_drafts,
                       QW_SPEC_DRAFTS);
    if (opt->spec == QWREN_SPEC_MTP && !m->core.has_mtp)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s has no prediction head (mtp.*) that could draft; use auto or lookup", m->path);
    if (opt->spec == QWREN_SPEC_MODEL && !opt->draft_model)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "drafts of a smaller model are wanted, but no model is given (draft_model; --draft-model of the program)");
    return QWREN_OK;
}

/* The same ids must mean the same tokens, or no draft would ever be right. */
static bool same_tokens(const qwren_tokenizer *a, const qwren_tokenizer *b)
{
    const int32_t n = qwren_token_count(a);
    bool same = qwren_token_count(b) == n;
    for (int32_t id = 0; same && id < n; id++) {
        size_t len = 0, other = 0;
        const char *x = qw_tokenizer_bytes(a->vocabulary, id, &len), *y = qw_tokenizer_bytes(b->vocabulary, id, &other);
        same =
            len == other && memcmp(x, y, len) == 0 && qw_tokenizer_is_added(a->vocabulary, id) == qw_tokenizer_is_added(b->vocabulary, id);
    }
    return same;
}

static qwren_status check_draft(const qwren_model *m, const qwren_model *draft, qwren_error *err)
{
    if (!draft->core.ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with config_only; open it without to draft with it", draft->path);
    if (m->tokenizer && draft->tokenizer ? !same_tokens(m->tokenizer, draft->tokenizer)
                                         : m->core.config.text.vocab_size != draft->core.config.text.vocab_size)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s has other tokens than %s: it cannot draft for it", draft->path, m->path);
    return QWREN_OK;
}

static void choose(qw_spec_options *c, const qwren_model *m, const qwren_session_options *opt)
{
    const qwren_spec spec = wanted(opt);
    const bool open = spec == QWREN_SPEC_AUTO;
    c->use[QW_DRAFT_MTP] = m->core.has_mtp && (open || spec == QWREN_SPEC_MTP);
    c->use[QW_DRAFT_LOOKUP] = open || spec == QWREN_SPEC_LOOKUP;
    c->use[QW_DRAFT_MODEL] = draft_model(opt) != NULL;
    c->always = !open;
    c->most = (size_t)opt->max_drafts;
}

/* ---- opening and closing */

static qwren_status open_draft(qwren_session *s, const qwren_session_options *opt, qwren_error *err)
{
    const qwren_model *d = opt->draft_model;
    qw_prefix *prefix = NULL;
    QW_TRY(check_draft(s->model, d, err));
    QW_TRY(qw_caches_of(d->caches, &d->core, qw_cache_type(&d->core, opt->kv_type), &prefix, NULL, err));
    return qw_draft_model_create(&s->draft, &d->core, qw_session_capacity(s->core), opt->kv_type, prefix, err);
}

qwren_status qw_ahead_open(qwren_session *s, const qwren_session_options *opt, qwren_error *err)
{
    qw_speculate_options o = { 0 };
    QW_TRY(check(s->model, opt, err));
    if (wanted(opt) == QWREN_SPEC_OFF)
        return QWREN_OK;
    choose(&o.control, s->model, opt);
    if (o.control.use[QW_DRAFT_MODEL]) {
        QW_TRY(open_draft(s, opt, err));
        o.drafter = qw_draft_model_drafter(s->draft);
    }
    return qw_speculate_create(&s->ahead, &s->model->core, s->core, &o, err);
}

void qw_ahead_close(qwren_session *s)
{
    qw_speculate_free(s->ahead);
    qw_draft_model_free(s->draft);
}

/* ---- telling */

/* Passes of 1 + n drafts need rows of their own, and buffers that a session without has not. */
static qwren_status rows_bytes(const qw_model *m, size_t n_ctx, qw_kv_type type, uint64_t *bytes, qwren_error *err)
{
    qw_memplan without, with;
    QW_TRY(qw_memplan_make(&without, &m->config.text, n_ctx, type, 0, err));
    QW_TRY(qw_memplan_make(&with, &m->config.text, n_ctx, type, QW_SPEC_ROWS, err));
    *bytes = with.total_bytes - without.total_bytes;
    return QWREN_OK;
}

qwren_status qw_ahead_bytes(const qwren_model *m, const qwren_session_options *opt, size_t n_ctx, qwren_kv_type kv_type, uint64_t *bytes,
                            qwren_error *err)
{
    const qwren_model *draft = draft_model(opt);
    qw_speculate_options o = { 0 };
    uint64_t rows, of_draft = 0;
    *bytes = 0;
    if (wanted(opt) == QWREN_SPEC_OFF)
        return QWREN_OK;
    choose(&o.control, m, opt);
    QW_TRY(rows_bytes(&m->core, n_ctx, qw_cache_type(&m->core, kv_type), &rows, err));
    if (draft)
        QW_TRY(qw_draft_model_bytes(&draft->core, n_ctx, kv_type, &of_draft, err));
    *bytes = rows + of_draft + qw_speculate_bytes(&m->core, n_ctx, &o);
    return QWREN_OK;
}

uint64_t qw_ahead_weight_bytes(const qwren_model *m, const qwren_session_options *opt)
{
    const qwren_model *draft = draft_model(opt);
    qw_spec_options c = { 0 };
    choose(&c, m, opt);
    return (c.use[QW_DRAFT_MTP] && !m->weights_stay ? m->info.n_bytes_mtp : 0) +
           (draft && !draft->weights_stay ? draft->info.n_bytes_text : 0);
}

void qw_ahead_report(qw_speculate *p, qwren_stats *stats)
{
    if (!p)
        return;
    const qw_spec_counts *c = &qw_speculate_control(p)->counts;
    stats->decode_passes = c->passes;
    stats->saved_s = c->saved_s;
    for (int kind = QW_DRAFT_MTP; kind < QW_DRAFT_KINDS; kind++) {
        qwren_draft_stats *d = kind == QW_DRAFT_MTP ? &stats->mtp : kind == QW_DRAFT_LOOKUP ? &stats->lookup : &stats->draft_model;
        d->drafted = c->drafted[kind];
        for (size_t i = 0; i < QW_SPEC_DRAFTS; i++) {
            d->accepted += c->accepted[kind][i];
            if (i < QWREN_DRAFT_PLACES) {
                d->checked_at[i] = c->checked[kind][i];
                d->accepted_at[i] = c->accepted[kind][i];
            }
        }
    }
}
