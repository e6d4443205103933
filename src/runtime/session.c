/* The session: one timeline on a model. It cuts what it is given into passes and moves the states on; session_saves.c keeps what is needed to go back, session_keep.c
 * goes back, session_try.c computes tokens on trial, session_shift.c drops the oldest ones. Tested by tests/unit/test_session.c, tests/golden/test_text.c and
 * test_vision_prompts.c. */
#include "base/alloc.h"
#include "runtime/sampler.h"
#include "runtime/session_parts.h"

#include <string.h>

#define DEFAULT_CTX 32768
#define HUGE_PASS 4 /* scratch is worth huge pages when a pass fills this part of it */
_Static_assert(QW_SAMPLER_BLOCK == QW_LOGIT_BLOCK, "the sampler reads the maxima that the head makes");

static size_t rounded(size_t n) { return (n + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN; }

qw_kv_type qw_cache_type(const qw_model *m, qwren_kv_type wanted)
{
    switch (wanted) {
    case QWREN_KV_F32: return QW_KV_F32;
    case QWREN_KV_F16: return QW_KV_F16;
    case QWREN_KV_Q8: return QW_KV_Q8;
    case QWREN_KV_BF16: return QW_KV_BF16;
    case QWREN_KV_Q4: return QW_KV_Q4;
    default: return m->arithmetic == QWREN_ARITHMETIC_EXACT ? QW_KV_F32 : QW_KV_F16;
    }
}

/* The memory of a session, and the session at its beginning. */
static qw_session *take(const qw_memplan *plan)
{
    const size_t head = rounded(sizeof(qw_session));
    size_t bytes = 0;
    char *block = qw_add_size(head, plan->block_bytes, &bytes) ? qw_alloc_aligned(bytes) : NULL;
    return (qw_session *)(void *)block;
}

/* A cache that has no room for a single checkpoint is none. */
static qw_prefix *useful(qw_prefix *p, const qw_text_config *c)
{
    return p && qw_prefix_statistics(p).budget_bytes >= qw_checkpoint_bytes(c) ? p : NULL;
}

qwren_status qw_session_create(qw_session **out, const qw_model *m, const qw_session_options *opt, qwren_error *err)
{
    static const qw_session_options usual = { 0 };
    const qw_text_config *c = &m->config.text;
    const size_t most = (size_t)c->max_positions;
    qw_memplan plan;
    *out = NULL;
    if (!opt)
        opt = &usual;
    if (!m->ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "the model was opened for inspection only (config_only): it cannot compute");
    const size_t n_ctx = opt->n_ctx ? opt->n_ctx : most < DEFAULT_CTX ? most : DEFAULT_CTX;
    QW_TRY(qw_memplan_make(&plan, c, n_ctx, qw_cache_type(m, opt->kv_type), opt->n_trial, err));
    qw_session *s = take(&plan);
    if (!s)
        return qw_fail(err, QWREN_E_MEMORY, "not enough memory for a session of %zu tokens (%zu bytes); a shorter context needs less",
                       n_ctx, plan.block_bytes);
    *s = (qw_session){ .model = m, .prefix = useful(opt->prefix, c), .disk = opt->disk, .plan = plan, .kv_type = opt->kv_type };
    qw_memplan_place(&s->memory, &plan, c, (char *)(void *)s + rounded(sizeof(qw_session)));
    qw_kvcache_init(&s->cache, &plan.pages, s->memory.pages, s->memory.page_data, n_ctx, s->prefix);
    qw_text_scratch_init(&s->scratch, s->memory.scratch.p, c, plan.batch, n_ctx);
    qw_huge_pages(s->memory.states.p, s->memory.states.size);
    qw_states_copy(c, s->memory.layers, NULL);
    *out = s;
    return QWREN_OK;
}

/* The timeline's end is kept, and its pages are those of the prefix cache alone, which looks after its budget. */
static void leave(qw_session *s)
{
    qw_session_park(s);
    qw_kvcache_truncate(&s->cache, 0);
    if (s->prefix)
        qw_prefix_trim(s->prefix);
}

void qw_session_free(qw_session *s)
{
    if (!s)
        return;
    leave(s);
    qw_free_aligned(s);
}

void qw_states_copy(const qw_text_config *c, qw_layer_state *to, const qw_layer_state *from)
{
    const size_t conv = qw_conv_floats(c) * sizeof(float), recurrent = qw_recurrent_floats(c) * sizeof(float);
    for (int i = 0; i < c->n_layers; i++) {
        if (c->layer_kinds[i] != QW_LAYER_DELTA)
            continue;
        if (from) {
            memcpy(to[i].conv, from[i].conv, conv);
            memcpy(to[i].recurrent, from[i].recurrent, recurrent);
        } else {
            memset(to[i].conv, 0, conv);
            memset(to[i].recurrent, 0, recurrent);
        }
    }
}

void qw_session_reset(qw_session *s)
{
    leave(s);
    s->n = s->n_tried = s->n_kept = s->n_logits = s->n_parked = 0;
    s->next_pos = 0;
    qw_states_copy(&s->model->config.text, s->memory.layers, NULL);
}

size_t qw_session_length(const qw_session *s) { return s->n; }
size_t qw_session_capacity(const qw_session *s) { return s->plan.n_ctx; }
int32_t qw_session_next_pos(const qw_session *s) { return s->next_pos; }
const uint64_t *qw_session_keys(const qw_session *s) { return s->memory.keys; }
void qw_session_set_trace(qw_session *s, const qw_trace *trace) { s->trace = trace; }
const float *qw_session_hidden(const qw_session *s) { return s->scratch.in.f32; }

const float *qw_session_logits(const qw_session *s) { return s->n && s->n_logits == s->n ? qw_session_try_logits(s, s->logits_row) : NULL; }

const float *qw_session_maxima(const qw_session *s) { return qw_session_try_maxima(s, s->logits_row); }

const qw_layer_state *qw_session_layer(qw_session *s, int i)
{
    qw_session_settle(s);
    return &s->memory.layers[i];
}

/* ---- going on */

/* Not from the beginning, for a session of which little is used shall stay small: where the first byte of a huge page is touched, two megabytes are in memory. A prompt is read 4 %
 * faster in them. */
static void use_huge_pages(qw_session *s, size_t n)
{
    if (!s->huge_scratch && n >= s->plan.batch / HUGE_PASS) {
        s->huge_scratch = true;
        qw_huge_pages(s->memory.scratch.p, s->memory.scratch.size);
    }
}

static qwren_status check_room(const qw_session *s, size_t n, qwren_error *err)
{
    if (n <= s->plan.n_ctx - s->n)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_LIMIT, "%zu more tokens do not fit into the context: %zu of its %zu tokens are used; use a larger one", n,
                   s->n, s->plan.n_ctx);
}

/* rows[i] for tokens [first, first + n): the picture row that stands there, or NULL. False when there is none among them. */
static bool set_rows(const float **rows, const qw_timeline *t, size_t first, size_t n, size_t H)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        rows[i] = NULL;
    for (size_t k = 0; k < t->n_spans; k++) {
        const qw_image_span *span = &t->spans[k];
        size_t begin = span->begin > first ? span->begin : first,
               end = span->begin + span->n < first + n ? span->begin + span->n : first + n;
        for (size_t i = begin; i < end; i++)
            rows[i - first] = span->rows + (i - span->begin) * H;
        any = any || begin < end;
    }
    return any;
}

/* What tokens [first, first + n) of t are, behind the session's last. */
static void note_tokens(qw_session *s, const qw_timeline *t, size_t first, size_t n)
{
    memcpy(s->memory.keys + s->n, t->keys + first, n * sizeof *t->keys);
    for (size_t i = 0; i < n; i++)
        s->memory.starts[s->n + i] = t->pos[first + i][0];
    s->n += n;
    s->next_pos = first + n < t->n ? t->pos[first + n][0] : t->next_pos;
}

/* One pass over tokens [first, first + n) of t; the pages are there. */
static void pass(qw_session *s, const qw_timeline *t, size_t first, size_t n, size_t n_last, const qw_pass_saves *saves)
{
    const qw_model *m = s->model;
    const qw_segment segment = {
        .states = s->memory.layers, .n = n, .start = s->n, .saves = saves->at, .n_saves = saves->n, .n_kept = s->n_kept
    };
    qw_batch b = { .ids = t->ids + first, .pos = t->pos + first, .n = n, .segments = &segment, .n_segments = 1 };
    b.n_last = s->trace ? SIZE_MAX : n_last;
    use_huge_pages(s, n);
    if (set_rows(s->memory.rows, t, first, n, (size_t)m->config.text.hidden_size))
        b.rows = s->memory.rows;
    qw_text_forward(m->ops, &m->text, &s->scratch, &b, s->trace);
    s->n_kept = s->n_tried = 0;
    note_tokens(s, t, first, n);
}

/* Logits behind the last row of the newest pass. */
static void last_logits(qw_session *s)
{
    qw_op_head(s->model->ops, &s->memory.logits, &s->memory.maxima, &s->model->text.head, &s->scratch.in, s->scratch.n - 1, 1);
    s->n_logits = s->n;
    s->logits_row = 0;
}

static bool report(const qw_eval_options *opt, size_t done, size_t total)
{
    return !opt->progress || opt->progress(opt->progress_ctx, done, total);
}

/* How many final hidden states a pass must leave. */
static size_t hidden_rows(const qw_eval_options *opt, bool is_last)
{
    if (opt->all_logits || opt->n_hidden == SIZE_MAX)
        return SIZE_MAX;
    return is_last && opt->n_hidden ? opt->n_hidden : 1;
}

/* The next pass: tokens [at, at + n) of an eval up to `end`. */
static qwren_status eval_pass(qw_session *s, const qw_timeline *t, size_t at, size_t n, size_t end, const qw_eval_options *opt,
                              qwren_error *err)
{
    qw_pass_saves saves;
    QW_TRY(qw_kvcache_reserve(&s->cache, s->n, n, err));
    qw_saves_plan(&saves, s, t, at, n, end, opt);
    pass(s, t, at, n, hidden_rows(opt, at + n == end), &saves);
    qw_saves_keep(&saves, s);
    return QWREN_OK;
}

/* Tokens of the next pass of the `left` ones: the last pass has all those whose hidden states are wanted. */
static size_t pass_length(const qw_session *s, size_t left, size_t n_hidden)
{
    const size_t n = left < s->plan.batch ? left : s->plan.batch;
    return left > n && n_hidden <= n && left - n < n_hidden ? left - n_hidden : n;
}

qwren_status qw_session_eval(qw_session *s, const qw_timeline *t, size_t first, size_t end, const qw_eval_options *opt, qwren_error *err)
{
    static const qw_eval_options usual = { 0 };
    const size_t V = (size_t)s->model->config.text.vocab_size;
    if (!opt)
        opt = &usual;
    QW_TRY(check_room(s, end - first, err));
    for (size_t at = first, n; at < end; at += n) {
        n = pass_length(s, end - at, opt->n_hidden);
        QW_TRY(eval_pass(s, t, at, n, end, opt, err));
        if (opt->all_logits)
            qw_text_logits(s->model->ops, &s->model->text, opt->all_logits + (at - first) * V, &s->scratch.in, n);
        if (at + n == end)
            last_logits(s);
        if (!report(opt, at + n - first, end - first))
            return qw_fail(err, QWREN_E_CANCELLED, "cancelled after %zu of %zu tokens", at + n - first, end - first);
    }
    return QWREN_OK;
}

qwren_status qw_session_admit(qw_session *s, const int32_t *ids, size_t n, qwren_error *err)
{
    const int V = s->model->config.text.vocab_size;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return qw_fail(err, QWREN_E_ARGUMENT, "token %d is not in the vocabulary of %d", (int)ids[i], V);
    QW_TRY(check_room(s, n, err));
    return qw_kvcache_reserve(&s->cache, s->n, n, err);
}

void qw_session_push(qw_session *s, int32_t id)
{
    s->memory.starts[s->n] = s->next_pos++;
    s->memory.keys[s->n++] = (uint64_t)id;
}

qwren_status qw_session_step(qw_session *s, int32_t id, qwren_error *err) { return qw_session_step_many(&s, &id, 1, err); }

/* One pass over one token of each session, in the buffers of the first. */
static void step_together(qw_session *const *sessions, const int32_t *ids, size_t n)
{
    const qw_model *m = sessions[0]->model;
    qw_segment segments[QW_MAX_SEGMENTS];
    int32_t pos[QW_MAX_SEGMENTS][3];
    float *logits[QW_MAX_SEGMENTS], *maxima[QW_MAX_SEGMENTS];
    for (size_t i = 0; i < n; i++) {
        qw_session *s = sessions[i];
        use_huge_pages(s, 1);
        segments[i] = (qw_segment){ .states = s->memory.layers, .first = i, .n = 1, .start = s->n, .n_kept = s->n_kept };
        pos[i][0] = pos[i][1] = pos[i][2] = s->next_pos;
        logits[i] = s->memory.logits;
        maxima[i] = s->memory.maxima;
        qw_session_push(s, ids[i]);
        s->n_kept = s->n_tried = s->logits_row = 0;
        s->n_logits = s->n;
    }
    qw_batch b = { .ids = ids, .pos = (const int32_t(*)[3])pos, .n = n, .segments = segments, .n_segments = n, .n_last = 1 };
    qw_text_forward(m->ops, &m->text, &sessions[0]->scratch, &b, sessions[0]->trace);
    qw_op_head(m->ops, logits, maxima, &m->text.head, &sessions[0]->scratch.in, 0, n);
    for (size_t i = 0; i < n; i++)
        qw_session_keep_due(sessions[i], sessions[i]->n - 1);
}

qwren_status qw_session_step_many(qw_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err)
{
    for (size_t i = 0; i < n; i++)
        QW_TRY(qw_session_admit(sessions[i], ids + i, 1, err));
    for (size_t at = 0, k; at < n; at += k) {
        const size_t most = sessions[at]->plan.batch < QW_MAX_SEGMENTS ? sessions[at]->plan.batch : QW_MAX_SEGMENTS;
        k = n - at < most ? n - at : most;
        step_together(sessions + at, ids + at, k);
    }
    return QWREN_OK;
}
