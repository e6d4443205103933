/* Which model: -m, then $QWREN_MODEL, then the one that came with the program. */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "args.h"

/* The folder that the command line means (qw_free it). */
qwren_status cli_model_path(const cli_args *a, char **path, qwren_error *err);
/* The same, opened: with -t and progress. `config_only` as in qwren_model_options. */
qwren_status cli_model_open(const cli_args *a, bool config_only, qwren_model **out, qwren_error *err);
qwren_status cli_tokenizer_open(const cli_args *a, qwren_tokenizer **out, qwren_error *err);
/* argv[0], for systems that do not tell otherwise where the program is. */
void cli_program_is(const char *argv0);

#endif
