/* qwren inspect: what a model is, as text or as JSON. inspect_cpu.c shows the processor. Tested by tests/cli/inspect.sh and models.sh. */
#include "inspect_cpu.h"
#include "models.h"
#include "output.h"
#include "table.h"
#include "verbs.h"

#include "help.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_CTX 32768

typedef struct facts {
    const qwren_model *model;
    const qwren_model_info *info;
    size_t n_ctx;
    qwren_memory_info memory;
} facts;

/* ---- text */

static void put_bytes(qw_buf *out, const char *name, uint64_t n)
{
    cli_put_row(out, name);
    cli_put_short(out, (double)n, "B");
    qw_buf_putc(out, '\n');
}

static void put_text_model(qw_buf *out, const qwren_model_info *m)
{
    cli_put_row(out, "text");
    qw_buf_printf(out, "%d layers (%d DeltaNet, %d attention), hidden %d, MLP %d\n", m->n_layers, m->n_delta_layers, m->n_attention_layers,
                  m->hidden_size, m->intermediate_size);
    cli_put_row(out, "  attention");
    qw_buf_printf(out, "%d heads over %d key/value heads of %d, %d of them rotary\n", m->n_heads, m->n_kv_heads, m->head_dim,
                  m->rotary_dim);
    cli_put_row(out, "  DeltaNet");
    qw_buf_printf(out, "%d value heads of %d over %d key heads of %d, convolution %d\n", m->linear_value_heads, m->linear_value_dim,
                  m->linear_key_heads, m->linear_key_dim, m->conv_kernel);
    cli_put_row(out, "  vocabulary");
    qw_buf_printf(out, "%d ids, %s\n", m->vocab_size, m->tied_embeddings ? "embeddings are the head" : "a head of its own");
    cli_put_row(out, "  context");
    qw_buf_printf(out, "%d tokens", m->max_positions);
    if (m->yarn_factor > 1)
        qw_buf_printf(out, ": %g times the %d of the training, by YaRN", m->yarn_factor, m->trained_positions);
    qw_buf_putc(out, '\n');
}

static void put_vision(qw_buf *out, const qwren_model_info *m)
{
    cli_put_row(out, "vision");
    if (!m->has_vision) {
        qw_buf_puts(out, "none\n");
        return;
    }
    qw_buf_printf(out, "%d layers, hidden %d, %d heads, MLP %d\n", m->vision_depth, m->vision_hidden, m->vision_heads,
                  m->vision_intermediate);
    cli_put_row(out, "  patches");
    qw_buf_printf(out, "%d x %d pixels, %d frames, merged %d x %d; pictures of %lld to %lld pixels\n", m->patch_size, m->patch_size,
                  m->temporal_patch_size, m->merge_size, m->merge_size, (long long)m->min_pixels, (long long)m->max_pixels);
}

static void put_totals(qw_buf *out, const qwren_model_info *m)
{
    cli_put_row(out, "parameters");
    cli_put_short(out, (double)m->n_parameters, "");
    qw_buf_puts(out, " (text ");
    cli_put_short(out, (double)m->n_parameters_text, "");
    qw_buf_puts(out, ", vision ");
    cli_put_short(out, (double)m->n_parameters_vision, "");
    qw_buf_puts(out, ", draft head ");
    cli_put_short(out, (double)m->n_parameters_mtp, "");
    qw_buf_puts(out, ")\n");
    cli_put_row(out, "bits a weight");
    qw_buf_printf(out, "%.3f (text %.3f, vision %.3f, draft head %.3f)\n", m->bits_per_weight, m->bits_per_weight_text,
                  m->bits_per_weight_vision, m->bits_per_weight_mtp);
    cli_put_row(out, "files");
    qw_buf_printf(out, "%s%s%s, %zu tensors, ", m->format, m->recipe ? ", recipe " : "", m->recipe ? m->recipe : "", m->n_tensors);
    cli_put_short(out, (double)m->n_bytes, "B");
    qw_buf_putc(out, '\n');
}

/* "AFFINE6/64": the format, and how many weights share a scale. */
static void put_format(qw_buf *out, const qwren_tensor_info *t)
{
    const size_t begin = out->len;
    qw_buf_puts(out, t->type);
    if (t->group)
        qw_buf_printf(out, "/%d", t->group);
    while (out->len < begin + 11 && !out->failed)
        qw_buf_putc(out, ' ');
}

static void put_tensor(qw_buf *out, const qwren_tensor_info *t)
{
    qw_buf_printf(out, "  %-70s %-6s ", t->name, t->part);
    put_format(out, t);
    qw_buf_printf(out, " %6.3f %12zu  %-12s [", t->bits_per_weight, t->n_bytes, t->recipe_class ? t->recipe_class : "-");
    for (int k = 0; k < t->n_dims; k++)
        qw_buf_printf(out, k ? ", %zu" : "%zu", t->shape[k]);
    qw_buf_printf(out, "] %s\n", t->file);
}

static void put_tensors(qw_buf *out, const qwren_model *model)
{
    qwren_tensor_info t;
    qw_buf_printf(out, "tensors\n  %-70s %-6s %-11s %6s %12s  %-12s shape, file\n", "name", "part", "type/group", "bits", "bytes", "class");
    for (size_t i = 0; qwren_model_get_tensor(model, i, &t); i++)
        put_tensor(out, &t);
}

/* Of lengths that people ask for, which the model may take. */
static const size_t lengths[] = { 32768, 262144, 1048576 };
#define N_LENGTHS (sizeof lengths / sizeof *lengths)

static uint64_t bytes_of(const facts *f, size_t n_ctx, int type)
{
    qwren_memory_info memory;
    return qwren_model_get_memory(f->model, n_ctx, (qwren_kv_type)type, &memory, NULL) == QWREN_OK ? memory.total_bytes : 0;
}

static void put_lengths(qw_buf *out, const facts *f)
{
    const char *name;
    for (size_t i = 0; i < N_LENGTHS && lengths[i] <= (size_t)f->info->max_positions; i++) {
        char row[32];
        snprintf(row, sizeof row, "  of %zu", lengths[i]);
        cli_put_row(out, row);
        for (int type = QWREN_KV_DEFAULT + 1; (name = qwren_kv_type_name((qwren_kv_type)type)) != NULL; type++) {
            qw_buf_puts(out, type > QWREN_KV_DEFAULT + 1 ? ", " : "");
            cli_put_short(out, (double)bytes_of(f, lengths[i], type), "B");
            qw_buf_printf(out, " as %s", name);
        }
        qw_buf_putc(out, '\n');
    }
}

static void json_lengths(qw_buf *out, const facts *f)
{
    const char *name;
    qw_buf_puts(out, ", \"session_bytes\": [");
    for (size_t i = 0; i < N_LENGTHS && lengths[i] <= (size_t)f->info->max_positions; i++) {
        qw_buf_printf(out, "%s{\"n_ctx\": %zu", i ? ", " : "", lengths[i]);
        for (int type = QWREN_KV_DEFAULT + 1; (name = qwren_kv_type_name((qwren_kv_type)type)) != NULL; type++)
            qw_buf_printf(out, ", \"%s\": %llu", name, (unsigned long long)bytes_of(f, lengths[i], type));
        qw_buf_putc(out, '}');
    }
    qw_buf_putc(out, ']');
}

static void put_text(qw_buf *out, const facts *f, bool tensors)
{
    cli_put_row(out, "model");
    qw_buf_printf(out, "%s\n", f->info->path);
    cli_put_row(out, "architecture");
    qw_buf_printf(out, "%s, %s\n", f->info->architecture, f->info->size_name);
    put_text_model(out, f->info);
    put_vision(out, f->info);
    put_totals(out, f->info);
    qw_buf_printf(out, "memory of a session of %zu tokens\n", f->n_ctx);
    put_bytes(out, "  keys, values", f->memory.kv_bytes);
    put_bytes(out, "  states", f->memory.state_bytes);
    put_bytes(out, "  scratch", f->memory.scratch_bytes);
    put_bytes(out, "  together", f->memory.total_bytes);
    put_bytes(out, "  for drafts", f->memory.spec_bytes);
    put_lengths(out, f);
    if (tensors)
        put_tensors(out, f->model);
}

/* ---- JSON */

static void json_text(qw_buf *out, const char *key, const char *value)
{
    qw_buf_printf(out, "\"%s\": ", key);
    qw_json_dump_string(out, value, strlen(value));
}

static void json_text_or_null(qw_buf *out, const char *key, const char *value)
{
    if (value)
        json_text(out, key, value);
    else
        qw_buf_printf(out, "\"%s\": null", key);
}

static void json_text_model(qw_buf *out, const qwren_model_info *m)
{
    qw_buf_printf(out, ", \"text\": {\"n_layers\": %d, \"n_attention_layers\": %d, \"n_delta_layers\": %d, \"hidden_size\": %d",
                  m->n_layers, m->n_attention_layers, m->n_delta_layers, m->hidden_size);
    qw_buf_printf(out, ", \"intermediate_size\": %d, \"n_heads\": %d, \"n_kv_heads\": %d, \"head_dim\": %d, \"rotary_dim\": %d",
                  m->intermediate_size, m->n_heads, m->n_kv_heads, m->head_dim, m->rotary_dim);
    qw_buf_printf(out, ", \"linear_key_heads\": %d, \"linear_value_heads\": %d, \"linear_key_dim\": %d, \"linear_value_dim\": %d",
                  m->linear_key_heads, m->linear_value_heads, m->linear_key_dim, m->linear_value_dim);
    qw_buf_printf(out,
                  ", \"conv_kernel\": %d, \"vocab_size\": %d, \"max_positions\": %d, \"trained_positions\": %d, \"yarn_factor\": %g, "
                  "\"tied_embeddings\": %s, \"mtp\": %s}",
                  m->conv_kernel, m->vocab_size, m->max_positions, m->trained_positions, m->yarn_factor,
                  m->tied_embeddings ? "true" : "false", m->has_mtp ? "true" : "false");
}

static void json_vision(qw_buf *out, const qwren_model_info *m)
{
    if (!m->has_vision) {
        qw_buf_puts(out, ", \"vision\": null");
        return;
    }
    qw_buf_printf(out, ", \"vision\": {\"depth\": %d, \"hidden_size\": %d, \"n_heads\": %d, \"intermediate_size\": %d, \"patch_size\": %d",
                  m->vision_depth, m->vision_hidden, m->vision_heads, m->vision_intermediate, m->patch_size);
    qw_buf_printf(out, ", \"merge_size\": %d, \"temporal_patch_size\": %d, \"min_pixels\": %lld, \"max_pixels\": %lld}", m->merge_size,
                  m->temporal_patch_size, (long long)m->min_pixels, (long long)m->max_pixels);
}

static void json_totals(qw_buf *out, const facts *f)
{
    const qwren_model_info *m = f->info;
    const qwren_memory_info *s = &f->memory;
    qw_buf_printf(out, ", \"parameters\": {\"total\": %llu, \"text\": %llu, \"vision\": %llu, \"mtp\": %llu}",
                  (unsigned long long)m->n_parameters, (unsigned long long)m->n_parameters_text, (unsigned long long)m->n_parameters_vision,
                  (unsigned long long)m->n_parameters_mtp);
    qw_buf_printf(out, ", \"tensor_count\": %zu, \"bytes\": %llu", m->n_tensors, (unsigned long long)m->n_bytes);
    qw_buf_printf(out, ", \"bits_per_weight\": {\"total\": %.6f, \"text\": %.6f, \"vision\": %.6f, \"mtp\": %.6f}", m->bits_per_weight,
                  m->bits_per_weight_text, m->bits_per_weight_vision, m->bits_per_weight_mtp);
    qw_buf_printf(out,
                  ", \"memory\": {\"n_ctx\": %zu, \"kv_bytes\": %llu, \"state_bytes\": %llu, \"scratch_bytes\": %llu, \"total_bytes\": "
                  "%llu, \"spec_bytes\": %llu}",
                  f->n_ctx, (unsigned long long)s->kv_bytes, (unsigned long long)s->state_bytes, (unsigned long long)s->scratch_bytes,
                  (unsigned long long)s->total_bytes, (unsigned long long)s->spec_bytes);
    json_lengths(out, f);
}

static void json_tensors(qw_buf *out, const qwren_model *model)
{
    qwren_tensor_info t;
    qw_buf_puts(out, ", \"tensors\": [");
    for (size_t i = 0; qwren_model_get_tensor(model, i, &t); i++) {
        qw_buf_puts(out, i ? ", {" : "{");
        json_text(out, "name", t.name);
        qw_buf_printf(out, ", \"type\": \"%s\", \"part\": \"%s\", ", t.type, t.part);
        json_text(out, "file", t.file);
        qw_buf_puts(out, ", \"shape\": [");
        for (int k = 0; k < t.n_dims; k++)
            qw_buf_printf(out, k ? ", %zu" : "%zu", t.shape[k]);
        qw_buf_printf(out, "], \"bytes\": %zu, \"bits_per_weight\": %.6f, \"bits\": %d, \"group\": %d, ", t.n_bytes, t.bits_per_weight,
                      t.bits, t.group);
        json_text_or_null(out, "class", t.recipe_class);
        qw_buf_putc(out, '}');
    }
    qw_buf_putc(out, ']');
}

static void put_json(qw_buf *out, const facts *f, bool tensors)
{
    qw_buf_putc(out, '{');
    json_text(out, "path", f->info->path);
    qw_buf_puts(out, ", ");
    json_text(out, "architecture", f->info->architecture);
    qw_buf_puts(out, ", ");
    json_text(out, "size", f->info->size_name);
    qw_buf_puts(out, ", ");
    json_text(out, "format", f->info->format);
    qw_buf_puts(out, ", ");
    json_text_or_null(out, "recipe", f->info->recipe);
    json_text_model(out, f->info);
    json_vision(out, f->info);
    json_totals(out, f);
    if (tensors)
        json_tensors(out, f->model);
    qw_buf_puts(out, "}\n");
}

/* ---- the verb */

static qwren_status gather(facts *f, const cli_args *a, const qwren_model *model, qwren_error *err)
{
    *f = (facts){ .model = model, .info = qwren_model_get_info(model) };
    int most = f->info->max_positions;
    f->n_ctx = (size_t)cli_number(a, OPT_CTX, most > 0 && most < DEFAULT_CTX ? most : DEFAULT_CTX);
    return qwren_model_get_memory(model, f->n_ctx, QWREN_KV_DEFAULT, &f->memory, err);
}

/* The model may be named by -m or by a word. */
int cli_inspect(const cli_args *a)
{
    facts f;
    qwren_model *model;
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    if (a->n_words && cli_has(a, OPT_MODEL))
        return cli_usage(a->verb, "the model is named twice: '%s' and '%s'", cli_text(a, OPT_MODEL, ""), a->words[0]);
    if (cli_has(a, OPT_CPU)) {
        if (a->n_words || cli_has(a, OPT_MODEL) || cli_has(a, OPT_TENSORS) || cli_has(a, OPT_CTX))
            return cli_usage(a->verb, "--cpu shows the processor; what is asked about a model is asked without it");
        return cli_inspect_cpu(&out, cli_has(a, OPT_JSON), &err) == QWREN_OK ? cli_print_taken(&out) : cli_fail(&err);
    }
    qwren_status st = cli_model_open(a, MODEL_HEADERS, &model, &err);
    if (st == QWREN_OK)
        st = gather(&f, a, model, &err);
    if (st == QWREN_OK)
        (cli_has(a, OPT_JSON) ? put_json : put_text)(&out, &f, cli_has(a, OPT_TENSORS));
    qwren_model_close(model);
    return st == QWREN_OK ? cli_print_taken(&out) : cli_fail(&err);
}
