/* What the program reads: whole files or standard input, lines, JSON, ids. "-" is standard input everywhere. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/json.h"

#include <stdio.h>

/* Name of a source for messages: "standard input" for "-". */
const char *cli_source_name(const char *path);
/* Whole text, NUL-terminated; qw_free it. */
qwren_status cli_read(const char *path, char **text, size_t *len, qwren_error *err);
qwren_status cli_read_json(const char *path, qw_json **out, qwren_error *err);
/* A list of tools as JSON text (qw_free it); path NULL: none, which is NULL. */
qwren_status cli_read_tools(const char *path, char **text, qwren_error *err);
qwren_status cli_check_utf8(const char *text, size_t len, const char *what, qwren_error *err);

/* Ids of a JSON list, or of text with numbers between blanks or commas. qw_free them. */
qwren_status cli_read_ids(const char *path, int32_t **ids, size_t *n, qwren_error *err);
qwren_status cli_ids_of_json(const qw_json *list, const char *where, int32_t **ids, size_t *n, qwren_error *err);

/* The next line without its end into *line; *more is false at the end of the file. E_CANCELLED when Ctrl-C ended the wait for it. */
qwren_status cli_read_line(FILE *f, const char *name, size_t max_bytes, qw_buf *line, bool *more, qwren_error *err);

/* Each line of a file that is not blank -> a line of JSON on stdout. The function appends its answer, or fails and {"error": ...} takes its
 * place. The answer to a line is out before the next one is read. With keep_id a line's "id" stands first in its answer. */
typedef qwren_status (*cli_line_fn)(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err);
int cli_each_line(const char *path, bool keep_id, cli_line_fn fn, void *ctx); /* the exit status: 1 if any failed */

#endif
