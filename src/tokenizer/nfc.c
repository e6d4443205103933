/* NFC (nfc.h), the second step from text to ids. The text is cut before each character that stands alone (nearly all do); only a
 * group of several is decomposed, sorted and composed. Tested by tests/golden/test_tokenizer_unicode.c. */
#include "tokenizer/nfc.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "tokenizer/unicode.h"

#include <stdlib.h>
#include <string.h>

typedef struct qw_nfc_char {
    uint32_t cp;
    uint8_t combining; /* canonical combining class; 0 for those that begin something */
} nfc_char;

/* Korean syllables are arithmetic: lead, vowel and tail have 19, 21 and 27 (+ none) values. */
enum { S_BASE = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, L_COUNT = 19, V_COUNT = 21, T_COUNT = 28 };
#define S_COUNT (L_COUNT * V_COUNT * T_COUNT)

void qw_nfc_deinit(qw_nfc_scratch *s)
{
    qw_free(s->chars);
    qw_free(s->sorted);
    *s = (qw_nfc_scratch){ 0 };
}

bool qw_nfc_is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp = (unsigned char)text[i];
        i += cp < 0x80 ? 1 : qw_utf8_decode(text + i, len - i, &cp, NULL);
        if (!qw_unicode_stands_alone(cp))
            return false;
    }
    return true;
}

/* ---- decompose */

static int mark_order(const void *key, const void *element)
{
    uint32_t cp = *(const uint32_t *)key;
    const qw_mark_range *r = element;
    return cp < r->first ? -1 : cp > r->last;
}

static uint8_t combining_class(uint32_t cp)
{
    const qw_mark_range *r = NULL;
    if (!qw_unicode_stands_alone(cp))
        r = bsearch(&cp, qw_unicode_marks, qw_unicode_n_marks, sizeof *r, mark_order);
    return r ? r->combining : 0;
}

/* For tables that begin with their key. */
static int key_order(const void *key, const void *element)
{
    uint32_t cp = *(const uint32_t *)key, other = *(const uint32_t *)element;
    return cp < other ? -1 : cp > other;
}

static bool grow(qw_nfc_scratch *s)
{
    size_t cap = s->cap ? s->cap * 2 : 64;
    nfc_char *chars = qw_realloc_array(s->chars, cap, sizeof *chars);
    if (chars)
        s->chars = chars;
    nfc_char *sorted = qw_realloc_array(s->sorted, cap, sizeof *sorted);
    if (sorted)
        s->sorted = sorted;
    if (!chars || !sorted)
        return false; /* cap still tells what both have at least */
    s->cap = cap;
    return true;
}

static bool put(qw_nfc_scratch *s, uint32_t cp)
{
    if (s->n == s->cap && !grow(s))
        return false;
    s->chars[s->n++] = (nfc_char){ cp, combining_class(cp) };
    return true;
}

static bool put_hangul(qw_nfc_scratch *s, uint32_t cp)
{
    uint32_t i = cp - S_BASE, tail = i % T_COUNT;
    return put(s, L_BASE + i / (V_COUNT * T_COUNT)) && put(s, V_BASE + i / T_COUNT % V_COUNT) && (tail == 0 || put(s, T_BASE + tail));
}

/* Recursion ends: a character decomposes into older ones, at most four levels deep. */
static bool decompose(qw_nfc_scratch *s, uint32_t cp) /* NOLINT(misc-no-recursion) */
{
    if (cp < 0xC0)
        return put(s, cp);
    if (cp - S_BASE < S_COUNT)
        return put_hangul(s, cp);
    const qw_pair *pair = bsearch(&cp, qw_unicode_pairs, qw_unicode_n_pairs, sizeof *pair, key_order);
    if (pair)
        return decompose(s, pair->first) && put(s, pair->second);
    const qw_single *single = bsearch(&cp, qw_unicode_singles, qw_unicode_n_singles, sizeof *single, key_order);
    return single ? decompose(s, single->to) : put(s, cp);
}

/* ---- sort: marks that follow each other come into the order of their class; equal ones stay in place */

static void sort_run(nfc_char *run, size_t n, nfc_char *scratch)
{
    size_t at[257] = { 0 }; /* a counting sort: a thousand marks on a letter cost a thousand steps */
    for (size_t i = 0; i < n; i++)
        at[run[i].combining + 1]++;
    for (size_t k = 1; k < 257; k++)
        at[k] += at[k - 1];
    for (size_t i = 0; i < n; i++)
        scratch[at[run[i].combining]++] = run[i];
    memcpy(run, scratch, n * sizeof *run);
}

static void sort_marks(qw_nfc_scratch *s)
{
    for (size_t i = 0, end; i < s->n; i = end) {
        bool ordered = true;
        for (end = i + 1; end < s->n && s->chars[end].combining && s->chars[i].combining; end++)
            ordered = ordered && s->chars[end].combining >= s->chars[end - 1].combining;
        if (!ordered)
            sort_run(s->chars + i, end - i, s->sorted);
    }
}

/* ---- compose */

/* The character that the two make, or 0. */
static uint32_t composed(uint32_t a, uint32_t b)
{
    if (a - L_BASE < L_COUNT && b - V_BASE < V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a - S_BASE < S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE && b < T_BASE + T_COUNT)
        return a + (b - T_BASE);
    for (size_t low = 0, high = qw_unicode_n_built; low < high;) {
        size_t mid = low + (high - low) / 2;
        const qw_pair *p = &qw_unicode_pairs[qw_unicode_built[mid]];
        if (p->first == a && p->second == b)
            return p->whole;
        if (p->first < a || (p->first == a && p->second < b))
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* A mark joins the last beginning before it unless one of the same or a higher class (or another beginning) stands between. */
static void compose(qw_nfc_scratch *s)
{
    nfc_char *c = s->chars;
    size_t n = 0, start = SIZE_MAX; /* start: the last beginning, among the n characters kept */
    for (size_t i = 0; i < s->n; i++) {
        bool near = start != SIZE_MAX && (n == start + 1 || c[n - 1].combining < c[i].combining);
        uint32_t whole = near ? composed(c[start].cp, c[i].cp) : 0;
        if (whole) {
            c[start].cp = whole;
            continue;
        }
        if (c[i].combining == 0)
            start = n;
        c[n++] = c[i];
    }
    s->n = n;
}

/* ---- a group: one character that stands alone (or none) and those after it that do not */

static qwren_status append_group(qw_buf *out, const char *text, size_t len, qw_nfc_scratch *s, qwren_error *err)
{
    s->n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        i += qw_utf8_decode(text + i, len - i, &cp, NULL);
        if (!decompose(s, cp))
            return qw_fail_memory(err, len, "bringing text into NFC");
    }
    sort_marks(s);
    compose(s);
    for (size_t i = 0; i < s->n; i++) {
        char bytes[4];
        qw_buf_append(out, bytes, qw_utf8_encode(s->chars[i].cp, bytes));
    }
    return QWREN_OK;
}

qwren_status qw_nfc_append(qw_buf *out, const char *text, size_t len, qw_nfc_scratch *s, qwren_error *err)
{
    size_t done = 0, last = 0; /* copied so far; where the last character that stands alone begins */
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t used = qw_utf8_decode(text + i, len - i, &cp, NULL);
        if (qw_unicode_stands_alone(cp)) {
            last = i;
            i += used;
            continue;
        }
        size_t end = i + used;
        while (end < len && (used = qw_utf8_decode(text + end, len - end, &cp, NULL), !qw_unicode_stands_alone(cp)))
            end += used;
        qw_buf_append(out, text + done, last - done);
        QW_TRY(append_group(out, text + last, end - last, s, err));
        done = last = i = end;
    }
    qw_buf_append(out, text + done, len - done);
    return qw_buf_status(out, err);
}
