/* Tables of `qwren quantize` (quantize_report.h). Tested by tests/cli/quantize.sh. */
#include "quantize_report.h"

#include "base/affix.h"
#include "base/alloc.h"
#include "base/file.h"
#include "table.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_RECIPE_BYTES ((size_t)64 << 20)
#define MAX_CLASSES 32

/* ---- the plan */

static void put_planned(qw_buf *out, const qw_json *t)
{
    char shape[96] = "";
    const qw_json *dims = qw_json_get(t, "shape");
    size_t at = 0;
    for (size_t i = 0; i < qw_json_size(dims) && at < sizeof shape; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, i ? " x %lld" : "%lld", (long long)qw_json_int(qw_json_at(dims, i), 0));
    int bits = (int)qw_json_int(qw_json_get(t, "bits"), 0);
    qw_buf_printf(out, "%-46s %-14s %-15s ", cli_text_of(t, "name"), cli_text_of(t, "class"), shape);
    if (bits)
        qw_buf_printf(out, "%d bits / %-3d ", bits, (int)qw_json_int(qw_json_get(t, "group"), 0));
    else
        qw_buf_printf(out, "%-12s ", cli_text_of(t, "type"));
    qw_buf_printf(out, "%12lld", (long long)qw_json_int(qw_json_get(t, "bytes"), 0));
    if (qw_json_get(t, "note"))
        qw_buf_printf(out, "  %s", cli_text_of(t, "note"));
    qw_buf_putc(out, '\n');
}

qwren_status cli_quantize_put_plan(qw_buf *out, const char *json, qwren_error *err)
{
    qw_json *plan;
    QW_TRY(qw_json_parse(&plan, json, strlen(json), "the plan", err));
    const qw_json *tensors = qw_json_get(plan, "tensors");
    qw_buf_printf(out, "%-46s %-14s %-15s %-12s %12s\n", "tensor", "class", "shape", "becomes", "bytes");
    for (size_t i = 0; i < qw_json_size(tensors); i++)
        put_planned(out, qw_json_at(tensors, i));
    qw_buf_printf(out, "\n%-9s %s, %.3f bits per weight of the text model\n", "recipe", cli_text_of(plan, "recipe"),
                  qw_json_number(qw_json_get(plan, "bits_per_weight"), 0));
    qw_buf_printf(out, "%-9s ", "bytes");
    cli_put_short(out, qw_json_number(qw_json_get(plan, "bytes"), 0), "B");
    qw_buf_puts(out, " of ");
    cli_put_short(out, qw_json_number(qw_json_get(plan, "source_bytes"), 0), "B");
    qw_buf_putc(out, '\n');
    qw_json_free(plan);
    return qw_buf_status(out, err);
}

/* ---- what stands in a folder */

static bool is_weights(const char *name) { return qw_ends_with(name, ".safetensors"); }

static uint64_t file_bytes(const char *dir, const char *name)
{
    struct stat s;
    char *path = qw_path_join(dir, name);
    uint64_t n = path && stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0;
    qw_free(path);
    return n;
}

static uint64_t weight_bytes(const char *dir)
{
    DIR *d = opendir(dir);
    uint64_t total = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        total += is_weights(e->d_name) ? file_bytes(dir, e->d_name) : 0;
    if (d)
        closedir(d);
    return total;
}

/* With the draft head, which has a folder of its own. */
static uint64_t model_bytes(const char *dir)
{
    char *mtp = qw_path_join(dir, "mtp");
    uint64_t n = weight_bytes(dir) + (mtp ? weight_bytes(mtp) : 0);
    qw_free(mtp);
    return n;
}

static void put_left(qw_buf *out, const qw_json *names)
{
    for (size_t i = 0; i < qw_json_size(names); i++) {
        const char *name = qw_json_string(qw_json_at(names, i), NULL);
        qw_buf_printf(out, i ? ", %s" : "left     in the source, for no loader needs it: %s", name ? name : "");
    }
    if (qw_json_size(names))
        qw_buf_putc(out, '\n');
}

/* ---- tensors by class */

typedef struct class_row {
    const char *name;
    size_t n, n_kept, n_errors;
    int least, most; /* bits */
    double errors;
} class_row;

static class_row *find_row(class_row *rows, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    if (*n == MAX_CLASSES)
        return NULL;
    rows[*n] = (class_row){ .name = name };
    return &rows[(*n)++];
}

static void add_tensor(class_row *row, const qw_json *t)
{
    int bits = (int)qw_json_int(qw_json_get(t, "bits"), 0);
    row->n++;
    if (!bits) {
        row->n_kept++;
        return;
    }
    row->least = row->least && row->least < bits ? row->least : bits;
    row->most = row->most > bits ? row->most : bits;
    row->errors += qw_json_number(qw_json_get(t, "error"), 0);
    row->n_errors++;
}

static size_t count_classes(const qw_json *recipe, class_row rows[MAX_CLASSES])
{
    size_t n = 0;
    const qw_json *tensors = qw_json_get(recipe, "tensors");
    for (qw_json_iter it = qw_json_first(tensors); it.key; qw_json_next(tensors, &it)) {
        class_row *row = find_row(rows, &n, cli_text_of(it.value, "class"));
        if (row)
            add_tensor(row, it.value);
    }
    return n;
}

static void put_class(qw_buf *out, const class_row *r)
{
    qw_buf_printf(out, "  %-16s %4zu  ", r->name, r->n);
    if (r->n_kept == r->n)
        qw_buf_puts(out, "kept");
    else if (r->least == r->most)
        qw_buf_printf(out, "%d bits", r->most);
    else
        qw_buf_printf(out, "%d to %d bits", r->least, r->most);
    if (r->n_kept && r->n_kept != r->n)
        qw_buf_printf(out, ", %zu kept", r->n_kept);
    if (r->n_errors)
        qw_buf_printf(out, "  error %.2f %%", 100 * r->errors / (double)r->n_errors);
    qw_buf_putc(out, '\n');
}

/* ---- the summary */

static qwren_status read_recipe(const char *dst, qw_json **out, qwren_error *err)
{
    char *path = qw_path_join(dst, "qwren/recipe.json");
    if (!path)
        return qw_fail_memory(err, strlen(dst), "a path");
    qwren_status st = qw_json_read_file(out, path, MAX_RECIPE_BYTES, err);
    qw_free(path);
    return st;
}

qwren_status cli_quantize_put_summary(qw_buf *out, const cli_quantize_made *made, qwren_error *err)
{
    qw_json *recipe;
    class_row rows[MAX_CLASSES];
    QW_TRY(read_recipe(made->dst, &recipe, err));
    uint64_t before = model_bytes(made->src), after = model_bytes(made->dst);
    qw_buf_printf(out, "made     %s in %.0f s\n", made->dst, made->seconds);
    qw_buf_printf(out, "recipe   %s, %.3f bits per weight of the text model\n", cli_text_of(recipe, "recipe"),
                  qw_json_number(qw_json_get(recipe, "bits_per_weight"), 0));
    qw_buf_puts(out, "weights  ");
    cli_put_short(out, (double)after, "B");
    qw_buf_puts(out, " of ");
    cli_put_short(out, (double)before, "B");
    qw_buf_printf(out, " (%.0f %%)\n", before ? 100.0 * (double)after / (double)before : 0.0);
    qw_buf_puts(out, "tensors  by class, with the error of their codes (root mean square, relative to the weights)\n");
    size_t n = count_classes(recipe, rows);
    for (size_t i = 0; i < n; i++)
        put_class(out, &rows[i]);
    put_left(out, qw_json_get(recipe, "left"));
    qw_buf_printf(out, "try it   qwren chat -m %s\n", made->dst);
    qw_json_free(recipe);
    return qw_buf_status(out, err);
}

qwren_status cli_quantize_put_json(qw_buf *out, const cli_quantize_made *made, qwren_error *err)
{
    qw_json *recipe;
    QW_TRY(read_recipe(made->dst, &recipe, err));
    const char *name = cli_text_of(recipe, "recipe");
    qw_buf_puts(out, "{\"path\": ");
    qw_json_dump_string(out, made->dst, strlen(made->dst));
    qw_buf_puts(out, ", \"recipe\": ");
    qw_json_dump_string(out, name, strlen(name));
    qw_buf_puts(out, ", \"bits_per_weight\": ");
    qw_json_dump_double(out, qw_json_number(qw_json_get(recipe, "bits_per_weight"), 0));
    qw_buf_printf(out, ", \"source_bytes\": %llu, \"bytes\": %llu, \"seconds\": %.3f}\n", (unsigned long long)model_bytes(made->src),
                  (unsigned long long)model_bytes(made->dst), made->seconds);
    qw_json_free(recipe);
    return qw_buf_status(out, err);
}
