/* Chat requests: JSON text -> checked values (request.h). The first stop of qwren_chat and qwren_render. Tested by
 * tests/unit/test_chat_errors.c. */
#include "api/request.h"

#include "base/alloc.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STOPS 64
#define MAX_STOP_BYTES 4096
#define MAX_BIASES 65536

/* A field that is absent or null leaves the value as it is. */
static const qw_json *field(const qw_request *r, const char *key)
{
    const qw_json *v = qw_json_get(r->root, key);
    return qw_json_kind_of(v) == QW_JSON_NULL ? NULL : v;
}

static qwren_status wrong(qwren_error *err, const char *key, const char *want)
{
    return qw_fail(err, QWREN_E_ARGUMENT, "request: %s must be %s", key, want);
}

static qwren_status read_number(const qw_request *r, const char *key, double lo, double hi, double *out, qwren_error *err)
{
    const qw_json *v = field(r, key);
    if (!v)
        return QWREN_OK;
    double x = qw_json_number(v, NAN);
    if (!(x >= lo && x <= hi))
        return qw_fail(err, QWREN_E_ARGUMENT, "request: %s must be a number from %g to %g", key, lo, hi);
    *out = x;
    return QWREN_OK;
}

static qwren_status read_integer(const qw_request *r, const char *key, int64_t lo, int64_t hi, int64_t *out, qwren_error *err)
{
    const qw_json *v = field(r, key);
    if (!v)
        return QWREN_OK;
    int64_t x = qw_json_int(v, INT64_MIN);
    if (!qw_json_is(v, QW_JSON_INT) || x < lo || x > hi)
        return qw_fail(err, QWREN_E_ARGUMENT, "request: %s must be an integer from %lld to %lld", key, (long long)lo, (long long)hi);
    *out = x;
    return QWREN_OK;
}

static qwren_status read_bool(const qw_json *object, const char *key, bool *found, bool *out, qwren_error *err)
{
    const qw_json *v = qw_json_get(object, key);
    *found = false;
    if (qw_json_kind_of(v) == QW_JSON_NULL)
        return QWREN_OK;
    if (!qw_json_is(v, QW_JSON_BOOL))
        return wrong(err, key, "true or false");
    *found = true;
    *out = qw_json_bool(v, false);
    return QWREN_OK;
}

/* ---- what the template needs */

/* chat_template_kwargs wins over the same name at the top, as in vLLM. */
static qwren_status read_flag(const qw_request *r, const char *key, bool *found, bool *out, qwren_error *err)
{
    bool inner = false;
    QW_TRY(read_bool(r->root, key, found, out, err));
    QW_TRY(read_bool(field(r, "chat_template_kwargs"), key, &inner, out, err));
    *found = *found || inner;
    return QWREN_OK;
}

static qwren_status read_flags(qw_request *r, qwren_error *err)
{
    const qw_json *kwargs = field(r, "chat_template_kwargs");
    if (kwargs && !qw_json_is(kwargs, QW_JSON_OBJECT))
        return wrong(err, "chat_template_kwargs", "an object");
    bool found = false, thinking = false;
    QW_TRY(read_flag(r, "enable_thinking", &found, &thinking, err));
    r->thinking = found ? thinking : -1;
    QW_TRY(read_flag(r, "add_generation_prompt", &found, &r->add_generation_prompt, err));
    QW_TRY(read_flag(r, "add_vision_id", &found, &r->add_vision_id, err));
    return QWREN_OK;
}

static qwren_status read_conversation(qw_request *r, qwren_error *err)
{
    r->messages = field(r, "messages");
    if (r->messages && !qw_json_is(r->messages, QW_JSON_ARRAY))
        return wrong(err, "messages", "an array of {\"role\", \"content\"}");
    const qw_json *tools = field(r, "tools");
    if (tools && !qw_json_is(tools, QW_JSON_ARRAY))
        return wrong(err, "tools", "an array");
    r->tools = qw_json_size(tools) ? tools : NULL;
    const qw_json *choice = field(r, "tool_choice");
    if (!choice)
        return QWREN_OK;
    r->tool_choice = qw_json_string(choice, NULL);
    const char *c = r->tool_choice;
    if (!c || (strcmp(c, "auto") && strcmp(c, "none") && strcmp(c, "required")))
        return wrong(err, "tool_choice", "\"auto\", \"none\" or \"required\"");
    if (strcmp(c, "required") == 0 && !r->tools)
        return qw_fail(err, QWREN_E_ARGUMENT, "request: tool_choice is \"required\", but there are no tools; give some, or leave it out");
    return QWREN_OK;
}

static qwren_status read_overflow(qw_request *r, qwren_error *err)
{
    static const char *const names[] = { "error", "drop-oldest-turns", "shift" };
    const qw_json *v = field(r, "overflow");
    const char *s = qw_json_string(v, NULL);
    for (int i = 0; s && i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(s, names[i]) == 0)
            r->overflow = i;
    return !v || r->overflow >= 0 ? QWREN_OK : wrong(err, "overflow", "\"error\", \"drop-oldest-turns\" or \"shift\"");
}

/* ---- what the sampler needs */

static qwren_status read_sampling(qw_request *r, qwren_error *err)
{
    int64_t seed = 0;
    QW_TRY(read_number(r, "temperature", 0, 100, &r->temperature, err));
    QW_TRY(read_number(r, "top_p", 0, 1, &r->top_p, err));
    QW_TRY(read_number(r, "min_p", 0, 1, &r->min_p, err));
    QW_TRY(read_number(r, "presence_penalty", -100, 100, &r->presence_penalty, err));
    QW_TRY(read_number(r, "frequency_penalty", -100, 100, &r->frequency_penalty, err));
    QW_TRY(read_number(r, "repetition_penalty", 0.01, 100, &r->repetition_penalty, err));
    QW_TRY(read_integer(r, "top_k", -1, INT32_MAX, &r->top_k, err));
    QW_TRY(read_integer(r, "max_tokens", 1, INT32_MAX, &r->max_tokens, err));
    QW_TRY(read_integer(r, "max_completion_tokens", 1, INT32_MAX, &r->max_tokens, err));
    QW_TRY(read_integer(r, "seed", INT64_MIN + 1, INT64_MAX, &seed, err));
    if (field(r, "top_k") && r->top_k < 0)
        r->top_k = 0; /* -1 is how some clients say "off"; here that is 0, and -1 is "not said" */
    r->has_seed = field(r, "seed") != NULL;
    r->seed = (uint64_t)seed;
    return QWREN_OK;
}

static qwren_status add_stop(qw_request *r, const qw_json *v, qwren_error *err)
{
    size_t len = 0;
    const char *s = qw_json_string(v, &len);
    if (!s || len == 0 || len > MAX_STOP_BYTES || strlen(s) != len)
        return wrong(err, "stop", "a non-empty string of at most 4096 bytes, or an array of at most 64 of them");
    r->stop[r->n_stop++] = s;
    return QWREN_OK;
}

static qwren_status read_stop(qw_request *r, qwren_error *err)
{
    const qw_json *v = field(r, "stop");
    if (!v)
        return QWREN_OK;
    size_t n = qw_json_is(v, QW_JSON_ARRAY) ? qw_json_size(v) : 1;
    if (n > MAX_STOPS)
        return wrong(err, "stop", "a string or an array of at most 64 strings");
    r->stop = qw_alloc_array(n, sizeof *r->stop);
    if (!r->stop)
        return qw_fail_memory(err, n * sizeof *r->stop, "stop strings");
    if (!qw_json_is(v, QW_JSON_ARRAY))
        return add_stop(r, v, err);
    for (size_t i = 0; i < n; i++)
        QW_TRY(add_stop(r, qw_json_at(v, i), err));
    return QWREN_OK;
}

static qwren_status add_bias(qw_request *r, const char *key, const qw_json *v, qwren_error *err)
{
    char *end = NULL;
    long id = strtol(key, &end, 10);
    double bias = qw_json_number(v, NAN);
    if (end == key || *end || id < 0 || id > INT32_MAX || !(bias >= -1000 && bias <= 1000))
        return wrong(err, "logit_bias", "an object of token ids and numbers from -1000 to 1000");
    r->bias[r->n_bias++] = (qw_logit_bias){ (int32_t)id, (float)bias };
    return QWREN_OK;
}

static qwren_status read_bias(qw_request *r, qwren_error *err)
{
    const qw_json *v = field(r, "logit_bias");
    if (!v)
        return QWREN_OK;
    if (!qw_json_is(v, QW_JSON_OBJECT) || qw_json_size(v) > MAX_BIASES)
        return wrong(err, "logit_bias", "an object of token ids and numbers");
    r->bias = qw_alloc_array(qw_json_size(v), sizeof *r->bias);
    if (!r->bias)
        return qw_fail_memory(err, qw_json_size(v) * sizeof *r->bias, "logit biases");
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it))
        QW_TRY(add_bias(r, it.key, it.value, err));
    return QWREN_OK;
}

qwren_status qw_request_parse(qw_request *r, const char *text, size_t len, qwren_error *err)
{
    *r = (qw_request){ .thinking = -1,
                       .overflow = -1,
                       .add_generation_prompt = true,
                       .max_tokens = -1,
                       .top_k = -1,
                       .temperature = NAN,
                       .top_p = NAN,
                       .min_p = NAN,
                       .presence_penalty = NAN,
                       .frequency_penalty = NAN,
                       .repetition_penalty = NAN };
    QW_TRY(qw_json_parse(&r->root, text, len == SIZE_MAX ? strlen(text) : len, "request", err));
    if (!qw_json_is(r->root, QW_JSON_OBJECT))
        return qw_fail(err, QWREN_E_ARGUMENT, "request: must be a JSON object with \"messages\"");
    QW_TRY(read_conversation(r, err));
    QW_TRY(read_flags(r, err));
    QW_TRY(read_overflow(r, err));
    QW_TRY(read_sampling(r, err));
    QW_TRY(read_stop(r, err));
    return read_bias(r, err);
}

void qw_request_deinit(qw_request *r)
{
    qw_json_free(r->root);
    qw_free(r->stop);
    qw_free(r->bias);
    *r = (qw_request){ 0 };
}
