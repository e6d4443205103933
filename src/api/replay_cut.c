/* A sampled answer -> what replay.c keeps of it. Behind the last token of an answer, when the parser has said what a client will be told.
 * Each part is kept only after its ids were decoded and compared with that. Tested by tests/unit/test_replay.c. */
#include "api/replay.h"

#include "api/tokenizer.h"
#include "text/calls.h"

#include <string.h>

typedef struct cutter {
    const qwren_model *m;
    const qw_tokenizer *t;
    const qw_sampled *answer;
    const char *content, *thought; /* trimmed */
    size_t content_len, thought_len;
    qw_buf calls, text;
    size_t n_calls;
    qw_replay_ids out;
    bool fits;
    qwren_error *err;
} cutter;

/* ---- words and tokens */

/* A member's text, trimmed; "" when it is null. */
static const char *trimmed(const qw_json *message, const char *key, size_t *len)
{
    size_t begin = 0;
    const char *s = qw_json_string(qw_json_get(message, key), len);
    if (!s) {
        *len = 0;
        return "";
    }
    qw_trim(s, &begin, len);
    *len -= begin;
    return s + begin;
}

static int tag_at(const cutter *c, size_t i) { return i < c->answer->n ? qw_model_tag_of(c->m, c->answer->ids[i]) : -1; }

/* The first such tag at or behind `from`; n when there is none. */
static size_t find_tag(const cutter *c, size_t from, qw_tag tag)
{
    while (from < c->answer->n && tag_at(c, from) != (int)tag)
        from++;
    return from;
}

static bool is_blank(const cutter *c, size_t i)
{
    size_t begin = 0, end = 0;
    const char *s = qw_tokenizer_bytes(c->t, c->answer->ids[i], &end);
    qw_trim(s, &begin, &end);
    return begin == end;
}

static size_t skip_blanks(const cutter *c, size_t i)
{
    while (i < c->answer->n && is_blank(c, i))
        i++;
    return i;
}

/* Special tokens are not seen by clients: an answer with one says more than its text. */
static bool is_plain(const cutter *c)
{
    for (size_t i = 0; i < c->answer->n; i++) {
        int32_t id = c->answer->ids[i];
        if (id < 0 || id >= qw_tokenizer_count(c->t) || !qw_tokenizer_bytes(c->t, id, &(size_t){ 0 }) || qw_tokenizer_is_special(c->t, id))
            return false;
    }
    return true;
}

/* ids [begin, end) as text into c->text; what remains of it when it is trimmed. */
static qwren_status decode(cutter *c, size_t begin, size_t end, size_t *from, size_t *to)
{
    qw_buf_clear(&c->text);
    QW_TRY(qw_tokenizer_decode(c->t, c->answer->ids + begin, end - begin, false, &c->text, c->err));
    *from = 0;
    *to = c->text.len;
    qw_trim(qw_buf_text(&c->text), from, to);
    return QWREN_OK;
}

static bool is_text(const cutter *c, size_t from, size_t to, const char *text, size_t len)
{
    return to - from == len && memcmp(qw_buf_text(&c->text) + from, text, len) == 0;
}

static qwren_status append(cutter *c, qw_ids *out, size_t begin, size_t end)
{
    for (; begin < end; begin++)
        QW_TRY(qw_ids_append(out, c->answer->ids[begin], c->err));
    return QWREN_OK;
}

/* The template's own words: the same ids as in a prompt, since tags stand at their ends. */
static qwren_status append_words(cutter *c, qw_ids *out, const char *words)
{
    return qw_tokenizer_encode(c->t, words, strlen(words), QWREN_SPECIAL_ALL, NULL, 0, out, c->err);
}

/* ---- a text that ids spell */

/* Of ids [begin, end), those that lie in c->text's bytes [0, to) altogether; *bytes is where the last of them ends, which is no character's
 * middle. */
static size_t ids_within(const cutter *c, size_t begin, size_t end, size_t to, size_t *bytes)
{
    const char *s = qw_buf_text(&c->text);
    size_t i = begin, n = 0, best = begin;
    *bytes = 0;
    for (size_t at = 0; i < end; i++) {
        const char *p = qw_tokenizer_bytes(c->t, c->answer->ids[i], &n);
        if (n > to - at || memcmp(p, s + at, n) != 0) /* the bytes differ where U+FFFD stands for them */
            break;
        at += n;
        if (((unsigned char)s[at] & 0xC0) != 0x80) {
            best = i + 1;
            *bytes = at;
        }
    }
    return best;
}

/* Appends ids that say `text`: [begin, end) when they do, or, when they say more, as many of them as stand in it and the rest tokenised. */
static qwren_status spell(cutter *c, qw_ids *out, size_t begin, size_t end, const char *text, size_t len)
{
    size_t from, to, bytes;
    QW_TRY(decode(c, begin, end, &from, &to));
    if (is_text(c, from, to, text, len))
        return append(c, out, begin, end);
    c->fits = to - from > len && memcmp(qw_buf_text(&c->text) + from, text, len) == 0;
    if (!c->fits || !len)
        return QWREN_OK;
    size_t last = ids_within(c, begin, end, from + len, &bytes);
    if (bytes < from) { /* not even the blanks before it */
        last = begin;
        bytes = from;
    }
    QW_TRY(append(c, out, begin, last));
    return qw_tokenizer_encode(c->t, text + (bytes - from), from + len - bytes, QWREN_SPECIAL_NONE, NULL, 0, out, c->err);
}

/* ---- calls */

static size_t count_of(const char *s, const char *word)
{
    size_t n = 0;
    while ((s = strstr(s, word)) != NULL) {
        s += strlen(word);
        n++;
    }
    return n;
}

/* Tokens (begin, end) between a call's tags: "<function=", and no parameter twice, which the template would write once. */
static qwren_status check_call(cutter *c, size_t begin, size_t end, const qw_json *call)
{
    static const char opening[] = "<function=";
    size_t from, to;
    QW_TRY(decode(c, begin, end, &from, &to));
    c->fits = to - from > strlen(opening) && memcmp(qw_buf_text(&c->text) + from, opening, strlen(opening)) == 0 &&
              strlen(qw_buf_text(&c->text)) == c->text.len &&
              count_of(qw_buf_text(&c->text), "<parameter=") == qw_json_size(qw_json_get(call, "arguments"));
    return QWREN_OK;
}

/* From token `at` to the end there are the answer's calls, whole, and nothing but blanks between and behind them. */
static qwren_status check_calls(cutter *c, size_t at)
{
    const qw_json *calls = qw_json_get(c->answer->message, "tool_calls");
    for (size_t i = 0; i < c->n_calls && c->fits; i++) {
        size_t begin = skip_blanks(c, at), end = find_tag(c, begin, QW_TAG_CALL_END);
        c->fits = tag_at(c, begin) == QW_TAG_CALL && end < c->answer->n && find_tag(c, begin + 1, QW_TAG_CALL) > end;
        if (c->fits)
            QW_TRY(check_call(c, begin + 1, end, qw_json_at(calls, i)));
        at = end + 1;
    }
    c->fits = c->fits && skip_blanks(c, at) == c->answer->n;
    return QWREN_OK;
}

/* Content and calls: tokens from `begin` on. */
static qwren_status cut_content(cutter *c, size_t begin)
{
    size_t end = c->n_calls ? find_tag(c, begin, QW_TAG_CALL) : c->answer->n;
    c->fits = true;
    if (c->n_calls)
        QW_TRY(check_calls(c, end));
    if (c->fits)
        QW_TRY(spell(c, &c->out.content, begin, end, c->content, c->content_len));
    return c->fits ? append(c, &c->out.content, end, c->answer->n) : QWREN_OK;
}

/* ---- thoughts */

/* The prompt held an empty block already: blanks before the content are taken to it. A model that writes tags of its own there has another
 * block than the template's, so that only what is behind it can be replayed. */
static qwren_status cut_without_thought(cutter *c)
{
    size_t begin = skip_blanks(c, 0), close = find_tag(c, begin, QW_TAG_THINK_END);
    bool own = tag_at(c, begin) == QW_TAG_THINK || tag_at(c, begin) == QW_TAG_THINK_END;
    if (!own) {
        QW_TRY(append_words(c, &c->out.thought, "<think>\n\n</think>\n\n"));
        QW_TRY(append(c, &c->out.thought, 0, begin));
        return cut_content(c, begin);
    }
    return close < c->answer->n ? cut_content(c, skip_blanks(c, close + 1)) : QWREN_OK;
}

/* It was cut in its thought: the template closes the block. */
static qwren_status cut_in_thought(cutter *c)
{
    c->fits = true;
    QW_TRY(append_words(c, &c->out.thought, "<think>\n"));
    QW_TRY(spell(c, &c->out.thought, 0, c->answer->n, c->thought, c->thought_len));
    if (c->fits)
        QW_TRY(append_words(c, &c->out.thought, "\n</think>\n\n"));
    c->fits = c->fits && !c->content_len;
    return QWREN_OK;
}

/* A call ends a thought, too; but then there is no </think>, which the template writes. */
static qwren_status cut_thought(cutter *c)
{
    size_t close = find_tag(c, 0, QW_TAG_THINK_END), call = c->n_calls ? find_tag(c, 0, QW_TAG_CALL) : c->answer->n, from, to;
    if (close == c->answer->n && call == c->answer->n)
        return cut_in_thought(c);
    QW_TRY(decode(c, 0, close, &from, &to));
    if (close == c->answer->n || (call < close && !is_text(c, from, to, c->thought, c->thought_len)))
        return cut_content(c, call);
    size_t begin = skip_blanks(c, close + 1);
    if (is_text(c, from, to, c->thought, c->thought_len)) {
        QW_TRY(append_words(c, &c->out.thought, "<think>\n"));
        QW_TRY(append(c, &c->out.thought, 0, begin));
    }
    return cut_content(c, begin);
}

static qwren_status note(cutter *c, qw_replay *r, uint64_t context)
{
    QW_TRY(qw_calls_canonical(&c->calls, c->answer->message, &c->n_calls, c->err));
    if (is_plain(c))
        QW_TRY(c->answer->in_think ? cut_thought(c) : cut_without_thought(c));
    if (!c->fits)
        return QWREN_OK;
    const qw_replay_key key = { .content = c->content,
                                .content_len = c->content_len,
                                .calls = qw_buf_text(&c->calls),
                                .calls_len = c->calls.len,
                                .thought = c->thought,
                                .thought_len = c->thought_len };
    return qw_replay_put(r, &key, &c->out, context, c->err);
}

qwren_status qw_replay_note(qw_replay *r, const qwren_model *m, const qw_sampled *answer, uint64_t context, qwren_error *err)
{
    cutter c = { .m = m, .t = m->tokenizer->vocabulary, .answer = answer, .err = err };
    c.content = trimmed(answer->message, "content", &c.content_len);
    c.thought = trimmed(answer->message, "reasoning_content", &c.thought_len);
    qwren_status st = note(&c, r, context);
    qw_replay_ids_free(&c.out);
    qw_buf_free(&c.calls);
    qw_buf_free(&c.text);
    return st;
}
