/* Which model: -m, then $QWREN_MODEL, then the one that came with the program, as its examination did. */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "args.h"

/* The folder that the command line means (qw_free it). */
qwren_status cli_model_path(const cli_args *a, char **path, qwren_error *err);
/* The folder that a word means: one here, or a bundled model's (qw_free it); NULL when memory is short. */
char *cli_model_resolve(const char *word);
/* The folder of the bundled examination of qwren-nano (qw_free it). */
qwren_status cli_exam_path(char **path, qwren_error *err);

/* What a verb wants of a model: no more is opened, so no more can be wrong with it. */
typedef enum cli_model_use {
    MODEL_WHOLE,    /* a conversation */
    MODEL_DRAFT,    /* what another one may say: nothing of it is kept between runs */
    MODEL_HEADERS,  /* what the files say */
    MODEL_NUMBERS,  /* ids in, logits out */
    MODEL_PICTURES, /* how pictures are cut */
} cli_model_use;

/* The same, opened: with -t and progress. */
qwren_status cli_model_open(const cli_args *a, cli_model_use use, qwren_model **out, qwren_error *err);
/* One that a word of the command line names, where there are several. */
qwren_status cli_model_open_word(const cli_args *a, const char *word, cli_model_use use, qwren_model **out, qwren_error *err);
qwren_status cli_tokenizer_open(const cli_args *a, qwren_tokenizer **out, qwren_error *err);
/* The same in exact arithmetic, whatever the command line says. */
qwren_status cli_model_open_exact(const cli_args *a, const char *word, cli_model_use use, qwren_model **out, qwren_error *err);
qwren_kv_type cli_kv_type(const cli_args *a);
/* A session's options: --ctx, --kv, --overcommit. */
qwren_session_options cli_session_options(const cli_args *a);
/* The session; with --ctx it is told what it takes. */
qwren_status cli_session_create(const cli_args *a, const qwren_model *m, const qwren_session_options *opt, qwren_session **out,
                                qwren_error *err);
/* --exact, which goes before --deterministic. */
qwren_arithmetic cli_arithmetic(const cli_args *a);
/* argv[0], for systems that do not tell otherwise where the program is. */
void cli_program_is(const char *argv0);

#endif
