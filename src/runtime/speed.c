/* Measuring and adding up (speed.h). A matrix is met once by every token that is decoded, from memory, and by 64 and more at a time in a prompt: the larger of
 * computing and reading counts. Tested by tests/unit/test_speed.c. */
#include "runtime/speed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "runtime/memplan.h"

#include <math.h>
#include <string.h>

#define PATIENCE_S 0.012
#define PERSISTENCE 6                       /* times the patience, while the best time stands alone: something else is using the machine */
#define SAME 1.1                            /* times that differ by less are the same */
#define DECODE_WEIGHTS ((size_t)4 << 20)    /* of a matrix at most, when one token is timed */
#define PREFILL_WEIGHTS ((size_t)256 << 10) /* and when TOKENS are */
#define TOKENS 64                           /* stand for a prompt */
#define FILL 0x3C                           /* in every byte of the made-up data: an ordinary number in all formats */

typedef struct bench {
    qw_ops *ops;
    double patience_s;
    char *data;   /* [data_bytes] codes, scales and biases of any matrix that is timed */
    float *x, *y; /* [floats] inputs and outputs */
    qw_input in;  /* [TOKENS, the widest] */
    qw_input out; /* likewise */
} bench;

/* ---- one operation: the best of several runs, for whatever disturbs makes it slower; and several must agree, for it may disturb all of them */

typedef void (*run_fn)(void *ctx);

static double best_time(const bench *b, run_fn run, void *ctx)
{
    double best = INFINITY, begun = qw_now_s(), elapsed = 0;
    int n_close = 0; /* runs that took about as long as the best */
    run(ctx);        /* warms up */
    while (n_close < 3 ? elapsed < PERSISTENCE * b->patience_s || best == INFINITY : elapsed < b->patience_s) {
        const double start = qw_now_s();
        run(ctx);
        const double took = qw_now_s() - start;
        n_close = took * SAME < best ? 1 : n_close + (took <= best * SAME);
        best = took < best ? took : best;
        elapsed = qw_now_s() - begun;
    }
    return best;
}

/* ---- matrices */

typedef struct linear_run {
    const bench *b;
    qw_matrix w;
    size_t n;
} linear_run;

static void run_linear(void *ctx)
{
    const linear_run *r = ctx;
    qw_op_linears(r->b->ops, &(qw_linear){ .y = r->b->y, .w = &r->w }, 1, &r->b->in, r->n);
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }

/* Rows of w that are timed for all of them. */
static size_t rows_timed(const qw_matrix *w, size_t most_weights)
{
    const size_t rows = most_weights / (w->cols ? w->cols : 1);
    return smaller(w->rows, rows ? rows : 1);
}

/* Seconds for w times n tokens, from a matrix like it in made-up data. */
static double time_linear(bench *b, const qw_matrix *w, size_t n)
{
    linear_run r = { b, *w, n };
    r.w.rows = rows_timed(w, n == 1 ? DECODE_WEIGHTS : PREFILL_WEIGHTS);
    r.w.data = b->data;
    r.w.scales = w->scales ? b->data : NULL;
    r.w.biases = w->biases ? b->data : NULL;
    qw_op_input(b->ops, &b->in, b->x, n, w->cols, QW_ROLE_NORMED, qw_op_forms(b->ops, w, NULL));
    return best_time(b, run_linear, &r) * (double)w->rows / (double)r.w.rows;
}

size_t qw_layer_matrices(const qw_layer *l, const qw_matrix *out[QW_LAYER_MATRICES])
{
    const qw_attention_layer *a = &l->mixer.attention;
    const qw_delta_layer *d = &l->mixer.delta;
    const qw_matrix *attention[] = { &a->q, &a->k, &a->v, &a->o, &l->mlp.gate, &l->mlp.up, &l->mlp.down };
    const qw_matrix *delta[] = { &d->qkv, &d->z, &d->a, &d->b, &d->out, &l->mlp.gate, &l->mlp.up, &l->mlp.down };
    const bool is_delta = l->kind == QW_LAYER_DELTA;
    const size_t n = is_delta ? sizeof delta / sizeof *delta : sizeof attention / sizeof *attention;
    memcpy(out, is_delta ? delta : attention, n * sizeof *out);
    return n;
}

/* ---- each shape is timed once */

typedef struct shape_time {
    qw_matrix like;
    double decode_s, prefill_s;
} shape_time;

typedef struct shapes {
    shape_time *items; /* [room] */
    size_t n;
} shapes;

static bool same_shape(const qw_matrix *a, const qw_matrix *b)
{
    return a->type == b->type && a->group == b->group && a->scale_type == b->scale_type && a->rows == b->rows && a->cols == b->cols;
}

static const shape_time *time_shape(shapes *s, bench *b, const qw_matrix *w)
{
    for (size_t i = 0; i < s->n; i++)
        if (same_shape(&s->items[i].like, w))
            return &s->items[i];
    s->items[s->n] = (shape_time){ *w, time_linear(b, w, 1), time_linear(b, w, TOKENS) / TOKENS };
    return &s->items[s->n++];
}

static qw_speed_format *format_of(qw_speed *out, const qw_matrix *w)
{
    for (size_t i = 0; i < out->n_formats; i++)
        if (out->formats[i].type == w->type && out->formats[i].group == w->group)
            return &out->formats[i];
    if (out->n_formats == QW_SPEED_FORMATS)
        return &out->formats[QW_SPEED_FORMATS - 1];
    out->formats[out->n_formats] = (qw_speed_format){ .type = w->type, .group = w->group };
    return &out->formats[out->n_formats++];
}

/* What w costs a token; the head computes the last row of a prompt alone. */
static void add_matrix(qw_speed *out, shapes *s, bench *b, const qw_matrix *w, bool head)
{
    if (!w->rows || !w->cols)
        return; /* could not be bound */
    const shape_time *t = time_shape(s, b, w);
    qw_speed_format *f = format_of(out, w);
    const size_t bytes = qw_matrix_bytes(w);
    const double read_s = (double)bytes / out->read_bytes_per_s;
    f->n_weights += w->rows * w->cols;
    f->n_bytes += bytes;
    f->decode_s += larger(t->decode_s, read_s);
    f->prefill_s += head ? 0 : larger(t->prefill_s, read_s / QW_MAX_BATCH);
}

static void add_matrices(qw_speed *out, shapes *s, bench *b, const qw_model *m)
{
    for (int i = 0; i < m->config.text.n_layers; i++) {
        const qw_matrix *list[QW_LAYER_MATRICES];
        const size_t n = qw_layer_matrices(&m->text.layers[i], list);
        for (size_t k = 0; k < n; k++)
            add_matrix(out, s, b, list[k], false);
    }
    add_matrix(out, s, b, &m->text.head, true);
}

/* ---- what mixes tokens */

typedef struct mix_run {
    bench *b;
    const qw_text_config *c;
    float *state, *tail;
    void *cache; /* of an attention layer, QW_SPEED_CONTEXT positions */
    size_t n, n_keys;
} mix_run;

/* Convolution and delta rule of one layer. */
static void run_delta(void *ctx)
{
    const mix_run *r = ctx;
    const qw_text_config *c = r->c;
    const qw_delta_segment segment = { .n = r->n, .tail = r->tail, .state = r->state };
    const float *weights = (const float *)(const void *)r->b->data;
    float *decay = r->b->y, *gates = decay + c->linear_value_heads;
    qw_op_delta(r->b->ops, &(qw_delta_op_args){ .out = &r->b->out,
                                                .forms = QW_FORM_Q8,
                                                .qkv = r->b->x,
                                                .z = r->b->x,
                                                .a = gates,
                                                .b = gates + r->n * (size_t)c->linear_value_heads,
                                                .conv = weights,
                                                .neg_exp_a = decay,
                                                .dt_bias = weights,
                                                .norm = weights,
                                                .taps = (size_t)c->conv_kernel,
                                                .key_heads = (size_t)c->linear_key_heads,
                                                .value_heads = (size_t)c->linear_value_heads,
                                                .key_dim = (size_t)c->linear_key_dim,
                                                .value_dim = (size_t)c->linear_value_dim,
                                                .tiled = c->tiled_value_heads,
                                                .segments = &segment,
                                                .n_segments = 1 });
}

static void run_attention(void *ctx)
{
    const mix_run *r = ctx;
    const qw_text_config *c = r->c;
    const float *weights = (const float *)(const void *)r->b->data;
    const qw_attention_segment segment = {
        .n = r->n, .start = r->n_keys - r->n, .n_queries = r->n, .cache = r->cache, .type = QW_KV_F16, .capacity = QW_SPEED_CONTEXT
    };
    const qw_attention_op_args a = { .k = r->b->y,
                                     .v = r->b->x,
                                     .q = r->b->x,
                                     .q_norm = weights,
                                     .k_norm = weights,
                                     .cos = weights,
                                     .sin = weights,
                                     .out = &r->b->out,
                                     .forms = QW_FORM_Q8,
                                     .n_heads = (size_t)c->n_heads,
                                     .n_kv_heads = (size_t)c->n_kv_heads,
                                     .head_dim = (size_t)c->head_dim,
                                     .half = (size_t)c->rotary_dim / 2,
                                     .segments = &segment,
                                     .n_segments = 1 };
    qw_op_remember(r->b->ops, &a);
    qw_op_attend(r->b->ops, &a);
}

static void add_mixing(qw_speed *out, bench *b, const qw_text_config *c, float *state, float *tail, void *cache)
{
    mix_run one = { b, c, state, tail, cache, 1, QW_SPEED_CONTEXT }, many = { b, c, state, tail, cache, TOKENS, QW_SPEED_CONTEXT / 2 };
    const double state_s = 2 * (double)(qw_recurrent_floats(c) * sizeof(float)) / out->read_bytes_per_s; /* read and written */
    const double cache_s = (double)qw_cache_bytes(c, QW_KV_F16, QW_SPEED_CONTEXT) / out->read_bytes_per_s;
    memset(b->y, FILL | 0x80, (size_t)c->linear_value_heads * sizeof *b->y); /* decays, below zero */
    if (c->n_delta_layers) {
        out->mixing_decode_s += c->n_delta_layers * larger(best_time(b, run_delta, &one), state_s);
        out->mixing_prefill_s += c->n_delta_layers * best_time(b, run_delta, &many) / TOKENS;
    }
    if (c->n_attention_layers) {
        out->mixing_decode_s += c->n_attention_layers * larger(best_time(b, run_attention, &one), cache_s);
        out->mixing_prefill_s += c->n_attention_layers * best_time(b, run_attention, &many) / TOKENS;
    }
}

/* ---- the whole */

static size_t max(size_t a, size_t b) { return a > b ? a : b; }

typedef struct needs {
    size_t data_bytes, x_floats, y_floats, n_matrices;
    size_t cols; /* of the widest matrix */
} needs;

static void need_matrix(needs *n, const qw_matrix *w)
{
    qw_matrix part = *w;
    part.rows = max(rows_timed(w, DECODE_WEIGHTS), rows_timed(w, PREFILL_WEIGHTS));
    if (part.rows && part.cols)
        n->data_bytes = max(n->data_bytes, qw_matrix_bytes(&part));
    n->x_floats = max(n->x_floats, TOKENS * w->cols);
    n->y_floats = max(n->y_floats, max(rows_timed(w, DECODE_WEIGHTS), TOKENS * rows_timed(w, PREFILL_WEIGHTS)));
    n->cols = max(n->cols, w->cols);
    n->n_matrices++;
}

static needs find_needs(const qw_model *m)
{
    const qw_text_config *c = &m->config.text;
    needs n = { 0 };
    for (int i = 0; i < c->n_layers; i++) {
        const qw_matrix *list[QW_LAYER_MATRICES];
        const size_t k = qw_layer_matrices(&m->text.layers[i], list);
        for (size_t j = 0; j < k; j++)
            need_matrix(&n, list[j]);
    }
    need_matrix(&n, &m->text.head);
    const size_t heads = (size_t)c->n_heads * (size_t)c->head_dim;
    n.cols = max(n.cols, (size_t)c->linear_value_heads * (size_t)c->linear_value_dim);
    n.data_bytes = max(n.data_bytes, (size_t)c->conv_kernel * qw_delta_channels(c) * sizeof(float));
    n.data_bytes = max(n.data_bytes, TOKENS * max((size_t)c->rotary_dim, (size_t)c->head_dim) * sizeof(float));
    n.x_floats = max(n.x_floats, TOKENS * max(qw_delta_channels(c), 2 * heads));
    n.y_floats = max(n.y_floats, max(TOKENS * heads, (2 * TOKENS + 1) * (size_t)c->linear_value_heads));
    return n;
}

static size_t rounded(size_t floats) { return (floats + 15) / 16 * 16; }

/* Floats of the layers' states, one after the other in one block. */
static qwren_status measure(qw_speed *out, bench *b, const qw_model *m, const needs *n, qwren_error *err)
{
    const qw_text_config *c = &m->config.text;
    const size_t state = qw_recurrent_floats(c), tail = qw_conv_floats(c), cache = qw_cache_bytes(c, QW_KV_F16, QW_SPEED_CONTEXT),
                 input = qw_input_bytes(TOKENS, n->cols), floats = rounded(state + tail + n->x_floats + n->y_floats),
                 bytes = floats * sizeof(float) + cache + 2 * input + n->data_bytes;
    shapes s = { qw_alloc_array(n->n_matrices, sizeof *s.items), 0 };
    float *block = qw_alloc_aligned(bytes);
    qwren_status st = s.items && block ? QWREN_OK : qw_fail_memory(err, bytes, "made-up weights");
    if (st == QWREN_OK) {
        qw_huge_pages(block, bytes);
        memset(block, FILL, bytes);
        char *at = (char *)(block + floats);
        b->x = block + state + tail;
        b->y = b->x + n->x_floats;
        qw_input_init(&b->in, at + cache, TOKENS, n->cols);
        qw_input_init(&b->out, at + cache + input, TOKENS, n->cols);
        b->data = at + cache + 2 * input;
        add_matrices(out, &s, b, m);
        add_mixing(out, b, c, block, block + state, at);
    }
    qw_free(s.items);
    qw_free_aligned(block);
    return st;
}

static void add_up(qw_speed *out)
{
    double decode_s = out->mixing_decode_s, prefill_s = out->mixing_prefill_s;
    for (size_t i = 0; i < out->n_formats; i++) {
        decode_s += out->formats[i].decode_s;
        prefill_s += out->formats[i].prefill_s;
    }
    out->decode_tokens_per_s = 1 / larger(decode_s, 1e-9);
    out->prefill_tokens_per_s = 1 / larger(prefill_s, 1e-9);
}

qwren_status qw_speed_estimate(qw_speed *out, const qw_model *m, const qw_speed_params *p, qwren_error *err)
{
    const qw_text_config *c = &m->config.text;
    const needs n = find_needs(m);
    bench b = { .patience_s = p->patience_s > 0 ? p->patience_s : PATIENCE_S };
    qw_read_speed read;
    qwren_status st;
    *out = (qw_speed){ .n_threads = p->n_threads > 0 ? p->n_threads : qw_cpu_count() };
    QW_TRY_GOTO(st, qw_ops_create(&b.ops, &(qw_ops_options){ .n_threads = out->n_threads }, err), done);
    QW_TRY_GOTO(st, qw_ops_measure_read(&read, b.ops, p->buffer_bytes, b.patience_s, err), done);
    out->read_bytes_per_s = read.bytes_per_s;
    out->busy = read.busy;
    QW_TRY_GOTO(st,
                qw_ops_reserve(b.ops,
                               &(qw_ops_needs){ .cols = n.cols,
                                                .key_dim = (size_t)c->linear_key_dim,
                                                .value_dim = (size_t)c->linear_value_dim,
                                                .values_per_key = (size_t)c->linear_value_heads / (size_t)c->linear_key_heads,
                                                .head_dim = (size_t)c->head_dim,
                                                .heads_per_kv = (size_t)c->n_heads / (size_t)c->n_kv_heads },
                               err),
                done);
    st = measure(out, &b, m, &n, err);
    if (st == QWREN_OK)
        add_up(out);
done:
    qw_ops_free(b.ops);
    return st;
}
