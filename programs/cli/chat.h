/* A conversation: what has been said, and what waits to be sent. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "engine.h"

typedef struct cli_chat {
    cli_engine engine;
    qw_buf messages;   /* inside of a JSON array, without the system prompt */
    char *system;      /* owned; NULL: none */
    size_t n_sent;     /* pictures of engine.images that belong to messages; the others go with the next one */
    size_t n_calls;    /* tool calls that wait for a result */
    qwren_stats stats; /* of the last answer */
    bool answered;
    bool done;
} cli_chat;

/* Sends a message with the pictures that wait for it, and answers. After a failure the conversation is as before, and those pictures are
 * forgotten with the message, which a person is told. */
qwren_status cli_chat_send(cli_chat *c, const char *text, size_t len, qwren_error *err);
/* A tool's result; answers when it was the last one that was missing. */
qwren_status cli_chat_result(cli_chat *c, const char *text, size_t len, qwren_error *err);
/* A line that begins with "/". */
qwren_status cli_chat_command(cli_chat *c, const char *line, qwren_error *err);

#endif
