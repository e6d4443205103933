/* Doctor's reference vectors: what both models, source and codes, make of one short text, layer by layer and at the end. Tested by
 * tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/file.h"
#include "convert/codes.h"
#include "convert/run.h"

#include <string.h>

#define HEAD_WEIGHTS ((size_t)8 << 20) /* of the head at a time */

static size_t step_floats(const qw_run *r) { return r->check.n_tokens * (size_t)r->config->hidden_size; }

static void store(const qw_run *r, float *steps, size_t step)
{
    memcpy(steps + step * step_floats(r), r->check.x, step_floats(r) * sizeof *steps);
}

qwren_status qw_check_begin(qw_run *r, qwren_error *err)
{
    const size_t steps = (size_t)r->config->n_layers + 1, V = (size_t)r->config->vocab_size;
    QW_TRY(qw_streams_init(&r->check, r->source, r->job->check, 1, err));
    r->check_source = qw_alloc_array(steps * step_floats(r), sizeof *r->check_source);
    r->check_codes = qw_alloc_array(steps * step_floats(r), sizeof *r->check_codes);
    r->logits_source = qw_alloc_array(V, sizeof *r->logits_source);
    r->logits_codes = qw_alloc_array(V, sizeof *r->logits_codes);
    if (!r->check_source || !r->check_codes || !r->logits_source || !r->logits_codes)
        return qw_fail_memory(err, 2 * (steps * step_floats(r) + V) * sizeof *r->check_source, "reference vectors");
    qw_streams_embed(&r->check, &r->source->text.embed, r->check.x);
    store(r, r->check_source, 0);
    return QWREN_OK;
}

void qw_check_layer(qw_run *r, int n)
{
    qw_streams_layer(&r->check, &r->source->text.layers[n], r->check.x, r->check.x, NULL, NULL);
    store(r, r->check_source, (size_t)n + 1);
}

/* ---- logits, a block of the head at a time */

static size_t head_block(const qw_matrix *head)
{
    const size_t rows = HEAD_WEIGHTS / head->cols;
    return rows < 1 ? 1 : rows;
}

/* The final hidden state of the last token, in place of the stream's last row. */
static const float *last_hidden(qw_run *r, const float *norm)
{
    const size_t H = (size_t)r->config->hidden_size;
    float *last = r->check.x + (r->check.n_tokens - 1) * H;
    qw_streams_norm(&r->check, norm, last, 1, last);
    return last;
}

static void logits_of_source(qw_run *r)
{
    const qw_matrix *head = &r->source->text.head;
    const float *h = last_hidden(r, r->source->text.norm);
    const size_t block = head_block(head);
    for (size_t first = 0; first < head->rows; first += block) {
        const qw_matrix rows = qw_matrix_rows(head, first, head->rows - first < block ? head->rows - first : block);
        qw_op_linear(r->source->ops, r->logits_source + first, &rows, NULL, h, 1);
        qw_map_release(rows.data, rows.rows * qw_matrix_row_bytes(&rows));
    }
}

static qwren_status logits_of_codes(qw_run *r, size_t head, qwren_error *err)
{
    const qw_plan_entry *e = &r->plan.entries[head];
    const qw_matrix shape = qw_run_source(r, head);
    const float *h = last_hidden(r, r->norm);
    const size_t block = head_block(&shape);
    for (size_t first = 0; first < e->rows; first += block) {
        const size_t n = e->rows - first < block ? e->rows - first : block;
        qw_matrix rows = qw_matrix_rows(&shape, first, n), codes = { 0 };
        if (e->choice.bits) {
            QW_TRY(qw_run_load(r, head, first, n, &codes, err));
            rows = codes;
        }
        qw_op_linear(r->source->ops, r->logits_codes + first, &rows, NULL, h, 1);
        qw_codes_free(&codes);
    }
    return QWREN_OK;
}

/* ---- the coded model */

static qwren_status layers_of_codes(qw_run *r, qwren_error *err)
{
    for (int n = 0; n < r->config->n_layers; n++) {
        qw_coded_layer l;
        QW_TRY(qw_run_report(r, "check", (uint64_t)n, (uint64_t)r->config->n_layers, err));
        qwren_status st = qw_run_load_layer(r, n, &l, err);
        if (st == QWREN_OK)
            qw_streams_layer(&r->check, &l.layer, r->check.x, r->check.x, NULL, NULL);
        qw_coded_layer_free(&l);
        QW_TRY(st);
        store(r, r->check_codes, (size_t)n + 1);
    }
    return QWREN_OK;
}

qwren_status qw_check_codes(qw_run *r, qwren_error *err)
{
    const char *const head_name = r->config->tied_embeddings ? "embed_tokens.weight" : "lm_head.weight";
    const qw_plan_entry *head = qw_plan_find(&r->plan, head_name);
    if (!head)
        return qw_fail(err, QWREN_E_INTERNAL, "the plan has no tensor %s", head_name);
    logits_of_source(r);
    QW_TRY(qw_run_embed(r, &r->check, r->check.x, err));
    store(r, r->check_codes, 0);
    QW_TRY(layers_of_codes(r, err));
    return logits_of_codes(r, (size_t)(head - r->plan.entries), err);
}
