/* Chat requests: what the options say, put together with a conversation or with a request from a file. */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H

#include "args.h"
#include "base/json.h"

typedef struct cli_settings {
    const cli_args *args;
    int thinking; /* 1, 0; -1: as the checkpoint */
    char *tools;  /* JSON text, owned; NULL: none */
} cli_settings;
/* Reads what the options name. After success cli_settings_deinit(). */
qwren_status cli_settings_init(cli_settings *s, const cli_args *a, qwren_error *err);
void cli_settings_deinit(cli_settings *s);

/* Appends the request as JSON. What it says itself goes before the options. */
void cli_request_complete(qw_buf *out, const cli_settings *s, const qw_json *request);
/* A conversation: `messages` is the inside of a JSON array. */
void cli_request_begin(qw_buf *out, const cli_settings *s, const char *messages);

/* {"role": "user"|..., "content": ...}. A user's pictures [first, end) of the command line stand before the text. */
void cli_message(qw_buf *out, const char *role, const char *text, size_t len);
void cli_message_with_images(qw_buf *out, const char *text, size_t len, size_t first, size_t end);

#endif
