/* The functions behind the verbs: one file each. They give the exit status. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "args.h"

int cli_run(const cli_args *a);
/* The same in a session that begins with what the file `from` holds and is saved to the file `to`, which is the same or NULL; both may be
 * NULL. The file is allowed to be absent when it is saved to. */
int cli_run_in(const cli_args *a, const char *from, const char *to);
int cli_chat_run(const cli_args *a);
int cli_session(const cli_args *a);
int cli_inspect(const cli_args *a);
int cli_doctor(const cli_args *a);
int cli_quantize(const cli_args *a);
int cli_tokenize(const cli_args *a);
int cli_detokenize(const cli_args *a);
int cli_template(const cli_args *a);
int cli_parse(const cli_args *a);
int cli_logits(const cli_args *a);
int cli_preprocess(const cli_args *a);
int cli_eval(const cli_args *a);
int cli_bench(const cli_args *a);
int cli_help(const cli_args *a);

#endif
