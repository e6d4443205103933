/* What to do when a conversation is longer than the context: which turns to leave out, or what to forget behind the system block. Policies
 * alone, pure functions; the chat acts on them and tells. Private to src/api. */
#ifndef QW_API_OVERFLOW_H
#define QW_API_OVERFLOW_H

#include "text/template.h"

/* A question with all that answers it: the unit that is left out. What stands before the first question is one, too. */
typedef struct qw_exchange {
    size_t first, end;             /* messages */
    size_t n_tokens;               /* without its pictures' */
    size_t first_media, end_media; /* of the prompt */
} qw_exchange;

typedef struct qw_exchanges {
    qw_exchange *list;
    size_t n;
    size_t n_fixed;     /* tokens of the system block and the generation prompt, which stay */
    size_t fixed_media; /* pictures of the system block: the first ones */
} qw_exchanges;

/* `starts` [p->n_turns + 1]: the first id of each turn and the end, a picture being one id. Give back with qw_exchanges_deinit(), after a
 * failure too. */
qwren_status qw_exchanges_find(qw_exchanges *out, const qw_prompt *p, const size_t *starts, qwren_error *err);
void qw_exchanges_deinit(qw_exchanges *e);

/* Tokens of the pictures [first, end) of the prompt. */
typedef qwren_status (*qw_media_cost_fn)(void *ctx, size_t first, size_t end, size_t *n_tokens, qwren_error *err);

typedef struct qw_overflow {
    size_t n_dropped; /* of the exchanges, the oldest */
    size_t n_least;   /* tokens of what can never be left out */
} qw_overflow;

/* Tokens of the answer that room is made for: max_tokens when it is said (>= 0), else a quarter of the window; never more than half of it,
 * so that a request for a very long answer does not cost the whole conversation. At least 1. */
size_t qw_overflow_reserve(size_t capacity, int64_t max_tokens);
/* As few of the oldest exchanges as must go for the rest and the reserve to fit, rounded up to the next quarter of the window of text, so
 * that the turns which follow leave out the same ones and find their beginning computed. The last exchange stays. Pictures are asked for
 * from the newest exchange back, and not beyond the first that has no place. Even when all that may go has gone the rest may not fit: *out
 * tells how much it is. */
qwren_status qw_overflow_choose(qw_overflow *out, const qw_exchanges *e, size_t capacity, size_t reserve, qw_media_cost_fn cost, void *ctx,
                                qwren_error *err);

/* A full window that shall go on: the first `keep` tokens stay, the `by` ones behind them are forgotten. n_system: tokens of the system
 * block. Both are multiples of QW_SHIFT_UNIT (keep may be up to that much more than the block); by 0: there is nothing to forget. */
#define QW_SHIFT_UNIT 16
typedef struct qw_shift {
    size_t keep, by;
} qw_shift;
qw_shift qw_overflow_shift(size_t n_system, size_t length);

#endif
