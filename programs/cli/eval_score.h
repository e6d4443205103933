/* Judging answers of qwren-nano's examination: whether one is right, and how many of each kind are. */
#ifndef CLI_EVAL_SCORE_H
#define CLI_EVAL_SCORE_H

#include "base/json.h"

/* Whether an answer (content, tool_calls; its thought does not matter) gives what is wanted (kind, content, tool_calls). */
bool cli_is_right(const qw_json *answer, const qw_json *wanted);

/* Right ones and all, of one kind, with or without thinking. */
typedef struct cli_tally {
    char kind[32];
    bool thinking;
    size_t right, all;
} cli_tally;
typedef struct cli_score {
    cli_tally *counts; /* owned */
    size_t n;
    size_t n_asked, n_failed; /* requests, and those of them that were not answered, which count as wrong */
    const char *failure;      /* why the first was not; NULL */
    size_t n_unseen;          /* pictures that were not shown: the model has no image tower */
    size_t n_missing;         /* requests to which a file of answers gives none */
} cli_score;
/* Whether this is about a picture. */
bool cli_is_picture(const qw_json *wanted);
qwren_status cli_score_add(cli_score *s, const qw_json *wanted, bool right, qwren_error *err);
void cli_score_free(cli_score *s);

/* The table in Markdown, or as one line of JSON. */
void cli_score_table(qw_buf *out, const cli_score *s);
void cli_score_json(qw_buf *out, const cli_score *s);

#endif
