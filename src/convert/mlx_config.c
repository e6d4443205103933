/* What the loaders of MLX want to read beside the source's own settings (mlx_config.h). Tested by tests/unit/test_mlx_config.c. */
#include "convert/mlx_config.h"

#include "base/affix.h"

#include <string.h>

#define INDENT 2
#define N_BLOCK_KEYS 2

static const char *const block_keys[N_BLOCK_KEYS] = { "quantization", "quantization_config" }; /* each is read by some loader */

/* ---- JSON with a line for each member; lists of plain values stay on one line */

static void put_line(qw_buf *out, int depth) { qw_buf_printf(out, "\n%*s", depth * INDENT, ""); }

static bool is_nested(const qw_json *v)
{
    for (size_t i = 0; qw_json_is(v, QW_JSON_ARRAY) && i < qw_json_size(v); i++)
        if (qw_json_size(qw_json_at(v, i)))
            return true;
    return qw_json_is(v, QW_JSON_OBJECT) && qw_json_size(v);
}

static void put_value(qw_buf *out, const qw_json *v, int depth);

static void put_key(qw_buf *out, const char *between, const char *key, size_t len, int depth)
{
    qw_buf_puts(out, between);
    put_line(out, depth);
    qw_json_dump_string(out, key, len);
    qw_buf_puts(out, ": ");
}

static void put_members(qw_buf *out, const qw_json *v, int depth)
{
    const char *between = "";
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it), between = ",") {
        put_key(out, between, it.key, it.key_len, depth);
        put_value(out, it.value, depth);
    }
}

static void put_value(qw_buf *out, const qw_json *v, int depth)
{
    if (!is_nested(v)) {
        qw_json_dump(out, v);
        return;
    }
    bool object = qw_json_is(v, QW_JSON_OBJECT);
    qw_buf_putc(out, object ? '{' : '[');
    if (object)
        put_members(out, v, depth + 1);
    for (size_t i = 0; !object && i < qw_json_size(v); i++) {
        qw_buf_puts(out, i ? "," : "");
        put_line(out, depth + 1);
        put_value(out, qw_json_at(v, i), depth + 1);
    }
    put_line(out, depth);
    qw_buf_putc(out, object ? '}' : ']');
}

/* ---- the text model's settings */

static const qw_json *text_of(const qw_json *source)
{
    const qw_json *text = qw_json_get(source, "text_config");
    return qw_json_is(text, QW_JSON_OBJECT) ? text : source;
}

/* As model/config_text.c reads it: the inner setting wins. */
bool qw_mlx_config_is_tied(const qw_json *source)
{
    bool outer = qw_json_bool(qw_json_get(source, "tie_word_embeddings"), false);
    return qw_json_bool(qw_json_get(text_of(source), "tie_word_embeddings"), outer);
}

/* The loaders look for the tie among the text model's settings, where some checkpoints do not have it. */
static void put_text(qw_buf *out, const qw_json *source)
{
    static const char tie[] = "tie_word_embeddings";
    const qw_json *text = text_of(source);
    qw_buf_putc(out, '{');
    put_members(out, text, 2);
    if (!qw_json_get(text, tie)) {
        put_key(out, qw_json_size(text) ? "," : "", tie, sizeof tie - 1, 2);
        qw_buf_puts(out, qw_mlx_config_is_tied(source) ? "true" : "false");
    }
    put_line(out, 1);
    qw_buf_putc(out, '}');
}

/* ---- the quantization block */

static void put_entry(qw_buf *out, const qw_mlx_layer *l)
{
    size_t n = strlen(l->tail);
    if (qw_ends_with(l->tail, ".weight"))
        n -= strlen(".weight");
    qw_buf_putc(out, ',');
    put_line(out, 2);
    qw_buf_printf(out, "\"%s%.*s\": {\"group_size\": %d, \"bits\": %d}", l->prefix, (int)n, l->tail, l->group, l->bits);
}

static void put_block(qw_buf *out, const char *key, int bits, int group, const qw_mlx_layer *layers, size_t n)
{
    put_line(out, 1);
    qw_buf_printf(out, "\"%s\": {", key);
    put_line(out, 2);
    qw_buf_printf(out, "\"group_size\": %d,", group);
    put_line(out, 2);
    qw_buf_printf(out, "\"bits\": %d,", bits);
    put_line(out, 2);
    qw_buf_puts(out, "\"mode\": \"affine\"");
    for (size_t i = 0; i < n; i++)
        if (layers[i].bits != bits || layers[i].group != group)
            put_entry(out, &layers[i]);
    put_line(out, 1);
    qw_buf_putc(out, '}');
}

/* Without a quantised layer there is none. */
static void put_blocks(qw_buf *out, int bits, int group, const qw_mlx_layer *layers, size_t n)
{
    for (size_t i = 0; n && i < N_BLOCK_KEYS; i++) {
        qw_buf_putc(out, ',');
        put_block(out, block_keys[i], bits, group, layers, n);
    }
    qw_buf_puts(out, "\n}\n");
}

/* mlx-lm knows the text model by the name of the whole one. */
static bool is_text_alone(const qw_json *type)
{
    const char *name = qw_json_string(type, NULL);
    return name && strcmp(name, "qwen3_5_text") == 0;
}

void qw_mlx_config_put(qw_buf *out, const qw_json *source, int bits, int group, const qw_mlx_layer *layers, size_t n)
{
    const char *between = "{";
    for (qw_json_iter it = qw_json_first(source); it.key; qw_json_next(source, &it)) {
        if (strcmp(it.key, block_keys[0]) == 0 || strcmp(it.key, block_keys[1]) == 0)
            continue; /* null: nothing else comes here */
        put_key(out, between, it.key, it.key_len, 1);
        between = ",";
        if (it.value == text_of(source))
            put_text(out, source);
        else if (strcmp(it.key, "model_type") == 0 && is_text_alone(it.value))
            qw_buf_puts(out, "\"qwen3_5\"");
        else
            put_value(out, it.value, 1);
    }
    put_blocks(out, bits, group, layers, n);
}

/* A draft of one layer looks two tokens ahead, and the block counts the accepted token. */
void qw_mlx_config_put_mtp(qw_buf *out, const qw_json *source, int bits, int group, const qw_mlx_layer *layers, size_t n)
{
    const qw_json *text = text_of(source);
    int64_t depth = qw_json_int(qw_json_get(text, "mtp_num_hidden_layers"), 1);
    qw_buf_puts(out, "{\n  \"model_type\": \"qwen3_5_mtp\",\n");
    qw_buf_printf(out, "  \"block_size\": %lld,\n", (long long)(depth > 0 ? depth : 1) + 2);
    qw_buf_printf(out, "  \"tie_word_embeddings\": %s,\n  \"text_config\": ", qw_mlx_config_is_tied(source) ? "true" : "false");
    put_text(out, source);
    put_blocks(out, bits, group, layers, n);
}

/* ---- questions about the source */

qwren_status qw_mlx_config_check(const qw_json *source, const char *where, qwren_error *err)
{
    if (!qw_json_is(source, QW_JSON_OBJECT) || !qw_json_size(source))
        return qw_fail(err, QWREN_E_FORMAT, "%s: is no object with settings", where);
    for (size_t i = 0; i < N_BLOCK_KEYS; i++)
        if (qw_json_kind_of(qw_json_get(source, block_keys[i])) != QW_JSON_NULL ||
            qw_json_kind_of(qw_json_get(text_of(source), block_keys[i])) != QW_JSON_NULL)
            return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: has \"%s\": the model is quantised already; its original with floats is needed",
                           where, block_keys[i]);
    return QWREN_OK;
}

qw_type qw_mlx_config_type(const qw_json *source)
{
    static const struct {
        const char *name;
        qw_type type;
    } types[] = { { "bfloat16", QW_TYPE_BF16 }, { "float16", QW_TYPE_F16 }, { "float32", QW_TYPE_F32 } };
    const char *name = qw_json_string(qw_json_get(source, "torch_dtype"), NULL);
    if (!name)
        name = qw_json_string(qw_json_get(qw_json_get(source, "text_config"), "dtype"), NULL);
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0)
            return types[i].type;
    return QW_TYPE_OTHER;
}
