/* Parameters by schema. A model writes every parameter as text between tags; what it means depends on the type that the tool
 * declared for it. Called by stream_call.c for each finished call. Tested by tests/golden/test_parse.c and
 * tests/unit/test_stream.c. */
#include "text/arguments.h"

#include "text/pyliteral.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum { T_STRING = 1, T_INTEGER = 2, T_NUMBER = 4, T_BOOLEAN = 8, T_OBJECT = 16, T_ARRAY = 32, T_NULL = 64, T_OTHER = 128 };

#define MAX_REFERENCES 8 /* $ref to $ref */
#define MAX_UNIONS 6     /* anyOf within anyOf */
#define MAX_VISITS 1000  /* schemas looked at for one parameter: a schema that refers to itself widely must not take for ever */

/* ------------------------------------------------------------------------------------------------ types of a schema */

const qw_json *qw_tool_schema(const qw_json *tools, const char *name, size_t len)
{
    for (size_t i = 0; i < qw_json_size(tools); i++) {
        const qw_json *tool = qw_json_at(tools, i), *function = qw_json_get(tool, "function");
        size_t n = 0;
        const char *s = qw_json_string(qw_json_get(function ? function : tool, "name"), &n);
        if (!s || n != len || memcmp(s, name, n) != 0)
            continue;
        const qw_json *parameters = qw_json_get(function ? function : tool, "parameters");
        return qw_json_is(parameters, QW_JSON_OBJECT) ? parameters : NULL;
    }
    return NULL;
}

/* One step of a JSON pointer: `part` [n] with ~1 and ~0 decoded. Names over 255 bytes are not found. */
static const qw_json *pointer_step(const qw_json *node, const char *part, size_t n)
{
    char key[256];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        bool escaped = part[i] == '~' && i + 1 < n && (part[i + 1] == '0' || part[i + 1] == '1');
        if (k + 1 == sizeof key)
            return NULL;
        key[k++] = escaped ? (part[++i] == '1' ? '/' : '~') : part[i];
    }
    key[k] = '\0';
    return qw_json_get(node, key);
}

/* Follows local references: {"$ref": "#/$defs/P"}. */
static const qw_json *resolve(const qw_json *schema, const qw_json *root)
{
    for (int i = 0; i < MAX_REFERENCES; i++) {
        const char *ref = qw_json_string(qw_json_get(schema, "$ref"), NULL);
        if (!ref || strncmp(ref, "#/", 2) != 0)
            break;
        schema = root;
        for (const char *part = ref + 2; part && schema;) {
            size_t n = strcspn(part, "/");
            schema = pointer_step(schema, part, n);
            part = part[n] ? part + n + 1 : NULL;
        }
    }
    return schema;
}

static unsigned type_by_name(const qw_json *v)
{
    static const struct {
        const char *name;
        unsigned type;
    } names[] = {
        { "string", T_STRING }, { "integer", T_INTEGER }, { "number", T_NUMBER }, { "boolean", T_BOOLEAN },
        { "object", T_OBJECT }, { "array", T_ARRAY },     { "null", T_NULL },
    };
    const char *s = qw_json_string(v, NULL);
    if (!s)
        return T_OTHER;
    s += strspn(s, " \t\r\n");
    size_t n = strcspn(s, " \t\r\n");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == n && strncasecmp(s, names[i].name, n) == 0)
            return names[i].type;
    return T_OTHER;
}

static unsigned type_of_value(const qw_json *v)
{
    static const unsigned by_kind[] = {
        [QW_JSON_NULL] = T_NULL,     [QW_JSON_BOOL] = T_BOOLEAN, [QW_JSON_INT] = T_INTEGER,  [QW_JSON_REAL] = T_NUMBER,
        [QW_JSON_STRING] = T_STRING, [QW_JSON_ARRAY] = T_ARRAY,  [QW_JSON_OBJECT] = T_OBJECT
    };
    return by_kind[qw_json_kind_of(v)];
}

static unsigned types_of(const qw_json *schema, const qw_json *root, int depth, int *visits);

static unsigned united_types(const qw_json *schema, const qw_json *root, int depth, int *visits)
{
    static const char *const keys[] = { "anyOf", "oneOf", "allOf" };
    unsigned types = 0;
    for (size_t k = 0; depth < MAX_UNIONS && k < sizeof keys / sizeof *keys; k++) {
        const qw_json *list = qw_json_get(schema, keys[k]);
        for (size_t i = 0; qw_json_is(list, QW_JSON_ARRAY) && i < qw_json_size(list); i++)
            types |= types_of(qw_json_at(list, i), root, depth + 1, visits);
    }
    return types;
}

/* The set of JSON types that the schema admits; 0 when it does not say. */
static unsigned types_of(const qw_json *schema, const qw_json *root, int depth, int *visits)
{
    unsigned types = 0;
    if (--*visits < 0)
        return 0;
    schema = resolve(schema, root);
    const qw_json *type = qw_json_get(schema, "type"), *listed = qw_json_get(schema, "enum");
    if (qw_json_is(type, QW_JSON_STRING))
        return type_by_name(type);
    if (qw_json_is(type, QW_JSON_ARRAY)) {
        for (size_t i = 0; i < qw_json_size(type); i++)
            types |= type_by_name(qw_json_at(type, i));
        return types;
    }
    if (qw_json_get(schema, "const"))
        return type_of_value(qw_json_get(schema, "const"));
    if (listed) {
        for (size_t i = 0; qw_json_is(listed, QW_JSON_ARRAY) && i < qw_json_size(listed); i++)
            types |= type_of_value(qw_json_at(listed, i));
        return types;
    }
    types = united_types(schema, root, depth, visits);
    if (!types && qw_json_get(schema, "properties"))
        types = T_OBJECT;
    if (!types && qw_json_get(schema, "items"))
        types = T_ARRAY;
    return types;
}

/* --------------------------------------------------------------------------------------------------- text to value */

static bool is_word(const char *s, size_t n, const char *word) { return strlen(word) == n && strncasecmp(s, word, n) == 0; }

static bool is_null_word(const char *s, size_t n) { return is_word(s, n, "null") || is_word(s, n, "none"); }

static size_t count_digits(const char *s, size_t n)
{
    size_t k = 0;
    while (k < n && s[k] >= '0' && s[k] <= '9')
        k++;
    return k;
}

/* JSON's grammar of numbers; *integer: neither point nor exponent. */
static bool is_number(const char *s, size_t n, bool *integer)
{
    size_t at = n && s[0] == '-', digits = count_digits(s + at, n - at);
    *integer = true;
    if (!digits || (digits > 1 && s[at] == '0'))
        return false;
    at += digits;
    if (at < n && s[at] == '.') {
        digits = count_digits(s + at + 1, n - at - 1);
        if (!digits)
            return false;
        at += 1 + digits;
        *integer = false;
    }
    if (at < n && (s[at] == 'e' || s[at] == 'E')) {
        at++;
        at += at < n && (s[at] == '+' || s[at] == '-');
        digits = count_digits(s + at, n - at);
        if (!digits)
            return false;
        at += digits;
        *integer = false;
    }
    return at == n;
}

/* Integers keep all their digits; integral floats become integers; a fraction only fits a number. */
static qwren_status append_number(qw_buf *out, const char *s, size_t n, unsigned types, bool *done, qwren_error *err)
{
    bool integer;
    qw_json *v = NULL;
    if (!is_number(s, n, &integer))
        return QWREN_OK;
    *done = true;
    if (integer) {
        if (n == 2 && memcmp(s, "-0", 2) == 0)
            qw_buf_putc(out, '0');
        else
            qw_buf_append(out, s, n);
        return QWREN_OK;
    }
    if (qw_json_parse(&v, s, n, "number", NULL) == QWREN_E_MEMORY)
        return qw_fail_memory(err, n, "a parameter");
    double x = qw_json_number(v, NAN); /* NAN also for a number too large for a double */
    qw_json_free(v);
    if (fabs(x) < 9007199254740992.0 && x == trunc(x))
        qw_buf_printf(out, "%lld", (long long)x);
    else if ((types & T_NUMBER) && isfinite(x))
        qw_json_dump_double(out, x);
    else
        *done = false;
    return QWREN_OK;
}

/* An object or array: as JSON, else as Python spells it. */
static qwren_status append_structure(qw_buf *out, const char *s, size_t n, bool *done, qwren_error *err)
{
    qw_json *v = NULL;
    qw_buf python = QW_BUF_INIT;
    qwren_status st = qw_json_parse(&v, s, n, "parameter", NULL);
    if (st == QWREN_E_FORMAT && qw_pyliteral_to_json(&python, s, n))
        st = qw_json_parse(&v, qw_buf_text(&python), python.len, "parameter", NULL); /* for repeated names: the last wins */
    if (python.failed)
        st = QWREN_E_MEMORY;
    qw_buf_free(&python);
    if (st == QWREN_E_MEMORY)
        return qw_fail_memory(err, n, "a parameter");
    *done = st == QWREN_OK;
    if (*done)
        qw_json_dump(out, v);
    qw_json_free(v);
    return QWREN_OK;
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The stricter types first; *done when one of them fits. */
static qwren_status append_typed(qw_buf *out, const char *s, size_t n, unsigned types, bool *done, qwren_error *err)
{
    *done = true;
    if ((types & T_NULL) && is_null_word(s, n)) {
        qw_buf_puts(out, "null");
        return QWREN_OK;
    }
    if ((types & T_BOOLEAN) && (is_word(s, n, "true") || is_word(s, n, "false"))) {
        qw_buf_puts(out, n == 4 ? "true" : "false");
        return QWREN_OK;
    }
    *done = false;
    if (types & (T_INTEGER | T_NUMBER))
        QW_TRY(append_number(out, s, n, types, done, err));
    if (!*done && n && (((types & T_OBJECT) && *s == '{') || ((types & T_ARRAY) && *s == '[')))
        QW_TRY(append_structure(out, s, n, done, err));
    if (!*done && !(types & T_STRING) && is_null_word(s, n)) {
        qw_buf_puts(out, "null");
        *done = true;
    }
    return QWREN_OK;
}

qwren_status qw_argument_append(qw_buf *out, const qw_json *schema, const char *key, const char *raw, size_t len, qwren_error *err)
{
    int visits = MAX_VISITS;
    const qw_json *properties = qw_json_get(schema, "properties");
    unsigned types = types_of(qw_json_get(properties, key), schema, 0, &visits);
    const char *s = raw;
    size_t n = len;
    bool done = false;
    for (; n && is_blank(*s); s++)
        n--;
    while (n && is_blank(s[n - 1]))
        n--;
    if (types && types != T_STRING)
        QW_TRY(append_typed(out, s, n, types, &done, err));
    if (!done)
        qw_json_dump_string(out, raw, len);
    return qw_buf_status(out, err);
}
