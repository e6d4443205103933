/* The refusal of a session that would not fit (memory.h), and the names of what keys and values are kept as. Everything in the sentence is computed: what is needed,
 * what there is, the longest round context that fits, and the types with which the whole one does. Tested by tests/unit/test_api_memory.c. */
#include "api/memory.h"

#include "api/ahead.h"
#include "base/machine.h"
#include "runtime/session.h"

#include <math.h>
#include <stdio.h>

#define SHORTEST_CTX 512 /* that is worth telling */
#define MOST_YARN 4

static const char *const type_names[] = {
    [QWREN_KV_DEFAULT] = "default", [QWREN_KV_F16] = "f16",   [QWREN_KV_F32] = "f32",
    [QWREN_KV_Q8] = "q8",           [QWREN_KV_BF16] = "bf16", [QWREN_KV_Q4] = "q4",
};
#define N_TYPES ((int)(sizeof type_names / sizeof *type_names))

const char *qwren_kv_type_name(qwren_kv_type type) { return (int)type >= 0 && (int)type < N_TYPES ? type_names[type] : NULL; }

qwren_status qw_kv_type_check(qwren_kv_type type, qwren_error *err)
{
    return qwren_kv_type_name(type) ? QWREN_OK : qw_fail(err, QWREN_E_ARGUMENT, "kv_type is %d; give one of qwren_kv_type", (int)type);
}

/* ---- what fits */

typedef struct offer {
    const qwren_model *m;
    const qwren_session_options *opt;
    uint64_t weights;   /* bytes of them that a token reads and that may have to come from the files */
    uint64_t available; /* for both */
} offer;

/* Of a session when it is full; UINT64_MAX: there cannot be such a one. */
static uint64_t session_bytes(const offer *o, size_t n_ctx, qwren_kv_type type)
{
    qw_memplan plan;
    uint64_t ahead = 0;
    qwren_status st = qw_memplan_make(&plan, &o->m->core.config.text, n_ctx, qw_cache_type(&o->m->core, type), 0, NULL);
    if (st == QWREN_OK)
        st = qw_ahead_bytes(o->m, o->opt, n_ctx, type, &ahead, NULL);
    return st == QWREN_OK ? plan.total_bytes + ahead : UINT64_MAX;
}

static bool fits(const offer *o, size_t n_ctx, qwren_kv_type type)
{
    const uint64_t bytes = session_bytes(o, n_ctx, type);
    return o->weights <= o->available && bytes <= o->available - o->weights;
}

/* The longest one that fits, rounded down to a power of two or one and a half times that; 0: none that is worth it. */
static size_t longest(const offer *o, size_t n_ctx, qwren_kv_type type)
{
    size_t good = 0, bad = n_ctx, power = 1;
    while (bad - good > 1) {
        const size_t middle = good + (bad - good) / 2;
        if (fits(o, middle, type))
            good = middle;
        else
            bad = middle;
    }
    while (power <= good / 2)
        power *= 2;
    const size_t more = power + power / 2;
    return good < SHORTEST_CTX ? 0 : good >= more ? more : power;
}

/* ---- the sentence */

#define AMOUNT_BYTES 32

static const char *amount(char buf[AMOUNT_BYTES], uint64_t bytes)
{
    if (bytes < 1000000000)
        snprintf(buf, AMOUNT_BYTES, "%.1f MB", (double)bytes / 1e6);
    else
        snprintf(buf, AMOUNT_BYTES, "%.1f GB", (double)bytes / 1e9);
    return buf;
}

/* " or 262144 with keys and values as q8 or q4 (kv_type; --kv)": those with which all of it fits. */
static void put_types(qw_buf *out, const offer *o, size_t n_ctx, bool first)
{
    int n = 0;
    for (int type = QWREN_KV_DEFAULT + 1; type < N_TYPES; type++) {
        if (!fits(o, n_ctx, (qwren_kv_type)type))
            continue;
        if (!n++)
            qw_buf_printf(out, "%s%zu with keys and values as ", first ? "" : ", or ", n_ctx);
        qw_buf_printf(out, "%s%s", n > 1 ? " or " : "", type_names[type]);
    }
    if (n)
        qw_buf_puts(out, " (kv_type; --kv)");
}

/* ", of that 12.3 MB to guess ahead (spec; --spec off)" */
static void put_ahead(qw_buf *out, const offer *o)
{
    char bytes[AMOUNT_BYTES];
    uint64_t ahead = 0;
    qw_ahead_bytes(o->m, o->opt, o->opt->n_ctx, o->opt->kv_type, &ahead, NULL);
    if (ahead)
        qw_buf_printf(out, ", of that %s to guess ahead (spec; --spec off)", amount(bytes, ahead));
}

static qwren_status refuse(const offer *o, qwren_error *err)
{
    const size_t n_ctx = o->opt->n_ctx;
    const qwren_kv_type type = o->opt->kv_type;
    char needed[AMOUNT_BYTES], weights[AMOUNT_BYTES], available[AMOUNT_BYTES];
    const size_t shorter = longest(o, n_ctx, type);
    qw_buf offers = QW_BUF_INIT, ahead = QW_BUF_INIT;
    put_ahead(&ahead, o);
    if (shorter)
        qw_buf_printf(&offers, "%zu tokens fit (n_ctx; --ctx)", shorter);
    put_types(&offers, o, n_ctx, shorter == 0);
    if (!offers.len)
        qw_buf_puts(&offers, "no context fits beside the weights");
    const qwren_status st =
        qw_fail(err, QWREN_E_MEMORY,
                "a context of %zu tokens needs %s when it is full%s, beside %s of weights; %s are available: %s; memory is taken as "
                "it fills, and allow_overcommit (--overcommit) begins anyway",
                n_ctx, amount(needed, session_bytes(o, n_ctx, type)), qw_buf_text(&ahead), amount(weights, o->weights),
                amount(available, o->available), qw_buf_text(&offers));
    qw_buf_free(&offers);
    qw_buf_free(&ahead);
    return st;
}

/* More positions than the model takes: YaRN may make them. */
static qwren_status check_positions(const qwren_model *m, size_t n_ctx, qwren_error *err)
{
    const size_t most = (size_t)m->info.max_positions;
    const double trained = m->info.trained_positions, factor = ceil((double)n_ctx / trained);
    if (n_ctx <= most || factor > MOST_YARN)
        return QWREN_OK; /* what makes the plan tells the limit */
    return qw_fail(err, QWREN_E_LIMIT,
                   "a session of %zu tokens: this model takes 1 to %zu; YaRN makes it %.0f with yarn_factor %.0f (--yarn %.0f)", n_ctx,
                   most, factor * trained, factor, factor);
}

qwren_status qw_memory_check(const qwren_model *m, const qwren_session_options *opt, uint64_t available, qwren_error *err)
{
    const offer o = { m, opt, (m->weights_stay ? 0 : m->info.n_bytes_text) + qw_ahead_weight_bytes(m, opt), available };
    qw_memplan plan;
    QW_TRY(check_positions(m, opt->n_ctx, err));
    QW_TRY(qw_memplan_make(&plan, &m->core.config.text, opt->n_ctx, qw_cache_type(&m->core, opt->kv_type), 0, err));
    return available == QW_NOT_KNOWN || fits(&o, opt->n_ctx, opt->kv_type) ? QWREN_OK : refuse(&o, err);
}
