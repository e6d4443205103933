/* The three ways of qwren eval, and what they share. */
#ifndef CLI_EVAL_H
#define CLI_EVAL_H

#include "args.h"
#include "base/json.h"

/* Each takes the words behind the way's name, and gives the exit status. */
int cli_eval_perplexity(const cli_args *a, const char *const *words, size_t n_words);
int cli_eval_kld(const cli_args *a, const char *const *words, size_t n_words);
int cli_eval_tasks(const cli_args *a, const char *const *words, size_t n_words);

/* Lines of JSON, in order. */
typedef struct cli_rows {
    qw_json **rows; /* owned */
    size_t n;
} cli_rows;
/* Every line of the file that is not blank. cli_rows_free() is allowed after a failure and on zeros. */
qwren_status cli_rows_read(cli_rows *out, const char *path, qwren_error *err);
void cli_rows_free(cli_rows *r);
/* The row with this "id" (a string); NULL when there is none. */
const qw_json *cli_rows_find(const cli_rows *r, const char *id);
/* The "id" of a row; NULL when it has none. */
const char *cli_row_id(const qw_json *row);

#endif
