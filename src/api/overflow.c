/* Policies for a conversation that is longer than the context (overflow.h). Between the template, which knows the turns, and chat.c. Tested
 * by tests/unit/test_overflow.c. */
#include "api/overflow.h"

#include "base/alloc.h"

/* ---- exchanges */

/* The first picture at or behind this offset of the text. */
static size_t media_at(const qw_prompt *p, size_t offset)
{
    size_t i = 0;
    while (i < p->n_media && p->media[i].offset < offset)
        i++;
    return i;
}

static bool is_generation(const qw_turn_place *t) { return t->first == SIZE_MAX && !t->is_system; }

/* Turn i with the turns before the next question. */
static size_t end_of_exchange(const qw_prompt *p, size_t i)
{
    do
        i++;
    while (i < p->n_turns && !p->turns[i].is_query && !is_generation(&p->turns[i]));
    return i;
}

static qw_exchange make_exchange(const qw_prompt *p, const size_t *starts, size_t begin, size_t end)
{
    const size_t to = end < p->n_turns ? p->turns[end].offset : p->text.len;
    qw_exchange e = { .first = p->turns[begin].first, .end = p->turns[end - 1].last + 1 };
    e.first_media = media_at(p, p->turns[begin].offset);
    e.end_media = media_at(p, to);
    e.n_tokens = starts[end] - starts[begin] - (e.end_media - e.first_media);
    return e;
}

qwren_status qw_exchanges_find(qw_exchanges *out, const qw_prompt *p, const size_t *starts, qwren_error *err)
{
    size_t i = p->n_turns && p->turns[0].is_system ? 1 : 0;
    *out = (qw_exchanges){ .list = qw_alloc_array(p->n_turns + 1, sizeof *out->list) };
    if (!out->list)
        return qw_fail_memory(err, (p->n_turns + 1) * sizeof *out->list, "exchanges");
    out->fixed_media = i ? media_at(p, i < p->n_turns ? p->turns[i].offset : p->text.len) : 0;
    out->n_fixed = starts[i] - starts[0] - out->fixed_media;
    while (i < p->n_turns && !is_generation(&p->turns[i])) {
        size_t end = end_of_exchange(p, i);
        out->list[out->n++] = make_exchange(p, starts, i, end);
        i = end;
    }
    out->n_fixed += starts[p->n_turns] - starts[i];
    return QWREN_OK;
}

void qw_exchanges_deinit(qw_exchanges *e)
{
    qw_free(e->list);
    *e = (qw_exchanges){ 0 };
}

/* ---- leaving out */

size_t qw_overflow_reserve(size_t capacity, int64_t max_tokens)
{
    size_t wish = max_tokens >= 0 ? (size_t)max_tokens : capacity / 4;
    if (wish > capacity / 2)
        wish = capacity / 2;
    return wish ? wish : 1;
}

/* The next number of exchanges at or above n_dropped at which their text crosses a multiple of `unit` tokens; n_dropped when there is none.
 * Counted from the oldest one, so that it stays where it is while the conversation grows. */
static size_t round_up(const qw_exchanges *e, size_t n_dropped, size_t unit)
{
    size_t sum = 0;
    for (size_t i = 0; i + 1 < e->n; i++) {
        size_t before = sum;
        sum += e->list[i].n_tokens;
        if (i + 1 >= n_dropped && sum / unit > before / unit)
            return i + 1;
    }
    return n_dropped;
}

qwren_status qw_overflow_choose(qw_overflow *out, const qw_exchanges *e, size_t capacity, size_t reserve, qw_media_cost_fn cost, void *ctx,
                                qwren_error *err)
{
    const size_t unit = capacity / 4 ? capacity / 4 : 1;
    size_t media = 0, total = e->n_fixed;
    *out = (qw_overflow){ 0 };
    QW_TRY(cost(ctx, 0, e->fixed_media, &media, err));
    total += media;
    for (size_t i = e->n; i-- > 0 && !out->n_dropped;) {
        const qw_exchange *x = &e->list[i];
        if (i + 1 < e->n && total + x->n_tokens + reserve > capacity) { /* too much without its pictures already */
            out->n_dropped = i + 1;
            break;
        }
        QW_TRY(cost(ctx, x->first_media, x->end_media, &media, err));
        if (i + 1 == e->n)
            out->n_least = total + x->n_tokens + media;
        else if (total + x->n_tokens + media + reserve > capacity)
            out->n_dropped = i + 1;
        total += x->n_tokens + media;
    }
    if (!e->n)
        out->n_least = total;
    if (out->n_dropped)
        out->n_dropped = round_up(e, out->n_dropped, unit);
    return QWREN_OK;
}

/* ---- forgetting */

qw_shift qw_overflow_shift(size_t n_system, size_t length)
{
    qw_shift s = { .keep = (n_system + QW_SHIFT_UNIT - 1) / QW_SHIFT_UNIT * QW_SHIFT_UNIT };
    if (s.keep < length)
        s.by = (length - s.keep) / 2 / QW_SHIFT_UNIT * QW_SHIFT_UNIT;
    return s;
}
