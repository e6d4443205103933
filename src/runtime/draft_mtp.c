/* Drafts of the prediction head (draft_mtp.h). Stands beside draft_lookup.c and draft_model.c, below speculate.c. Tested by tests/unit/test_draft_mtp.c against the head
 * over whole timelines.
 *
 * What a draft costs is reading: the head's one layer, and rows of the output head, which has 248,320. Most tokens are among the first 32,768 (93 to 95 % of
 * English and code), others have mostly occurred before, or a neighbour of theirs has: scripts lie together. So blocks of 32 rows around the ids that were seen last are read
 * as well, 128 of them. Together an eighth of the head finds 97 % of English and code and 70 to 80 % of other scripts, where the first ids alone find 12 to 45 %. */
#include "runtime/draft_mtp.h"

#include "base/alloc.h"
#include "runtime/session.h"

#include <math.h>
#include <string.h>

#define SHORTLIST 32768
#define BLOCK 32 /* rows */
#define BLOCKS 128
#define FEED QW_MTP_WAITING /* rows of a pass of the head */
#define PAGES 2             /* of the cache: when both are full, the older half is given up */

struct qw_draft_mtp {
    const qw_model *model;
    /* tokens that wait: a ring, the oldest at `begin` */
    float *hidden; /* [QW_MTP_WAITING, H] */
    int32_t ids[QW_MTP_WAITING], pos[QW_MTP_WAITING][3];
    size_t begin, waiting;
    size_t end; /* of the timeline, as noted */
    /* the cache */
    void *pages[PAGES];
    qw_layer_state state;
    size_t length;  /* rows of the timeline in it */
    size_t guessed; /* rows of guesses behind them, which are only lent */
    int32_t at[3];  /* rotary position of the newest row */
    qw_guess last;
    /* buffers */
    qw_text_scratch scratch;
    float *rows;   /* [FEED, H] hidden states of a pass */
    float *logits; /* [n_short] and [BLOCKS, BLOCK] */
    float *maxima; /* [qw_logit_blocks(n_short)] */
    /* rows of the output head */
    qw_matrix shortlist;
    qw_matrix blocks[BLOCKS];
    qw_linear linears[BLOCKS];
    size_t block_at[BLOCKS]; /* first row */
    uint64_t used[BLOCKS], clock;
    size_t n_blocks;
    void *memory; /* one block: scratch, pages, buffers */
};

static size_t rows_of_shortlist(const qw_model *m, size_t wanted)
{
    const size_t V = (size_t)m->config.text.vocab_size;
    if (!wanted)
        wanted = V > 2 * SHORTLIST ? SHORTLIST : V;
    return wanted < V ? wanted : V;
}

/* ---- memory */

typedef struct sizes {
    size_t scratch, page, hidden, rows, logits, maxima, all;
} sizes;

static size_t rounded(size_t bytes) { return (bytes + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN; }

static sizes sizes_of(const qw_model *m, size_t n_short)
{
    const qw_text_config *c = &m->config.text;
    const size_t H = (size_t)c->hidden_size;
    sizes s = {
        .scratch = rounded(qw_text_scratch_bytes(c, FEED, PAGES * QW_KV_PAGE)),
        .page = rounded(qw_cache_bytes(c, qw_cache_type(m, QWREN_KV_DEFAULT), QW_KV_PAGE)),
        .hidden = rounded(QW_MTP_WAITING * H * sizeof(float)),
        .rows = rounded(FEED * H * sizeof(float)),
        .logits = rounded((n_short + BLOCKS * BLOCK) * sizeof(float)),
        .maxima = rounded(qw_logit_blocks(n_short) * sizeof(float)),
    };
    s.all = s.scratch + PAGES * s.page + s.hidden + s.rows + s.logits + s.maxima;
    return s;
}

size_t qw_draft_mtp_bytes(const qw_model *m, size_t shortlist)
{
    return sizeof(qw_draft_mtp) + sizes_of(m, rows_of_shortlist(m, shortlist)).all;
}

static void place(qw_draft_mtp *d, const sizes *s, size_t n_short)
{
    const qw_text_config *c = &d->model->config.text;
    char *at = d->memory;
    qw_text_scratch_init(&d->scratch, at, c, FEED, PAGES * QW_KV_PAGE);
    at += s->scratch;
    for (int i = 0; i < PAGES; i++, at += s->page)
        d->pages[i] = at;
    d->hidden = (float *)(void *)at;
    d->rows = (float *)(void *)(at += s->hidden);
    d->logits = (float *)(void *)(at += s->rows);
    d->maxima = (float *)(void *)(at + s->logits);
    d->state = (qw_layer_state){ .pages = d->pages, .cache_type = qw_cache_type(d->model, QWREN_KV_DEFAULT) };
    d->shortlist = qw_matrix_rows(&d->model->text.head, 0, n_short);
    for (size_t i = 0; i < BLOCKS; i++)
        d->linears[i] = (qw_linear){ .y = d->logits + d->shortlist.rows + i * BLOCK, .w = &d->blocks[i] };
}

qwren_status qw_draft_mtp_create(qw_draft_mtp **out, const qw_model *m, size_t shortlist, qwren_error *err)
{
    *out = NULL;
    if (!m->has_mtp || !m->ops)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "the model has no prediction head (mtp.*): it cannot draft by itself; use prompt lookup");
    const size_t n_short = rows_of_shortlist(m, shortlist);
    const sizes s = sizes_of(m, n_short);
    qw_draft_mtp *d = qw_calloc(1, sizeof *d);
    if (d)
        d->memory = qw_alloc_aligned(s.all);
    if (!d || !d->memory) {
        qw_draft_mtp_free(d);
        return qw_fail_memory(err, s.all, "the prediction head's cache");
    }
    d->model = m;
    place(d, &s, n_short);
    *out = d;
    return QWREN_OK;
}

void qw_draft_mtp_free(qw_draft_mtp *d)
{
    if (!d)
        return;
    qw_free_aligned(d->memory);
    qw_free(d);
}

/* ---- rows of the output head */

static void use_block(qw_draft_mtp *d, size_t row)
{
    size_t i = 0, oldest = 0;
    for (; i < d->n_blocks && d->block_at[i] != row; i++)
        oldest = d->used[i] < d->used[oldest] ? i : oldest;
    if (i == d->n_blocks) {
        const size_t left = d->model->text.head.rows - row;
        i = d->n_blocks < BLOCKS ? d->n_blocks++ : oldest;
        d->block_at[i] = row;
        d->blocks[i] = qw_matrix_rows(&d->model->text.head, row, left < BLOCK ? left : BLOCK);
    }
    d->used[i] = ++d->clock;
}

void qw_draft_mtp_saw(qw_draft_mtp *d, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0 && (size_t)ids[i] >= d->shortlist.rows && (size_t)ids[i] < d->model->text.head.rows)
            use_block(d, (size_t)ids[i] / BLOCK * BLOCK);
}

/* The best two so far. */
static inline void offer(qw_guess *best, float *second, size_t id, float logit, float *top)
{
    if (logit > *top) {
        *second = *top;
        *top = logit;
        best->id = (int32_t)id;
    } else if (logit > *second)
        *second = logit;
}

/* The likeliest of the rows that are looked at: of the shortlist only the block with the largest logit, and what the others have at most. */
static qw_guess likeliest(const qw_draft_mtp *d)
{
    const size_t n = d->shortlist.rows, n_maxima = qw_logit_blocks(n);
    qw_guess best = { 0 };
    float top = -INFINITY, second = -INFINITY;
    size_t block = 0;
    for (size_t b = 1; b < n_maxima; b++)
        block = d->maxima[b] > d->maxima[block] ? b : block;
    for (size_t i = block * QW_LOGIT_BLOCK; i < n && i < (block + 1) * QW_LOGIT_BLOCK; i++)
        offer(&best, &second, i, d->logits[i], &top);
    for (size_t b = 0; b < n_maxima; b++)
        if (b != block && d->maxima[b] > second)
            second = d->maxima[b];
    for (size_t b = 0; b < d->n_blocks; b++)
        for (size_t i = 0; i < d->blocks[b].rows; i++)
            offer(&best, &second, d->block_at[b] + i, d->linears[b].y[i], &top);
    best.margin = top - second;
    return best;
}

static qw_guess guess(qw_draft_mtp *d)
{
    qw_ops *ops = d->model->ops;
    qw_op_head(ops, &d->logits, &d->maxima, &d->shortlist, &d->scratch.in, 0, 1);
    if (d->n_blocks)
        qw_op_linears(ops, d->linears, d->n_blocks, &d->scratch.in, 1);
    return d->last = likeliest(d);
}

/* ---- what is known of the timeline */

void qw_draft_mtp_forget(qw_draft_mtp *d) { d->length = d->guessed = d->waiting = d->begin = d->end = 0; }

size_t qw_draft_mtp_waiting(const qw_draft_mtp *d) { return d->waiting; }

/* What follows has a gap before it. */
static void begin_anew(qw_draft_mtp *d, size_t at)
{
    qw_draft_mtp_forget(d);
    d->end = at;
}

void qw_draft_mtp_note(qw_draft_mtp *d, size_t at, const int32_t *ids, const int32_t (*pos)[3], const float *hidden, size_t n)
{
    const size_t H = (size_t)d->model->config.text.hidden_size, skip = n > QW_MTP_WAITING ? n - QW_MTP_WAITING : 0;
    if (at != d->end || skip)
        begin_anew(d, at + skip);
    d->guessed = 0;
    for (size_t i = skip; i < n; i++) {
        if (d->waiting == QW_MTP_WAITING) { /* the oldest is given up, and with it what the cache has of the time before */
            d->length = 0;
            d->begin = (d->begin + 1) % QW_MTP_WAITING;
            d->waiting--;
        }
        const size_t to = (d->begin + d->waiting++) % QW_MTP_WAITING;
        d->ids[to] = ids[i];
        memcpy(d->pos[to], pos[i], sizeof d->pos[to]);
        memcpy(d->hidden + to * H, hidden + i * H, H * sizeof *hidden);
    }
    d->end = at + n;
}

/* ---- the head */

static void make_room(qw_draft_mtp *d, size_t n)
{
    if (d->length + d->guessed + n <= PAGES * QW_KV_PAGE)
        return;
    void *oldest = d->pages[0];
    for (int i = 1; i < PAGES; i++)
        d->pages[i - 1] = d->pages[i];
    d->pages[PAGES - 1] = oldest;
    d->length -= QW_KV_PAGE;
}

/* A pass over rows of hidden states and the ids behind them. Keys are rotated by their places in the timeline, wherever they lie in the cache. */
static void pass(qw_draft_mtp *d, const int32_t *ids, const int32_t (*pos)[3], const float *hidden, size_t n)
{
    const qw_model *m = d->model;
    const qw_segment segment = { .states = &d->state, .n = n, .start = d->length + d->guessed };
    const qw_batch batch = { .ids = ids, .pos = pos, .n = n, .segments = &segment, .n_segments = 1, .n_last = 1 };
    qw_mtp_forward(m->ops, &m->text, &m->mtp, &d->scratch, &batch, hidden);
}

/* The next up to FEED waiting tokens; `id` follows the last of all. */
static void feed(qw_draft_mtp *d, int32_t id)
{
    const size_t H = (size_t)d->model->config.text.hidden_size, n = d->waiting < FEED ? d->waiting : FEED;
    int32_t ids[FEED], pos[FEED][3];
    for (size_t i = 0; i < n; i++) {
        const size_t from = (d->begin + i) % QW_MTP_WAITING, behind = (from + 1) % QW_MTP_WAITING;
        ids[i] = i + 1 < d->waiting ? d->ids[behind] : id;
        memcpy(pos[i], d->pos[from], sizeof pos[i]);
        memcpy(d->rows + i * H, d->hidden + from * H, H * sizeof *d->rows);
    }
    make_room(d, n + QW_MTP_GUESSES);
    pass(d, ids, (const int32_t(*)[3])pos, d->rows, n);
    memcpy(d->at, pos[n - 1], sizeof d->at);
    d->length += n;
    d->waiting -= n;
    d->begin = (d->begin + n) % QW_MTP_WAITING;
}

qw_guess qw_draft_mtp_first(qw_draft_mtp *d, int32_t id)
{
    d->guessed = 0;
    while (d->waiting)
        feed(d, id);
    return guess(d);
}

qw_guess qw_draft_mtp_next(qw_draft_mtp *d)
{
    const size_t H = (size_t)d->model->config.text.hidden_size;
    const int32_t next = d->at[0] + 1 > d->at[1] + 1 ? d->at[0] + 1 : d->at[1] + 1, pos[1][3] = { { next, next, next } };
    memcpy(d->rows, d->scratch.in.f32, H * sizeof *d->rows);
    pass(d, &d->last.id, pos, d->rows, 1);
    d->guessed++;
    memcpy(d->at, pos[0], sizeof d->at);
    return guess(d);
}
