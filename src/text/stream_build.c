/* A finished call's parts -> its name and its arguments as JSON: names trimmed, line breaks of the markup taken off, each value
 * typed by the tool's schema. The last step of stream_call.c. Tested by tests/golden/test_parse.c and tests/unit/test_stream.c. */
#include "base/alloc.h"
#include "text/arguments.h"
#include "text/prompt.h"
#include "text/stream_state.h"

#include <stdlib.h>
#include <string.h>

/* Python's strip() of in[begin, end), tags written out; the '>' at the end of a tag ended the name. */
static void read_name(qw_stream *s, size_t begin, size_t end, qw_buf *out)
{
    bool tag = end > begin && IS_TAG(s->in.data[end - 1]);
    qw_buf_clear(out);
    qw_stream_unfold(out, s->in.data + begin, end - begin);
    size_t from = 0, to = out->len - (tag && out->len ? 1 : 0);
    qw_trim(qw_buf_text(out), &from, &to);
    qw_buf_truncate(out, to);
    qw_buf_remove_front(out, from);
}

/* The line breaks that the markup puts around a value go: one at each end, nothing else. */
static void trim_value(const char **p, size_t *n)
{
    size_t front = *n && **p == '\n' ? 1 : *n > 1 && (*p)[0] == '\r' && (*p)[1] == '\n' ? 2 : 0;
    *p += front;
    *n -= front;
    *n -= *n && (*p)[*n - 1] == '\n';
    *n -= *n && (*p)[*n - 1] == '\r';
}

/* A parameter's name; winner: of the parameters with this name, the last. */
typedef struct named {
    char *key;
    size_t len, order, winner;
} named;

static int by_order(const void *a, const void *b)
{
    const named *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static int by_key(const void *a, const void *b)
{
    const named *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int d = memcmp(x->key, y->key, n);
    if (!d)
        d = (x->len > y->len) - (x->len < y->len);
    return d ? d : by_order(a, b);
}

/* A repeated key keeps its first place and its last value. Leaves the places in order and returns their number. */
static size_t drop_repeated(named *names, size_t n)
{
    size_t kept = 0;
    qsort(names, n, sizeof *names, by_key);
    for (size_t i = 0; i < n; i++) {
        if (kept && names[kept - 1].len == names[i].len && memcmp(names[kept - 1].key, names[i].key, names[i].len) == 0) {
            names[kept - 1].winner = names[i].order;
            qw_free(names[i].key);
        } else {
            names[kept++] = names[i];
        }
    }
    qsort(names, kept, sizeof *names, by_order);
    return kept;
}

static qwren_status append_argument(qw_stream *s, const named *name, const qw_json *schema, qw_buf *scratch, qwren_error *err)
{
    const call_parameter *p = &s->call.params[name->winner];
    qw_buf_clear(scratch);
    qw_stream_unfold(scratch, s->in.data + p->value, p->value_end - p->value);
    QW_TRY(qw_buf_status(scratch, err));
    const char *value = qw_buf_text(scratch);
    size_t n = scratch->len;
    trim_value(&value, &n);
    qw_buf_puts(&s->arguments, s->arguments.len > 1 ? ", " : "");
    qw_json_dump_string(&s->arguments, name->key, name->len);
    qw_buf_puts(&s->arguments, ": ");
    return qw_argument_append(&s->arguments, schema, name->key, value, n, err);
}

static qwren_status read_keys(qw_stream *s, named *names, qw_buf *scratch, qwren_error *err)
{
    for (size_t i = 0; i < s->call.n_params; i++) {
        read_name(s, s->call.params[i].key, s->call.params[i].key_end, scratch);
        names[i] = (named){ qw_strndup(qw_buf_text(scratch), scratch->len), scratch->len, i, i };
        if (!names[i].key || scratch->failed)
            return qw_fail_memory(err, scratch->len, "a call's parameter");
    }
    return QWREN_OK;
}

/* s->name and s->arguments from the parts that were found. */
qwren_status qw_call_build(qw_stream *s, qwren_error *err)
{
    size_t n = s->call.n_params;
    qw_buf scratch = QW_BUF_INIT;
    named *names = qw_calloc(n + 1, sizeof *names);
    if (!names)
        return qw_fail_memory(err, n * sizeof *names, "a call's parameters");
    read_name(s, s->call.name, s->call.name_end, &s->name);
    const qw_json *schema = qw_tool_schema(s->tools, qw_buf_text(&s->name), s->name.len);
    qw_buf_clear(&s->arguments);
    qw_buf_putc(&s->arguments, '{');
    qwren_status st = read_keys(s, names, &scratch, err);
    if (st == QWREN_OK)
        n = drop_repeated(names, n);
    for (size_t i = 0; st == QWREN_OK && i < n; i++)
        st = append_argument(s, &names[i], schema, &scratch, err);
    qw_buf_putc(&s->arguments, '}');
    for (size_t i = 0; i < n; i++)
        qw_free(names[i].key);
    qw_free(names);
    qw_buf_free(&scratch);
    QW_TRY(st);
    QW_TRY(qw_buf_status(&s->name, err));
    return qw_buf_status(&s->arguments, err);
}

/* {"name": "f", "arguments": {...}} into s->name and s->arguments; *fits is false when it is something else. */
qwren_status qw_call_build_json(qw_stream *s, bool *fits, qwren_error *err)
{
    qw_buf text = QW_BUF_INIT;
    qw_json *root = NULL;
    *fits = false;
    qw_stream_unfold(&text, s->in.data + s->call.body, s->call.json_end - s->call.body);
    qwren_status st = qw_buf_status(&text, err);
    if (st == QWREN_OK)
        st = qw_json_parse(&root, qw_buf_text(&text), text.len, "call", NULL);
    qw_buf_free(&text);
    if (st == QWREN_E_MEMORY)
        return qw_fail_memory(err, s->call.json_end - s->call.body, "a call");
    size_t n = 0;
    const char *name = qw_json_string(qw_json_get(root, "name"), &n);
    const qw_json *arguments = qw_json_get(root, "arguments");
    if (name && (!arguments || qw_json_is(arguments, QW_JSON_OBJECT))) {
        qw_buf_clear(&s->name);
        qw_buf_append(&s->name, name, n);
        qw_buf_clear(&s->arguments);
        if (arguments)
            qw_json_dump(&s->arguments, arguments);
        else
            qw_buf_puts(&s->arguments, "{}");
        *fits = true;
        st = qw_buf_status(&s->arguments, err);
    }
    qw_json_free(root);
    return *fits ? st : QWREN_OK;
}
