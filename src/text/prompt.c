/* The prompt under construction (prompt.h): bytes, the spans that came from the request, the media in order. template.c and
 * content.c write through these functions, so that no byte of a request enters unmarked. Tested by tests/unit/test_template.c. */
#include "text/prompt.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

void qw_prompt_deinit(qw_prompt *p)
{
    qw_buf_free(&p->text);
    qw_free(p->untrusted);
    qw_free(p->media);
    qw_free(p->turns);
    qw_free(p->answers);
    *p = (qw_prompt){ 0 };
}

void qw_prompt_clear(qw_prompt *p)
{
    qw_buf_clear(&p->text);
    p->n_untrusted = p->n_media = p->n_turns = p->n_answers = 0;
    p->think = 0;
    p->in_think = false;
}

/* Room for one element more; doubles, so that n appends cost O(n). */
static bool grow(qw_prompt *p, void **items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 16;
    void *q = want > *cap ? qw_realloc_array(*items, want, size) : NULL;
    if (!q) {
        p->text.failed = true;
        return false;
    }
    *items = q;
    *cap = want;
    return true;
}

static void add_span(qw_prompt *p, size_t begin, size_t end)
{
    if (begin >= end)
        return;
    if (p->n_untrusted && p->untrusted[p->n_untrusted - 1].end == begin) {
        p->untrusted[p->n_untrusted - 1].end = end;
        return;
    }
    if (grow(p, (void **)&p->untrusted, p->n_untrusted, &p->cap_untrusted, sizeof *p->untrusted))
        p->untrusted[p->n_untrusted++] = (qw_span){ begin, end };
}

static void add_media(qw_prompt *p, qw_media m)
{
    if (grow(p, (void **)&p->media, p->n_media, &p->cap_media, sizeof *p->media))
        p->media[p->n_media++] = m;
}

void qw_prompt_trusted(qw_prompt *p, const char *s) { qw_buf_puts(&p->text, s); }

void qw_prompt_mark_untrusted(qw_prompt *p, size_t begin) { add_span(p, begin, p->text.len); }

void qw_prompt_untrusted(qw_prompt *p, const char *s, size_t n)
{
    size_t begin = p->text.len;
    qw_buf_append(&p->text, s, n);
    add_span(p, begin, p->text.len);
}

void qw_prompt_number(qw_prompt *p, size_t n) { qw_buf_printf(&p->text, "%zu", n); }

void qw_prompt_note_media(qw_prompt *p, qw_media_kind kind, const qw_json *part, const char *url, size_t message)
{
    add_media(p, (qw_media){ .kind = kind, .url = url, .part = part, .message = message, .offset = p->text.len });
}

void qw_prompt_begin_turn(qw_prompt *p, const char *words, size_t first, size_t last)
{
    qw_turn_place t = { .offset = p->text.len, .first = first, .last = last };
    qw_prompt_trusted(p, words);
    t.body = p->text.len;
    if (grow(p, (void **)&p->turns, p->n_turns, &p->cap_turns, sizeof *p->turns))
        p->turns[p->n_turns++] = t;
}

void qw_prompt_extend_turn(qw_prompt *p, size_t last)
{
    if (p->n_turns)
        p->turns[p->n_turns - 1].last = last;
}

void qw_prompt_mark_turn(qw_prompt *p, bool is_system, bool is_query)
{
    if (!p->n_turns)
        return;
    p->turns[p->n_turns - 1].is_system = is_system;
    p->turns[p->n_turns - 1].is_query = is_query;
}

void qw_prompt_note_answer(qw_prompt *p, qw_answer_place place)
{
    place.turn = p->n_turns - 1;
    if (p->n_turns && grow(p, (void **)&p->answers, p->n_answers, &p->cap_answers, sizeof *p->answers))
        p->answers[p->n_answers++] = place;
}

void qw_prompt_append(qw_prompt *dst, const qw_prompt *src, size_t begin, size_t end)
{
    size_t at = dst->text.len;
    if (src->text.failed)
        dst->text.failed = true;
    if (begin >= end || dst->text.failed)
        return;
    qw_buf_append(&dst->text, qw_buf_text(&src->text) + begin, end - begin);
    if (dst->text.failed)
        return;
    for (size_t i = 0; i < src->n_untrusted; i++) {
        qw_span s = src->untrusted[i];
        size_t b = s.begin > begin ? s.begin : begin, e = s.end < end ? s.end : end;
        if (b < e)
            add_span(dst, at + (b - begin), at + (e - begin));
    }
    for (size_t i = 0; i < src->n_media; i++) {
        qw_media m = src->media[i];
        if (m.offset < begin || m.offset >= end)
            continue;
        m.offset = at + (m.offset - begin);
        add_media(dst, m);
    }
}

qwren_status qw_prompt_status(const qw_prompt *p, qwren_error *err) { return qw_buf_status(&p->text, err); }

/* What Python's str.isspace() calls white, and strip() takes away. U+200B and U+FEFF are not in it. */
static bool is_white(uint32_t c)
{
    if (c <= 0x20)
        return (c >= 0x09 && c <= 0x0D) || c >= 0x1C;
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

void qw_trim(const char *s, size_t *begin, size_t *end)
{
    uint32_t c;
    while (*begin < *end) {
        size_t n = qw_utf8_decode(s + *begin, *end - *begin, &c, NULL);
        if (!is_white(c))
            break;
        *begin += n;
    }
    while (*end > *begin) {
        size_t last = *end - 1;
        while (last > *begin && ((unsigned char)s[last] & 0xC0) == 0x80)
            last--;
        qw_utf8_decode(s + last, *end - last, &c, NULL);
        if (!is_white(c))
            break;
        *end = last;
    }
}
