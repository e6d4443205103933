/* The commands of a chat, one row each; /help prints the table. Tested by tests/cli/chat.sh. */
#include "chat.h"

#include "base/alloc.h"
#include "output.h"

#include <string.h>

typedef struct command {
    const char *name, *argument, *help; /* argument NULL: none; else it is needed */
    qwren_status (*run)(cli_chat *c, const char *argument, qwren_error *err);
} command;

/* What a command did, for a person. */
#define CONFIRM(...) (cli_is_quiet() ? (void)0 : cli_tell(__VA_ARGS__))

/* A dragged file comes in quotes. */
static qwren_status add_image(cli_chat *c, const char *argument, qwren_error *err)
{
    size_t n = strlen(argument);
    bool quoted = n > 2 && (*argument == '\'' || *argument == '"') && argument[n - 1] == *argument;
    char *path = quoted ? qw_strndup(argument + 1, n - 2) : qw_strdup(argument);
    if (!path)
        return qw_fail_memory(err, n, "a path");
    qwren_status st = cli_images_add_file(&c->engine.images, path, err);
    if (st == QWREN_OK) {
        const qwren_image *image = c->engine.images.list[c->engine.images.n - 1].kept;
        CONFIRM("(%s, %d x %d, goes with the next message)\n", path, qwren_image_width(image), qwren_image_height(image));
    }
    qw_free(path);
    return st;
}

static qwren_status set_thinking(cli_chat *c, const char *argument, qwren_error *err)
{
    bool on = strcmp(argument, "on") == 0;
    if (!on && strcmp(argument, "off") != 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "/think: '%s' is not on or off", argument);
    c->engine.settings.thinking = on;
    CONFIRM("(thinking %s)\n", argument);
    return QWREN_OK;
}

static qwren_status set_system(cli_chat *c, const char *argument, qwren_error *err)
{
    char *text = qw_strdup(argument);
    if (!text)
        return qw_fail_memory(err, strlen(argument), "the system prompt");
    qw_free(c->system);
    c->system = text;
    CONFIRM("(system prompt set)\n");
    return QWREN_OK;
}

static qwren_status give_result(cli_chat *c, const char *argument, qwren_error *err)
{
    return cli_chat_result(c, argument, strlen(argument), err);
}

static qwren_status show_stats(cli_chat *c, const char *argument, qwren_error *err)
{
    (void)argument;
    (void)err;
    if (c->answered)
        cli_render_stats(&c->stats);
    cli_tell("%zu of %zu tokens of room used\n", qwren_session_length(c->engine.session), qwren_session_capacity(c->engine.session));
    return QWREN_OK;
}

static qwren_status reset(cli_chat *c, const char *argument, qwren_error *err)
{
    (void)argument;
    (void)err;
    qw_buf_clear(&c->messages);
    cli_images_truncate(&c->engine.images, 0);
    qwren_session_reset(c->engine.session);
    c->n_sent = c->n_calls = 0;
    c->answered = false;
    CONFIRM("(a new conversation%s)\n", c->system ? " with the same system prompt" : "");
    return QWREN_OK;
}

static qwren_status quit(cli_chat *c, const char *argument, qwren_error *err)
{
    (void)argument;
    (void)err;
    c->done = true;
    return QWREN_OK;
}

static qwren_status show_help(cli_chat *c, const char *argument, qwren_error *err);

static const command commands[] = {
    { "image", "FILE", "add a picture to the next message", add_image },
    { "think", "on|off", "think before answers, or not", set_thinking },
    { "system", "TEXT", "set the system prompt", set_system },
    { "result", "TEXT", "hand in what a called tool gave", give_result },
    { "stats", NULL, "tokens, seconds and speed of the last answer, room used", show_stats },
    { "reset", NULL, "begin a new conversation", reset },
    { "help", NULL, "list the commands", show_help },
    { "quit", NULL, "leave; so does Ctrl-D", quit },
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static qwren_status show_help(cli_chat *c, const char *argument, qwren_error *err)
{
    (void)c;
    (void)argument;
    (void)err;
    for (size_t i = 0; i < N_COMMANDS; i++)
        cli_tell("/%-7s %-7s %s\n", commands[i].name, commands[i].argument ? commands[i].argument : "", commands[i].help);
    cli_tell("A backslash at its end joins a line with the next one; // at its beginning is a message that begins with /.\n"
             "Ctrl-C stops an answer.\n");
    return QWREN_OK;
}

static qwren_status run(cli_chat *c, const command *it, const char *argument, qwren_error *err)
{
    if (it->argument && !*argument)
        return qw_fail(err, QWREN_E_ARGUMENT, "/%s: %s is missing", it->name, it->argument);
    if (!it->argument && *argument)
        return qw_fail(err, QWREN_E_ARGUMENT, "/%s takes no argument, '%s' is too much", it->name, argument);
    return it->run(c, argument, err);
}

qwren_status cli_chat_command(cli_chat *c, const char *line, qwren_error *err)
{
    static const char blanks[] = " \t\r\n";
    size_t n = strcspn(line + 1, blanks);
    const char *start = line + 1 + n;
    start += strspn(start, blanks);
    size_t len = strlen(start);
    while (len && strchr(blanks, start[len - 1]))
        len--;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strncmp(commands[i].name, line + 1, n) != 0 || commands[i].name[n])
            continue;
        char *argument = qw_strndup(start, len);
        qwren_status st = argument ? run(c, &commands[i], argument, err) : qw_fail_memory(err, len, "a command");
        qw_free(argument);
        return st;
    }
    return qw_fail(err, QWREN_E_ARGUMENT, "%.*s: there is no such command; /help lists them", (int)(n < 40 ? n + 1 : 41), line);
}
