/* What the program says: results on stdout, everything else on stderr. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "args.h"

/* Before anything else: closed descriptors, broken pipes and limits on files become ordinary errors. */
void cli_output_begin(void);
/* At the end: what is still buffered goes out; the exit status, which is 1 if stdout could not be written. */
int cli_output_end(int status);
void cli_quiet(bool quiet);
bool cli_is_quiet(void);

/* stdout. A failed write is told once, whatever follows is dropped. A terminal gets U+FFFD for control characters other than \n and \t, and
 * whole characters must come in one piece; files and pipes get the bytes. */
void cli_out(const char *text, size_t n);
void cli_puts(const char *s);
qwren_status cli_out_takes_bytes(qwren_error *err); /* refuses a terminal */
void cli_out_bytes(const void *p, size_t n);        /* as they are, for what is no text */
void cli_escape(const char *sequence);              /* a control sequence of this program's own */
void cli_flush(void);
bool cli_out_failed(void);

/* stderr, as "qwren: what, where, what to do". A terminal is kept from control characters likewise. */
int cli_fail(const qwren_error *err); /* the exit status: 1; 130 and not a word when Ctrl-C was the reason */
int cli_usage(const cli_verb *verb, const char *fmt, ...) QW_PRINTF(2, 3); /* 2; points to the verb's help, NULL: to the program's */
void cli_notice(const char *fmt, ...) QW_PRINTF(1, 2);                     /* not with --quiet */
/* stderr, as it is: what was asked for but is no result (statistics, a chat's commands). */
void cli_tell(const char *fmt, ...) QW_PRINTF(1, 2);

#endif
