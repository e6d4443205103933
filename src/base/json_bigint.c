/* Integers of any length in JSON (json_bigint.h). A chat template prints tools and arguments digit by digit, so a number may not be rounded on its
 * way through the parser. Tested by tests/unit/test_base_json.c and tests/golden/test_template.c. */
#include "base/json_bigint.h"

#include "base/rng.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MARK_LEN 32

/* Random hexadecimal digits, new in each process: text that came from outside cannot hold them. */
static char mark[MARK_LEN + 1];
static pthread_once_t mark_once = PTHREAD_ONCE_INIT;

static void make_mark(void)
{
    snprintf(mark, sizeof mark, "%016" PRIx64 "%016" PRIx64, qw_random_seed(), qw_random_seed());
}

const char *qw_bigint_digits(const char *s, size_t len)
{
    if (len <= MARK_LEN)
        return NULL;
    pthread_once(&mark_once, make_mark);
    if (memcmp(s, mark, MARK_LEN) != 0)
        return NULL;
    return s + MARK_LEN;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Behind the string whose opening quote is at `at`. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < len ? at + 1 : len;
}

/* Behind the number at `at`; *big when it is an integer beyond 64 bits. */
static size_t skip_number(const char *text, size_t len, size_t at, bool *big)
{
    bool minus = text[at] == '-';
    size_t first = at + minus, digits = 0;
    while (first + digits < len && is_digit(text[first + digits]))
        digits++;
    size_t end = first + digits;
    bool integer = end == len || !strchr(".eE", text[end]) || text[end] == '\0';
    *big = integer && digits > 18 && text[first] != '0' &&
           (digits > 19 || memcmp(text + first, minus ? "9223372036854775808" : "9223372036854775807", 19) > 0);
    while (end < len && (is_digit(text[end]) || (text[end] && strchr(".eE+-", text[end]))))
        end++;
    return end;
}

void qw_bigint_hide(qw_buf *out, const char *text, size_t len, size_t *n_hidden)
{
    size_t copied = 0;
    *n_hidden = 0;
    for (size_t at = 0; at < len;) {
        bool big = false;
        size_t begin = at;
        if (text[at] == '"')
            at = skip_string(text, len, at);
        else if (text[at] == '-' || is_digit(text[at]))
            at = skip_number(text, len, at, &big);
        else
            at++;
        if (!big)
            continue;
        pthread_once(&mark_once, make_mark);
        qw_buf_append(out, text + copied, begin - copied);
        qw_buf_printf(out, "\"%s", mark);
        qw_buf_append(out, text + begin, at - begin);
        qw_buf_putc(out, '"');
        copied = at;
        ++*n_hidden;
    }
    if (*n_hidden)
        qw_buf_append(out, text + copied, len - copied);
}
