/* Judging the examination (eval_score.h): the rules for right answers, and the rows of the table. Tested by tests/cli/eval.sh. */
#include "eval_score.h"

#include "base/affix.h"
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- equal values: of equal types, members in any order */

static bool same_string(const qw_json *a, const qw_json *b)
{
    size_t n = 0, m = 0;
    const char *x = qw_json_string(a, &n), *y = qw_json_string(b, &m);
    return n == m && memcmp(x, y, n) == 0;
}

static bool same_value(const qw_json *a, const qw_json *b)
{
    qw_json_kind kind = qw_json_kind_of(a);
    if (kind != qw_json_kind_of(b) || qw_json_size(a) != qw_json_size(b))
        return false;
    switch (kind) {
    case QW_JSON_NULL: return true;
    case QW_JSON_BOOL: return qw_json_bool(a, false) == qw_json_bool(b, false);
    case QW_JSON_INT: return qw_json_int(a, 0) == qw_json_int(b, 0) && qw_json_number(a, 0) == qw_json_number(b, 0);
    case QW_JSON_REAL: return qw_json_number(a, 0) == qw_json_number(b, 0);
    case QW_JSON_STRING: return same_string(a, b);
    case QW_JSON_ARRAY:
        for (size_t i = 0; i < qw_json_size(a); i++)
            if (!same_value(qw_json_at(a, i), qw_json_at(b, i)))
                return false;
        return true;
    case QW_JSON_OBJECT:
        for (qw_json_iter it = qw_json_first(a); it.key; qw_json_next(a, &it)) {
            const qw_json *other = qw_json_get(b, it.key);
            if (!other || !same_value(it.value, other))
                return false;
        }
        return true;
    }
    return false;
}

/* ---- tool calls: {"function": {"name", "arguments"}} or {"name", "arguments"}, the arguments an object or its text */

static const qw_json *function_of(const qw_json *call)
{
    const qw_json *f = qw_json_get(call, "function");
    return f ? f : call;
}

static bool same_arguments(const qw_json *a, const qw_json *b)
{
    qw_json *parsed = NULL;
    size_t len = 0;
    const char *text = qw_json_string(a, &len);
    if (!text && qw_json_is(b, QW_JSON_STRING))
        return same_arguments(b, a);
    if (!text)
        return same_value(a, b);
    bool same = qw_json_parse(&parsed, text, len, "arguments", NULL) == QWREN_OK &&
                (qw_json_is(b, QW_JSON_STRING) ? same_arguments(b, parsed) : same_value(parsed, b));
    qw_json_free(parsed);
    return same;
}

static bool same_calls(const qw_json *a, const qw_json *b)
{
    size_t n = qw_json_size(a);
    if (n != qw_json_size(b))
        return false;
    for (size_t i = 0; i < n; i++) {
        const qw_json *f = function_of(qw_json_at(a, i)), *g = function_of(qw_json_at(b, i));
        if (!same_value(qw_json_get(f, "name"), qw_json_get(g, "name")) ||
            !same_arguments(qw_json_get(f, "arguments"), qw_json_get(g, "arguments")))
            return false;
    }
    return true;
}

/* ---- contents */

typedef struct words {
    const char *text;
    size_t n;
} words;

static words content_of(const qw_json *answer)
{
    words w = { NULL, 0 };
    w.text = qw_json_string(qw_json_get(answer, "content"), &w.n);
    if (!w.text)
        return (words){ "", 0 };
    while (w.n && strchr(" \t\r\n\v\f", w.text[w.n - 1]))
        w.n--;
    while (w.n && strchr(" \t\r\n\v\f", *w.text))
        w.text++, w.n--;
    return w;
}

static bool same_words(words a, words b) { return a.n == b.n && memcmp(a.text, b.text, a.n) == 0; }

static bool take(words *w, const char *start)
{
    size_t n = strlen(start);
    if (w->n < n || memcmp(w->text, start, n) != 0)
        return false;
    w->text += n;
    w->n -= n;
    return true;
}

/* Letters, digits and _, at least one. */
static bool take_word(words *w)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t n = 0;
    while (n < w->n && memchr(letters, w->text[n], sizeof letters - 1))
        n++;
    w->text += n;
    w->n -= n;
    return n > 0;
}

#define MOST_SHAPES 16

/* "A red star, an orange cross and a blue circle." -> its shapes, without the articles; 0 when the text is no listing. */
static size_t listed_shapes(words text, words shapes[MOST_SHAPES])
{
    size_t n = 0;
    bool first = true;
    do {
        if (!take(&text, first ? "A" : "a") || (take(&text, "n"), !take(&text, " ")) || n == MOST_SHAPES)
            return 0;
        first = false;
        const char *begin = text.text;
        if (!take_word(&text) || !take(&text, " ") || !take_word(&text))
            return 0;
        shapes[n++] = (words){ begin, (size_t)(text.text - begin) };
    } while (take(&text, ", ") || take(&text, " and "));
    return text.n == 1 && text.text[0] == '.' ? n : 0;
}

/* In any order. */
static bool same_listing(words a, words b)
{
    words x[MOST_SHAPES], y[MOST_SHAPES];
    size_t n = listed_shapes(a, x);
    bool used[MOST_SHAPES] = { false };
    if (!n || n != listed_shapes(b, y))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && (used[k] || !same_words(x[i], y[k])))
            k++;
        if (k == n)
            return false;
        used[k] = true;
    }
    return true;
}

static bool is_kind(const qw_json *wanted, const char *kind)
{
    const char *own = qw_json_string(qw_json_get(wanted, "kind"), NULL);
    return own && strcmp(own, kind) == 0;
}

bool cli_is_right(const qw_json *answer, const qw_json *wanted)
{
    const qw_json *calls = qw_json_get(wanted, "tool_calls");
    if (qw_json_get(answer, "error") || !same_calls(qw_json_get(answer, "tool_calls"), calls))
        return false;
    if (qw_json_size(calls))
        return true;
    words got = content_of(answer), content = content_of(wanted);
    return is_kind(wanted, "list") ? same_listing(got, content) : same_words(got, content);
}

/* ---- the score */

static qwren_status count(cli_score *s, const char *kind, bool thinking, bool right, qwren_error *err)
{
    size_t i = 0;
    while (i < s->n && (strcmp(s->counts[i].kind, kind) != 0 || s->counts[i].thinking != thinking))
        i++;
    if (i == s->n) {
        cli_tally *more = qw_realloc_array(s->counts, s->n + 1, sizeof *more);
        if (!more)
            return qw_fail_memory(err, (s->n + 1) * sizeof *more, "the score");
        s->counts = more;
        s->counts[s->n++] = (cli_tally){ .thinking = thinking };
        snprintf(s->counts[i].kind, sizeof s->counts[i].kind, "%s", kind);
    }
    s->counts[i].right += right;
    s->counts[i].all++;
    return QWREN_OK;
}

qwren_status cli_score_add(cli_score *s, const qw_json *wanted, bool right, qwren_error *err)
{
    const char *kind = qw_json_string(qw_json_get(wanted, "kind"), NULL);
    bool thinking = qw_json_bool(qw_json_get(wanted, "thinking"), false);
    int64_t lines = qw_json_int(qw_json_get(wanted, "lines"), 0);
    char detail[32];
    if (!kind)
        return qw_fail(err, QWREN_E_FORMAT, "the wanted answers: a line has no \"kind\"");
    QW_TRY(count(s, kind, thinking, right, err));
    if (!lines)
        return QWREN_OK;
    snprintf(detail, sizeof detail, "lookup, %lld lines", (long long)lines);
    return count(s, detail, thinking, right, err);
}

void cli_score_free(cli_score *s)
{
    qw_free(s->counts);
    *s = (cli_score){ 0 };
}

/* ---- the table */

#define PICTURES "list colour shape count left"
#define EVERYTHING PICTURES " yes_no sum translation call no_tool reply lookup unknown"
#define SUMS "sums and differences"
#define NO_TOWER "the model has no image tower"
#define SUM_GAP 20 /* points that thinking must bring */

/* Kinds of a row, and what nano was to reach, without and with thinking; 0: nothing was asked. */
static const struct {
    const char *name, *kinds;
    int bars[2];
} rows[] = {
    { "picture: list all shapes", "list", { 0, 0 } },
    { "picture: colour of a shape", "colour", { 0, 0 } },
    { "picture: shape of a colour", "shape", { 0, 0 } },
    { "picture: count", "count", { 0, 0 } },
    { "picture: which is left / right", "left", { 0, 0 } },
    { "pictures, all five kinds", PICTURES, { 95, 95 } },
    { "picture: is it left / right of, yes or no", "yes_no", { 0, 0 } },
    { SUMS, "sum", { 0, 95 } },
    { "translation, 7 languages", "translation", { 95, 95 } },
    { "tool call: name and arguments", "call", { 95, 95 } },
    { "no listed tool fits: say so", "no_tool", { 0, 0 } },
    { "answer from a tool's response", "reply", { 0, 0 } },
    { "lookup, texts to 500 tokens", "lookup", { 85, 85 } },
    { "\"I don't know.\"", "unknown", { 0, 0 } },
    { "all", EVERYTHING, { 0, 0 } },
};
#define N_ROWS (sizeof rows / sizeof *rows)

typedef struct share {
    size_t right, all;
} share;

/* Whether a word is among words with blanks between. */
static bool is_among(const char *kind, const char *kinds)
{
    size_t n = strlen(kind);
    for (const char *k = kinds; *k; k += strcspn(k, " "), k += strspn(k, " "))
        if (strcspn(k, " ") == n && strncmp(k, kind, n) == 0)
            return true;
    return false;
}

static share share_of(const cli_score *s, const char *kinds, bool thinking)
{
    share sum = { 0, 0 };
    for (size_t i = 0; i < s->n; i++)
        if (s->counts[i].thinking == thinking && (is_among(s->counts[i].kind, kinds) || strcmp(s->counts[i].kind, kinds) == 0)) {
            sum.right += s->counts[i].right;
            sum.all += s->counts[i].all;
        }
    return sum;
}

bool cli_is_picture(const qw_json *wanted)
{
    const char *kind = qw_json_string(qw_json_get(wanted, "kind"), NULL);
    return kind && is_among(kind, PICTURES " yes_no");
}

/* A row of pictures on a model that sees none. */
static bool is_unseen(const cli_score *s, size_t row) { return s->n_unseen && strncmp(rows[row].name, "picture", 7) == 0; }

static double percent(share x) { return x.all ? 100 * (double)x.right / (double)x.all : 0; }

static void put_share(qw_buf *out, share x)
{
    if (x.all)
        qw_buf_printf(out, " %.1f %% (%zu) |", percent(x), x.all);
    else
        qw_buf_puts(out, "  |");
}

static void put_bar(qw_buf *out, size_t row, share off, share on)
{
    const int *bars = rows[row].bars;
    bool met = (!bars[0] || percent(off) >= bars[0]) && (!bars[1] || percent(on) >= bars[1]);
    if (!bars[0] && !bars[1]) {
        qw_buf_puts(out, "  |  |\n");
        return;
    }
    qw_buf_printf(out, " %d", bars[1]);
    if (strcmp(rows[row].name, SUMS) == 0 && off.all && on.all) {
        met = met && percent(on) - percent(off) >= SUM_GAP;
        qw_buf_printf(out, " with thinking, gap %d (it is %.0f)", SUM_GAP, percent(on) - percent(off));
    }
    qw_buf_printf(out, " | %s |\n", met ? "yes" : "no");
}

static int lines_of(const cli_tally *c)
{
    static const char start[] = "lookup, ";
    return qw_begins_with(c->kind, start) ? atoi(c->kind + sizeof start - 1) : 0;
}

static int compare_lines(const void *a, const void *b)
{
    int x = lines_of(a), y = lines_of(b);
    return (x > y) - (x < y);
}

void cli_score_table(qw_buf *out, const cli_score *s)
{
    qw_buf_puts(out, "| task | thinking off | thinking on | bar | met |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_ROWS; i++) {
        share off = share_of(s, rows[i].kinds, false), on = share_of(s, rows[i].kinds, true);
        if (is_unseen(s, i))
            qw_buf_printf(out, "| %s | - | - |  |  |\n", rows[i].name);
        if (!off.all && !on.all)
            continue;
        qw_buf_printf(out, "| %s |", rows[i].name);
        put_share(out, off);
        put_share(out, on);
        put_bar(out, i, off, on);
    }
    if (s->n)
        qsort(s->counts, s->n, sizeof *s->counts, compare_lines);
    for (size_t i = 0; i < s->n; i++) {
        const char *kind = s->counts[i].kind;
        if (!lines_of(&s->counts[i]) || (i && strcmp(kind, s->counts[i - 1].kind) == 0))
            continue;
        qw_buf_printf(out, "| %s |", kind);
        put_share(out, share_of(s, kind, false));
        put_share(out, share_of(s, kind, true));
        qw_buf_puts(out, "  |  |\n");
    }
    if (s->n_unseen)
        qw_buf_printf(out, "\n%zu requests with pictures were left out: " NO_TOWER "\n", s->n_unseen);
    if (s->n_failed)
        qw_buf_printf(out, "\n%zu of %zu requests could not be answered and count as wrong; the first: %s\n", s->n_failed, s->n_asked,
                      s->failure);
    if (s->n_missing)
        qw_buf_printf(out, "\n%zu requests have no answer given and do not count\n", s->n_missing);
}

static void json_share(qw_buf *out, const char *name, share x)
{
    qw_buf_printf(out, ", \"%s\": {\"right\": %zu, \"all\": %zu}", name, x.right, x.all);
}

void cli_score_json(qw_buf *out, const cli_score *s)
{
    bool first = true;
    qw_buf_puts(out, "{\"tasks\": [");
    for (size_t i = 0; i < N_ROWS; i++) {
        share off = share_of(s, rows[i].kinds, false), on = share_of(s, rows[i].kinds, true);
        bool unseen = is_unseen(s, i);
        if (!off.all && !on.all && !unseen)
            continue;
        qw_buf_puts(out, first ? "{\"task\": " : ", {\"task\": ");
        first = false;
        qw_json_dump_string(out, rows[i].name, strlen(rows[i].name));
        if (unseen) {
            qw_buf_puts(out, ", \"thinking_off\": null, \"thinking_on\": null, \"reason\": \"" NO_TOWER "\"}");
            continue;
        }
        json_share(out, "thinking_off", off);
        json_share(out, "thinking_on", on);
        qw_buf_putc(out, '}');
    }
    share off = share_of(s, EVERYTHING, false), on = share_of(s, EVERYTHING, true);
    qw_buf_printf(out, "], \"failed\": %zu, \"failure\": ", s->n_failed);
    if (s->failure)
        qw_json_dump_string(out, s->failure, strlen(s->failure));
    else
        qw_buf_puts(out, "null");
    qw_buf_printf(out, ", \"left_out\": %zu, \"unanswered\": %zu", s->n_unseen, s->n_missing);
    qw_buf_printf(out, ", \"right\": %zu, \"all\": %zu}\n", off.right + on.right, off.all + on.all);
}
