/* The session: one timeline on a model. It cuts what it is given into passes, moves the states on, and keeps what is needed to go back: the keys of all tokens, and
 * one saved copy of the states that cannot be cut back. Tested by tests/unit/test_session.c, tests/golden/test_text.c and test_vision_prompts.c. */
#include "runtime/session.h"

#include "base/alloc.h"
#include "runtime/sampler.h"

#include <string.h>

#define DEFAULT_CTX 32768
/* What is worth huge pages: scratch when a pass fills this part of it; caches when so much of each head is used that the rest of its last page is little beside it. */
#define HUGE_PASS 4
#define HUGE_CACHE_BYTES ((size_t)4 << 20)
_Static_assert(QW_SAMPLER_BLOCK == QW_LOGIT_BLOCK, "the sampler reads the maxima that the head makes");

struct qw_session {
    const qw_model *model;
    size_t n_ctx, n;  /* room and present length in tokens */
    int32_t next_pos; /* rotary position of the next token */
    size_t batch;     /* tokens of one pass */
    size_t n_marked;  /* length at the mark; 0 = none */
    int32_t marked_pos;
    size_t n_logits; /* length of the timeline that memory.logits stands behind; 0 = none */
    size_t huge_at;  /* length at which the caches get huge pages; SIZE_MAX when they have */
    bool huge_scratch;
    qw_session_memory memory;
    qw_text_scratch scratch;
    const qw_trace *trace;
};

static size_t rounded(size_t n) { return (n + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN; }

qw_kv_type qw_cache_type(const qw_model *m, qwren_kv_type wanted)
{
    switch (wanted) {
    case QWREN_KV_F32: return QW_KV_F32;
    case QWREN_KV_F16: return QW_KV_F16;
    case QWREN_KV_Q8: return QW_KV_Q8;
    default: return m->arithmetic == QWREN_ARITHMETIC_EXACT ? QW_KV_F32 : QW_KV_F16;
    }
}

/* Positions whose keys and values take so many bytes of each head of a layer. */
static size_t positions_in(const qw_text_config *c, qw_kv_type type, size_t bytes)
{
    const size_t many = 1024;
    return bytes * (size_t)c->n_kv_heads * many / qw_cache_bytes(c, type, many);
}

qwren_status qw_session_create(qw_session **out, const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, qwren_error *err)
{
    const qw_text_config *c = &m->config.text;
    const size_t head = rounded(sizeof(qw_session)), most = (size_t)c->max_positions;
    qw_memplan plan;
    size_t bytes = 0;
    *out = NULL;
    if (!m->ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "the model was opened for inspection only (config_only): it cannot compute");
    if (n_ctx == 0)
        n_ctx = most < DEFAULT_CTX ? most : DEFAULT_CTX;
    QW_TRY(qw_memplan_make(&plan, c, n_ctx, qw_cache_type(m, kv_type), err));
    char *block = qw_add_size(head, plan.total_bytes, &bytes) ? qw_alloc_aligned(bytes) : NULL;
    if (!block)
        return qw_fail(err, QWREN_E_MEMORY, "not enough memory for a session of %zu tokens (%zu bytes); a shorter context needs less",
                       n_ctx, bytes);
    qw_session *s = (qw_session *)(void *)block;
    *s = (qw_session){ .model = m, .n_ctx = n_ctx, .batch = plan.batch };
    qw_memplan_place(&s->memory, &plan, c, n_ctx, block + head);
    qw_text_scratch_init(&s->scratch, s->memory.scratch.p, c, plan.batch, n_ctx);
    s->huge_at = positions_in(c, plan.cache_type, HUGE_CACHE_BYTES);
    qw_huge_pages(s->memory.states.p, s->memory.states.size);
    qw_huge_pages(s->memory.saved.p, s->memory.saved.size);
    qw_session_reset(s);
    *out = s;
    return QWREN_OK;
}

void qw_session_free(qw_session *s) { qw_free_aligned(s); }

/* Copies the DeltaNet states of all layers; NULL: zeroes them. */
static void set_states(const qw_text_config *c, qw_layer_state *to, const qw_layer_state *from)
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
    s->n = s->n_marked = s->n_logits = 0;
    s->next_pos = s->marked_pos = 0;
    set_states(&s->model->config.text, s->memory.layers, NULL);
}

size_t qw_session_length(const qw_session *s) { return s->n; }
size_t qw_session_capacity(const qw_session *s) { return s->n_ctx; }
int32_t qw_session_next_pos(const qw_session *s) { return s->next_pos; }
const float *qw_session_logits(const qw_session *s) { return s->n && s->n_logits == s->n ? s->memory.logits : NULL; }
void qw_session_set_trace(qw_session *s, const qw_trace *trace) { s->trace = trace; }
const float *qw_session_hidden(const qw_session *s) { return s->scratch.in.f32; }
const float *qw_session_maxima(const qw_session *s) { return s->memory.maxima; }
const qw_layer_state *qw_session_layer(const qw_session *s, int i) { return &s->memory.layers[i]; }

/* ---- going on */

/* Not from the beginning, for a session of which little is used shall stay small: where the first byte of a huge page is touched, two megabytes are in memory. States and
 * caches are read a tenth to a fifth faster in them, a prompt 4 %. */
static void use_huge_pages(qw_session *s, size_t n)
{
    if (!s->huge_scratch && n >= s->batch / HUGE_PASS) {
        s->huge_scratch = true;
        qw_huge_pages(s->memory.scratch.p, s->memory.scratch.size);
    }
    if (s->n + n >= s->huge_at) {
        s->huge_at = SIZE_MAX;
        qw_huge_pages(s->memory.caches.p, s->memory.caches.size);
    }
}

static qwren_status check_room(const qw_session *s, size_t n, qwren_error *err)
{
    if (n <= s->n_ctx - s->n)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_LIMIT, "%zu more tokens do not fit into the context: %zu of its %zu tokens are used; use a larger one", n,
                   s->n, s->n_ctx);
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

/* One pass over tokens [first, first + n) of t. */
static void pass(qw_session *s, const qw_timeline *t, size_t first, size_t n, bool all)
{
    const qw_model *m = s->model;
    const qw_segment segment = { .states = s->memory.layers, .n = n, .start = s->n };
    qw_batch b = { .ids = t->ids + first,
                   .pos = t->pos + first,
                   .n = n,
                   .segments = &segment,
                   .n_segments = 1,
                   .n_last = all || s->trace ? QW_ALL_ROWS : 1 };
    use_huge_pages(s, n);
    if (set_rows(s->memory.rows, t, first, n, (size_t)m->config.text.hidden_size))
        b.rows = s->memory.rows;
    qw_text_forward(m->ops, &m->text, &s->scratch, &b, s->trace);
    memcpy(s->memory.keys + s->n, t->keys + first, n * sizeof *t->keys);
    s->n += n;
}

/* Logits behind the last row of the newest pass. */
static void last_logits(qw_session *s)
{
    qw_op_head(s->model->ops, &s->memory.logits, &s->memory.maxima, &s->model->text.head, &s->scratch.in, s->scratch.n - 1, 1);
    s->n_logits = s->n;
}

static bool report(const qw_eval_options *opt, size_t done, size_t total)
{
    return !opt || !opt->progress || opt->progress(opt->progress_ctx, done, total);
}

qwren_status qw_session_eval(qw_session *s, const qw_timeline *t, size_t first, size_t end, const qw_eval_options *opt, qwren_error *err)
{
    const size_t V = (size_t)s->model->config.text.vocab_size;
    float *all = opt ? opt->all_logits : NULL;
    QW_TRY(check_room(s, end - first, err));
    for (size_t at = first, n; at < end; at += n) {
        n = end - at < s->batch ? end - at : s->batch;
        pass(s, t, at, n, all || (opt && opt->all_hidden));
        if (all)
            qw_text_logits(s->model->ops, &s->model->text, all + (at - first) * V, &s->scratch.in, n);
        if (at + n == end)
            last_logits(s);
        if (!report(opt, at + n - first, end - first)) {
            qw_session_reset(s);
            return qw_fail(err, QWREN_E_CANCELLED, "cancelled after %zu of %zu tokens", at + n - first, end - first);
        }
    }
    if (end > first)
        s->next_pos = end < t->n ? t->pos[end][0] : t->next_pos;
    return QWREN_OK;
}

static qwren_status check_id(const qw_session *s, int32_t id, qwren_error *err)
{
    if (id >= 0 && id < s->model->config.text.vocab_size)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_ARGUMENT, "token %d is not in the vocabulary of %d", id, s->model->config.text.vocab_size);
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
        segments[i] = (qw_segment){ .states = s->memory.layers, .first = i, .n = 1, .start = s->n };
        pos[i][0] = pos[i][1] = pos[i][2] = s->next_pos++;
        logits[i] = s->memory.logits;
        maxima[i] = s->memory.maxima;
        s->memory.keys[s->n++] = (uint64_t)ids[i];
        s->n_logits = s->n;
    }
    qw_batch b = { .ids = ids, .pos = (const int32_t(*)[3])pos, .n = n, .segments = segments, .n_segments = n, .n_last = 1 };
    qw_text_forward(m->ops, &m->text, &sessions[0]->scratch, &b, sessions[0]->trace);
    qw_op_head(m->ops, logits, maxima, &m->text.head, &sessions[0]->scratch.in, 0, n);
}

qwren_status qw_session_step_many(qw_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err)
{
    for (size_t i = 0; i < n; i++) {
        QW_TRY(check_id(sessions[i], ids[i], err));
        QW_TRY(check_room(sessions[i], 1, err));
    }
    for (size_t at = 0, k; at < n; at += k) {
        const size_t most = sessions[at]->batch < QW_MAX_SEGMENTS ? sessions[at]->batch : QW_MAX_SEGMENTS;
        k = n - at < most ? n - at : most;
        step_together(sessions + at, ids + at, k);
    }
    return QWREN_OK;
}

/* ---- going back */

void qw_session_mark(qw_session *s)
{
    s->n_marked = s->n;
    s->marked_pos = s->next_pos;
    set_states(&s->model->config.text, s->memory.marked, s->memory.layers);
}

static void back_to_mark(qw_session *s)
{
    s->n = s->n_marked;
    s->next_pos = s->marked_pos;
    set_states(&s->model->config.text, s->memory.layers, s->memory.marked);
}

size_t qw_session_reuse(qw_session *s, const qw_timeline *t)
{
    size_t common = 0;
    while (common < s->n && common < t->n && s->memory.keys[common] == t->keys[common])
        common++;
    if (common == s->n && common < t->n)
        return s->n;
    if (s->n_marked && s->n_marked <= common && s->n_marked < t->n)
        back_to_mark(s);
    else
        qw_session_reset(s);
    return s->n;
}
