/* Files of test cases, one JSON object a line. Header only: each test program is one file. */
#ifndef QW_TESTS_JSONL_H
#define QW_TESTS_JSONL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#ifndef QW_TEST_DATA
#  error "QW_TEST_DATA must be the path of tests/golden/data"
#endif

/* Calls fn for each line of the file; fails the test when the file cannot be read, a line is no JSON, or there are not `want`
 * lines. */
static inline void each_case(const char *name, size_t want, void (*fn)(const qw_json *row, void *ctx), void *ctx)
{
    char path[1024], *text = NULL;
    size_t len = 0, n = 0;
    qwren_error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", QW_TEST_DATA, name);
    if (qw_file_read(path, SIZE_MAX / 2, &text, &len, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    for (char *line = text, *end; line < text + len; line = end + 1, n++) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        end = end ? end : text + len;
        qw_json *row = NULL;
        if (qw_json_parse(&row, line, (size_t)(end - line), name, &err) != QWREN_OK)
            fail_msg("line %zu: %s", n + 1, err.text);
        fn(row, ctx);
        qw_json_free(row);
    }
    qw_free(text);
    assert_int_equal(n, want);
}

static inline const char *case_text(const qw_json *row, const char *key) { return qw_json_string(qw_json_get(row, key), NULL); }

#endif
