/* What a run of quantize has finished, line by line, so that another run can go on. The file is the lock of the folder as well. Private to
 * convert/. */
#ifndef QW_CONVERT_JOURNAL_H
#define QW_CONVERT_JOURNAL_H

#include "base/json.h"

#define QW_JOURNAL_FIELDS 4

/* A line is a JSON list of texts: what it is, then its fields. */
typedef struct qw_journal {
    char *path;
    int fd; /* -1: not open */
    qw_json **lines;
    size_t n;
} qw_journal;

/* Opens or makes the file, takes its lock (another process that has it is an error) and reads the lines; what a broken run left of a last
 * one is cut off. Free it with qw_journal_close(), after a failure too. */
qwren_status qw_journal_open(qw_journal *j, const char *path, qwren_error *err);
void qw_journal_close(qw_journal *j); /* the file stays; safe on {.fd = -1} */

/* Forgets all lines. */
qwren_status qw_journal_clear(qw_journal *j, qwren_error *err);
/* Appends a line; fields that are not needed are NULL. */
qwren_status qw_journal_add(qw_journal *j, const char *const fields[QW_JOURNAL_FIELDS], qwren_error *err);

/* Field `k` of line `i`, "" when it has none. */
const char *qw_journal_field(const qw_journal *j, size_t i, size_t k);
/* The last line with these first fields (`second` may be NULL), or n. */
size_t qw_journal_last(const qw_journal *j, const char *first, const char *second);

#endif
