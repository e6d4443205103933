/* qwren_eval_perplexity: how well a model foresees a text, in windows that overlap. Tested by tests/unit/test_eval.c. */
#include "api/eval.h"
#include "api/options.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/utf8.h"
#include "runtime/divergence.h"

#include <math.h>
#include <string.h>

#define DEFAULT_CTX 2048

typedef struct scoring {
    qwren_eval_options opt;
    qw_reader reader;
    qw_ids ids; /* of the whole text */
    size_t n_ctx, stride;
    double *sums; /* of each window */
    size_t *sizes;
    size_t n_windows;
} scoring;

static qwren_status choose_windows(scoring *s, qwren_error *err)
{
    size_t most = (size_t)s->reader.model->core.config.text.max_positions;
    s->n_ctx = s->opt.n_ctx ? s->opt.n_ctx : DEFAULT_CTX < most ? DEFAULT_CTX : most;
    s->stride = s->opt.stride ? s->opt.stride : s->n_ctx / 2;
    if (s->n_ctx < 2 || s->n_ctx > most)
        return qw_fail(err, QWREN_E_ARGUMENT, "a window of %zu tokens does not exist; give 2 to %zu", s->n_ctx, most);
    if (s->stride < 1 || s->stride >= s->n_ctx)
        return qw_fail(err, QWREN_E_ARGUMENT, "a stride of %zu tokens is not less than the window of %zu; give a smaller one", s->stride,
                       s->n_ctx);
    size_t n = s->ids.n > s->n_ctx ? 2 + (s->ids.n - s->n_ctx - 1) / s->stride : 1;
    s->sums = qw_calloc(n, sizeof *s->sums);
    s->sizes = qw_calloc(n, sizeof *s->sizes);
    return s->sums && s->sizes ? QWREN_OK : qw_fail_memory(err, n * 2 * sizeof *s->sums, "windows");
}

static qwren_status encode(scoring *s, const char *text, size_t len, qwren_error *err)
{
    const qwren_model *m = s->reader.model;
    if (!m->tokenizer)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened without its tokenizer; open it with it to read text", m->path);
    QW_TRY(qw_tokenizer_encode(m->tokenizer->vocabulary, text, len, QWREN_SPECIAL_NONE, NULL, 0, &s->ids, err));
    return s->ids.n > 1 ? QWREN_OK : qw_fail(err, QWREN_E_ARGUMENT, "the text has %zu tokens; perplexity needs at least two", s->ids.n);
}

/* Rows [first, end) of the window that begins at `begin` of the text; tokens from `from` on are scored, each by the row before it. */
static qwren_status score_rows(scoring *s, size_t begin, size_t first, size_t end, size_t from, qwren_error *err)
{
    size_t vocab = (size_t)s->reader.model->core.config.text.vocab_size, n = (size_t)qwren_token_count(s->reader.model->tokenizer);
    for (size_t row = first; row < end && row + 1 < s->reader.timeline.n; row++) {
        size_t at = begin + row + 1;
        if (at < from)
            continue;
        double nats = qw_surprise(s->reader.logits + (row - first) * vocab, n, (size_t)s->ids.data[at]);
        if (isnan(nats))
            return qw_fail(err, QWREN_E_FORMAT, "%s answers with logits that are no numbers: its weights are damaged",
                           s->reader.model->path);
        s->sums[s->n_windows] += nats;
        s->sizes[s->n_windows]++;
    }
    return QWREN_OK;
}

/* Tokens [begin, end) of the text, of which [from, end) are scored. */
static qwren_status score_window(scoring *s, size_t begin, size_t end, size_t from, qwren_error *err)
{
    qw_sample window = { .ids = { s->ids.data + begin, end - begin, 0 } };
    size_t picture = 0;
    QW_TRY(qw_reader_open(&s->reader, &window, s->reader.model, err));
    for (size_t first = 0, next; first < end - begin; first = next) {
        if (s->opt.progress && !s->opt.progress(s->opt.progress_ctx, "tokens", begin + first > from ? begin + first : from, s->ids.n))
            return qw_fail(err, QWREN_E_CANCELLED, "cancelled after %zu of %zu tokens", from, s->ids.n);
        next = qw_reader_chunk(&s->reader, first, &picture);
        QW_TRY(qw_reader_eval(&s->reader, first, next, picture, err));
        QW_TRY(score_rows(s, begin, first, next, from, err));
    }
    s->n_windows++;
    return QWREN_OK;
}

static qwren_status score(scoring *s, qwren_error *err)
{
    const size_t n = s->ids.n;
    size_t from = 1, end = s->n_ctx < n ? s->n_ctx : n;
    while (from < n) {
        QW_TRY(score_window(s, end > s->n_ctx ? end - s->n_ctx : 0, end, from, err));
        from = end;
        end += n - end > s->stride ? s->stride : n - end;
    }
    if (s->opt.progress)
        s->opt.progress(s->opt.progress_ctx, "tokens", n, n);
    return QWREN_OK;
}

/* Of the tokens that are scored: of the text in NFC, which is what they spell. */
static size_t count_bytes(const scoring *s)
{
    size_t n = 0, len = 0;
    for (size_t i = 1; i < s->ids.n; i++, n += len)
        qw_tokenizer_bytes(s->reader.model->tokenizer->vocabulary, s->ids.data[i], &len);
    return n ? n : 1;
}

static void report(const scoring *s, qwren_perplexity *out)
{
    double sum = 0;
    for (size_t i = 0; i < s->n_windows; i++) {
        sum += s->sums[i];
        out->n_tokens += s->sizes[i];
    }
    out->n_bytes = count_bytes(s);
    out->nats = sum / (double)out->n_tokens;
    out->nats_error = qw_grouped_error(s->sums, s->sizes, s->n_windows);
    out->perplexity = exp(out->nats);
    out->bits_per_byte = sum / log(2) / (double)out->n_bytes;
}

qwren_status qwren_eval_perplexity(const qwren_model *m, const char *text, size_t len, const qwren_eval_options *opt, qwren_perplexity *out,
                                   qwren_error *err)
{
    scoring s = { .opt = qwren_eval_options_default() };
    *out = (qwren_perplexity){ 0 };
    QW_TRY(qw_options_read(&s.opt, sizeof s.opt, opt, "qwren_eval_options", err));
    QW_TRY(qw_kv_type_check(s.opt.kv_type, err));
    if (!text)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_eval_perplexity: text is NULL");
    len = len == SIZE_MAX ? strlen(text) : len;
    if (!qw_utf8_is_valid(text, len))
        return qw_fail(err, QWREN_E_FORMAT, "the text is not valid UTF-8; convert it, for example with iconv");
    qwren_status st = qw_reader_init(&s.reader, m, err);
    s.reader.kv_type = s.opt.kv_type;
    if (st == QWREN_OK)
        st = encode(&s, text, len, err);
    if (st == QWREN_OK)
        st = choose_windows(&s, err);
    if (st == QWREN_OK)
        st = score(&s, err);
    if (st == QWREN_OK)
        report(&s, out);
    qw_reader_deinit(&s.reader);
    qw_ids_free(&s.ids);
    qw_free(s.sums);
    qw_free(s.sizes);
    return st;
}
