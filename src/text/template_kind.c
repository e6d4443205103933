/* Which of the published templates a checkpoint carries (template.h). Read when a tokenizer is opened. Tested by
 * tests/unit/test_template.c. */
#include "base/log.h"
#include "text/template.h"

#include <string.h>

/* FNV-1a, 64 bit, of the official template up to its last `{%- if add_generation_prompt`: all that the published variants
 * share. A notice hangs on it, no decision, so it need not resist forgery. */
#define OFFICIAL_HEAD_BYTES 7504
#define OFFICIAL_HEAD_HASH 0x796c462d27037e9dU

static uint64_t fnv1a(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3U;
    return h;
}

static bool holds(const char *s, size_t n, const char *word)
{
    size_t k = strlen(word);
    for (size_t i = 0; i + k <= n; i++)
        if (memcmp(s + i, word, k) == 0)
            return true;
    return false;
}

/* Start of the part that writes the generation prompt; n when there is none. */
static size_t tail_begin(const char *s, size_t n)
{
    static const char mark[] = "{%- if add_generation_prompt";
    size_t k = sizeof mark - 1;
    for (size_t end = n; end >= k; end--)
        if (memcmp(s + end - k, mark, k) == 0)
            return end - k;
    return n;
}

qw_template_kind qw_template_detect(const char *text, size_t len)
{
    qw_template_kind kind = { .thinks_by_default = false, .known = false, .present = text != NULL };
    if (!text)
        return kind;
    size_t at = tail_begin(text, len);
    const char *tail = text + at;
    bool asks_for_false = holds(tail, len - at, "enable_thinking is false");
    bool asks_for_true = holds(tail, len - at, "enable_thinking is true");
    if (asks_for_false != asks_for_true)
        kind.thinks_by_default = asks_for_false; /* "unless it is false" against "only if it is true" */
    else
        kind.thinks_by_default = holds(tail, len - at, "<think>") && !holds(tail, len - at, "</think>");
    kind.known = asks_for_false != asks_for_true && at == OFFICIAL_HEAD_BYTES && fnv1a(text, at) == OFFICIAL_HEAD_HASH;
    if (!kind.known)
        qw_log(QWREN_LOG_WARN, "chat template: not a published one of Qwen 3.5; rendered as the official template, thinking %s by default",
               kind.thinks_by_default ? "on" : "off");
    return kind;
}
