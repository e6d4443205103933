/* qwren_render: a request as text -> the prompt as text. The first half of qwren_chat, for people who want to see it. Tested by
 * tests/cli/template.sh. */
#include "api/options.h"
#include "api/request.h"
#include "base/alloc.h"
#include "text/template.h"

qwren_render_options qwren_render_options_default(void)
{
    return (qwren_render_options){ .struct_size = sizeof(qwren_render_options), .thinks_by_default = -1 };
}

/* A flag as the template sees it: what is no boolean does not count. chat_template_kwargs wins over the same name at the top. */
static int strict_flag(const qw_json *root, const char *key)
{
    const qw_json *v = qw_json_get(qw_json_get(root, "chat_template_kwargs"), key);
    if (!v)
        v = qw_json_get(root, key);
    return qw_json_is(v, QW_JSON_BOOL) ? qw_json_bool(v, false) : -1;
}

/* Strict: the request's fields go to the template as they are, and it is the template that judges them. */
static qwren_status read_strictly(qw_request *r, const char *text, size_t len, qwren_error *err)
{
    *r = (qw_request){ 0 };
    QW_TRY(qw_json_parse(&r->root, text, len, "request", err));
    r->messages = qw_json_get(r->root, "messages");
    r->tools = qw_json_get(r->root, "tools");
    r->thinking = strict_flag(r->root, "enable_thinking");
    r->add_generation_prompt = strict_flag(r->root, "add_generation_prompt") != 0;
    r->add_vision_id = strict_flag(r->root, "add_vision_id") > 0;
    return QWREN_OK;
}

static bool thinks(const qwren_tokenizer *t, int by_option)
{
    if (by_option >= 0)
        return by_option != 0;
    return t && qwren_thinks_by_default(t);
}

static qwren_status render(const qw_request *r, bool strict, bool thinks_by_default, char **prompt, size_t *prompt_len, qwren_error *err)
{
    qw_prompt p;
    qw_template_input in = {
        .messages = r->messages,
        .tools = r->tools,
        .strict = strict,
        .thinks_by_default = thinks_by_default,
        .thinking = r->thinking,
        .add_generation_prompt = r->add_generation_prompt,
        .add_vision_id = r->add_vision_id,
    };
    qwren_status st = qw_template_render(&p, &in, err);
    if (st == QWREN_OK)
        st = qw_buf_take(&p.text, prompt, prompt_len, err);
    qw_prompt_deinit(&p);
    return st;
}

qwren_status qwren_render(const qwren_tokenizer *t, const char *request, size_t len, const qwren_render_options *opt, char **prompt,
                          size_t *prompt_len, qwren_error *err)
{
    qwren_render_options options = qwren_render_options_default();
    qw_request r;
    size_t n = 0;
    *prompt = NULL;
    if (prompt_len)
        *prompt_len = 0;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_render_options", err));
    if (!request)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_render: the request is NULL; give a JSON object with \"messages\"");
    len = len == SIZE_MAX ? strlen(request) : len;
    qwren_status st = options.strict ? read_strictly(&r, request, len, err) : qw_request_parse(&r, request, len, err);
    if (st == QWREN_OK)
        st = render(&r, options.strict, thinks(t, options.thinks_by_default), prompt, prompt_len ? prompt_len : &n, err);
    qw_request_deinit(&r);
    return st;
}
