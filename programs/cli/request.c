/* Options -> fields of a request (request.h). The table of options knows which field an option fills. Tested by tests/cli/run.sh and
 * jsonl.sh. */
#include "request.h"

#include "base/alloc.h"
#include "images.h"
#include "input.h"

#include <string.h>

qwren_status cli_settings_init(cli_settings *s, const cli_args *a, qwren_error *err)
{
    *s = (cli_settings){ .args = a, .thinking = cli_thinking(a) };
    return cli_read_tools(cli_text(a, OPT_TOOLS, NULL), &s->tools, err);
}

void cli_settings_deinit(cli_settings *s)
{
    qw_free(s->tools);
    s->tools = NULL;
}

static bool says(const qw_json *request, const char *key) { return qw_json_kind_of(qw_json_get(request, key)) != QW_JSON_NULL; }

static void put_key(qw_buf *out, const char *key)
{
    if (out->len > 1)
        qw_buf_puts(out, ", ");
    qw_json_dump_string(out, key, strlen(key));
    qw_buf_puts(out, ": ");
}

static void put_value(qw_buf *out, const cli_given *g)
{
    if (g->option->kind == CLI_WHOLE)
        qw_buf_printf(out, "%.0f", g->number);
    else if (g->option->kind == CLI_REAL)
        qw_json_dump_double(out, g->number);
    else
        qw_json_dump_string(out, g->text, strlen(g->text));
}

/* Options that fill one field each. max_completion_tokens is the newer name of max_tokens. */
static void put_fields(qw_buf *out, const cli_args *a, const qw_json *request)
{
    for (size_t i = 0; i < cli_n_options; i++) {
        const cli_option *o = &cli_options[i];
        const cli_given *g = o->key ? cli_last(a, o) : NULL;
        if (!g || says(request, o->key) || (o->id == OPT_MAX_TOKENS && says(request, "max_completion_tokens")))
            continue;
        put_key(out, o->key);
        put_value(out, g);
    }
}

static void put_stops(qw_buf *out, const cli_args *a, const qw_json *request)
{
    const char *text;
    if (!cli_count(a, OPT_STOP) || says(request, "stop"))
        return;
    put_key(out, "stop");
    for (size_t i = 0; (text = cli_nth(a, OPT_STOP, i)) != NULL; i++) {
        qw_buf_puts(out, i ? ", " : "[");
        qw_json_dump_string(out, text, strlen(text));
    }
    qw_buf_putc(out, ']');
}

static void put_biases(qw_buf *out, const cli_args *a, const qw_json *request)
{
    bool first = true;
    if (!cli_count(a, OPT_LOGIT_BIAS) || says(request, "logit_bias"))
        return;
    put_key(out, "logit_bias");
    for (size_t i = 0; i < a->n_given; i++) {
        const cli_given *g = &a->given[i];
        if (g->option->id != OPT_LOGIT_BIAS)
            continue;
        qw_buf_printf(out, "%s\"%.*s\": ", first ? "{" : ", ", (int)strcspn(g->text, ":"), g->text);
        qw_json_dump_double(out, g->number);
        first = false;
    }
    qw_buf_putc(out, '}');
}

static void put_options(qw_buf *out, const cli_settings *s, const qw_json *request)
{
    put_fields(out, s->args, request);
    put_stops(out, s->args, request);
    put_biases(out, s->args, request);
    if (s->thinking >= 0 && !says(request, "enable_thinking") && !says(qw_json_get(request, "chat_template_kwargs"), "enable_thinking")) {
        put_key(out, "enable_thinking");
        qw_buf_puts(out, s->thinking ? "true" : "false");
    }
    if (s->tools && !says(request, "tools")) {
        put_key(out, "tools");
        qw_buf_puts(out, s->tools);
    }
}

/* The options come last: a null in the request is overruled by them, since of a key that comes twice the last value counts. */
void cli_request_complete(qw_buf *out, const cli_settings *s, const qw_json *request)
{
    qw_buf_putc(out, '{');
    for (qw_json_iter it = qw_json_first(request); it.key; qw_json_next(request, &it)) {
        if (out->len > 1)
            qw_buf_puts(out, ", ");
        qw_json_dump_string(out, it.key, it.key_len);
        qw_buf_puts(out, ": ");
        qw_json_dump(out, it.value);
    }
    put_options(out, s, request);
    qw_buf_putc(out, '}');
}

void cli_request_begin(qw_buf *out, const cli_settings *s, const char *messages)
{
    qw_buf_puts(out, "{\"messages\": [");
    qw_buf_puts(out, messages);
    qw_buf_putc(out, ']');
    put_options(out, s, NULL);
    qw_buf_putc(out, '}');
}

/* ---- messages */

static void open_message(qw_buf *out, const char *role)
{
    qw_buf_printf(out, "%s{\"role\": \"%s\", \"content\": ", out->len ? ", " : "", role);
}

void cli_message(qw_buf *out, const char *role, const char *text, size_t len)
{
    open_message(out, role);
    qw_json_dump_string(out, text, len);
    qw_buf_putc(out, '}');
}

void cli_message_with_images(qw_buf *out, const char *text, size_t len, size_t first, size_t end)
{
    if (first == end) {
        cli_message(out, "user", text, len);
        return;
    }
    open_message(out, "user");
    qw_buf_putc(out, '[');
    for (size_t i = first; i < end; i++) {
        qw_buf_puts(out, "{\"type\": \"image_url\", \"image_url\": {\"url\": \"");
        cli_images_url(out, i);
        qw_buf_puts(out, "\"}}, ");
    }
    qw_buf_puts(out, "{\"type\": \"text\", \"text\": ");
    qw_json_dump_string(out, text, len);
    qw_buf_puts(out, "}]}");
}
