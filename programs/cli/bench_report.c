/* What qwren bench found, as a table, as JSON, as CSV (bench.h). Tested by tests/cli/bench.sh. */
#include "bench.h"

#include "base/json.h"
#include "base/machine.h"
#include "inspect_cpu.h"
#include "models.h"
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = { "prefill", "decode", "image" };

static double joules_per_token(const bench_row *r) { return r->joules / (double)(r->n * r->tokens * r->batch); }

/* ---- the table */

static const char *arithmetic_of(const bench *b)
{
    static const char *const names[] = {
        [QWREN_ARITHMETIC_DEFAULT] = "", [QWREN_ARITHMETIC_DETERMINISTIC] = ", deterministic", [QWREN_ARITHMETIC_EXACT] = ", exact"
    };
    return names[cli_arithmetic(b->args)];
}

static void put_model(qw_buf *out, const bench *b)
{
    const qwren_model_info *m = qwren_model_get_info(b->model);
    cli_put_row(out, "model");
    qw_buf_printf(out, "%s%s%s: %s, ", m->path, m->recipe ? ", recipe " : "", m->recipe ? m->recipe : "", m->format);
    cli_put_short(out, (double)m->n_bytes, "B");
    qw_buf_printf(out, "; text model %.3f bits per weight, ", m->bits_per_weight_text);
    cli_put_short(out, (double)m->n_bytes_text, "B");
    qw_buf_putc(out, '\n');
}

static void put_machine(qw_buf *out, const bench *b)
{
    const qwren_machine_speed *s = &b->machine;
    cli_put_row(out, "machine");
    qw_buf_printf(out, "%s, %d of %d cores, kernels %s%s\n", *b->cpu.name ? b->cpu.name : "processor", s->n_threads, b->cpu.n_cores,
                  b->cpu.level, arithmetic_of(b));
    cli_put_row(out, "limits");
    cli_put_short(out, s->read_bytes_per_s, "B");
    qw_buf_puts(out, "/s read, ");
    cli_put_short(out, s->dot_ops_per_s, "op");
    qw_buf_printf(out, "/s of %s, ", s->dot_name);
    cli_put_short(out, s->float_ops_per_s, "op");
    qw_buf_printf(out, "/s of %s\n", s->float_name);
}

static void put_load(qw_buf *out, const bench *b)
{
    cli_put_row(out, isnan(b->warm_s) ? "made" : "opened");
    if (isnan(b->warm_s))
        qw_buf_printf(out, "in %.3f s\n", b->cold_s);
    else
        qw_buf_printf(out, "in %.3f s, files dropped from memory as far as the system does; again in %.3f s\n", b->cold_s, b->warm_s);
}

static void put_memory(qw_buf *out, const bench *b)
{
    const double weights = (double)qwren_model_get_info(b->model)->n_bytes, sessions = (double)b->session_bytes;
    if (b->peak_bytes == QW_NOT_KNOWN)
        return;
    cli_put_row(out, "memory");
    cli_put_short(out, (double)b->peak_bytes, "B");
    qw_buf_puts(out, " at most: weights ");
    cli_put_short(out, weights, "B");
    qw_buf_puts(out, ", sessions ");
    cli_put_short(out, sessions, "B");
    const double rest = (double)b->peak_bytes - weights - sessions;
    qw_buf_puts(out, rest >= 0 ? ", and " : ", without ");
    cli_put_short(out, fabs(rest), "B");
    qw_buf_puts(out, rest >= 0 ? " besides\n" : " of these that nothing touched\n");
}

static void name_row(char name[64], const bench_row *r)
{
    if (r->kind == BENCH_PREFILL)
        snprintf(name, 64, "prompt %zu", r->tokens);
    else if (r->kind == BENCH_IMAGE)
        snprintf(name, 64, "picture %zu x %zu", r->edge, r->edge);
    else if (r->batch > 1)
        snprintf(name, 64, "decode %zu x %zu at %zu", r->batch, r->tokens, r->depth);
    else
        snprintf(name, 64, "decode %zu at %zu", r->tokens, r->depth);
}

static void put_row(qw_buf *out, const bench *b, const bench_row *r)
{
    char name[64];
    const double read = bench_read_share(b, r), rate = bench_rate(r);
    name_row(name, r);
    qw_buf_printf(out, "%-24s %9.*f  %5.1f %%", name, rate < 100 ? 2 : 1, rate, 100 * bench_spread(r));
    qw_buf_printf(out, isnan(read) ? "         " : "  %5.1f %%", 100 * read);
    qw_buf_printf(out, "  %5.1f %%  ", 100 * bench_peak_share(b, r));
    if (r->kind == BENCH_PREFILL)
        qw_buf_printf(out, "first token %.3f s, cold %.3f s", bench_median(r), r->first_s);
    else if (r->kind == BENCH_IMAGE)
        qw_buf_printf(out, "%.3f s, of these %.3f s to bring it to size; %zu tokens", bench_median(r), r->prepare_s, r->tokens);
    else {
        cli_put_short(out, r->bytes / (double)(r->tokens * r->batch), "B");
        qw_buf_puts(out, " a token");
    }
    if (!isnan(r->joules))
        qw_buf_printf(out, ", %.3g J a token", joules_per_token(r));
    qw_buf_putc(out, '\n');
}

static void put_profile(qw_buf *out, const bench *b, const bench_row *r)
{
    char name[64];
    const double wall = bench_mean(r), left = bench_unexplained(r);
    qwren_profile_entry e;
    name_row(name, r);
    qw_buf_printf(out, "\n%-24s %9s  %7s  %s\n", name, "ms", "of wall", "calls");
    for (size_t i = 0; i < BENCH_KINDS && qwren_model_get_profile(b->model, i, &e); i++)
        if (r->calls[i])
            qw_buf_printf(out, "  %-22s %9.2f  %5.1f %%  %llu\n", e.name, 1e3 * r->spent[i], 100 * r->spent[i] / wall,
                          (unsigned long long)r->calls[i]);
    if (r->prepare_s > 0)
        qw_buf_printf(out, "  %-22s %9.2f  %5.1f %%\n", "bringing it to size", 1e3 * r->prepare_s, 100 * r->prepare_s / wall);
    qw_buf_printf(out, "  %-22s %9.2f  %5.1f %%\n", "between operations", 1e3 * left, 100 * left / wall);
    qw_buf_printf(out, "  %-22s %9.2f\n", "wall", 1e3 * wall);
}

void bench_put_text(qw_buf *out, const bench *b)
{
    put_model(out, b);
    put_machine(out, b);
    put_load(out, b);
    put_memory(out, b);
    qw_buf_printf(out, "\n%-24s %9s  %7s  %7s  %7s\n", "", "tokens/s", "+-", "of read", "of peak");
    for (size_t i = 0; i < b->n_rows; i++)
        put_row(out, b, &b->rows[i]);
    for (size_t i = 0; b->profile && i < b->n_rows; i++)
        put_profile(out, b, &b->rows[i]);
    if (b->energy.source == QW_ENERGY_BATTERY)
        qw_buf_puts(out, "\nEnergy is that of the whole machine, as its battery says.\n");
}

/* ---- JSON */

static void put_number(qw_buf *out, const char *key, double x)
{
    qw_buf_printf(out, ", \"%s\": ", key);
    qw_json_dump_number(out, x);
}

static void put_string(qw_buf *out, const char *key, const char *value)
{
    qw_buf_printf(out, ", \"%s\": ", key);
    if (value)
        qw_json_dump_string(out, value, strlen(value));
    else
        qw_buf_puts(out, "null");
}

static void json_head(qw_buf *out, const bench *b)
{
    const qwren_model_info *m = qwren_model_get_info(b->model);
    qw_buf_printf(out, "{\"version\": \"%s\"", qwren_version());
    put_string(out, "model", m->path);
    put_string(out, "size", m->size_name);
    put_string(out, "format", m->format);
    put_string(out, "recipe", m->recipe);
    put_number(out, "bits_per_weight_text", m->bits_per_weight_text);
    qw_buf_printf(out, ", \"weights_bytes\": %llu, \"text_bytes\": %llu, \"cpu\": ", (unsigned long long)m->n_bytes,
                  (unsigned long long)m->n_bytes_text);
    cli_cpu_json(out, &b->cpu);
    qw_buf_printf(out, ", \"threads\": %d", b->machine.n_threads);
    put_number(out, "read_bytes_per_s", b->machine.read_bytes_per_s);
    put_number(out, "dot_ops_per_s", b->machine.dot_ops_per_s);
    put_string(out, "dot", b->machine.dot_name);
    put_number(out, "float_ops_per_s", b->machine.float_ops_per_s);
    put_string(out, "float", b->machine.float_name);
    put_number(out, isnan(b->warm_s) ? "make_s" : "open_cold_s", b->cold_s);
    put_number(out, "open_warm_s", b->warm_s);
    put_number(out, "peak_bytes", b->peak_bytes == QW_NOT_KNOWN ? (double)NAN : (double)b->peak_bytes);
    qw_buf_printf(out, ", \"session_bytes\": %llu", (unsigned long long)b->session_bytes);
    put_string(out, "arithmetic", *arithmetic_of(b) ? arithmetic_of(b) + 2 : "default");
    put_string(out, "energy", b->energy.source == QW_ENERGY_RAPL ? "rapl" : b->energy.source == QW_ENERGY_BATTERY ? "battery" : NULL);
}

static void json_profile(qw_buf *out, const bench *b, const bench_row *r)
{
    qwren_profile_entry e;
    qw_buf_puts(out, ", \"profile_s\": {");
    for (size_t i = 0; i < BENCH_KINDS && qwren_model_get_profile(b->model, i, &e); i++)
        if (r->calls[i]) {
            qw_buf_printf(out, "\"%s\": ", e.name);
            qw_json_dump_number(out, r->spent[i]);
            qw_buf_puts(out, ", ");
        }
    qw_buf_puts(out, "\"between operations\": ");
    qw_json_dump_number(out, bench_unexplained(r));
    qw_buf_puts(out, "}");
    put_number(out, "mean_s", bench_mean(r));
}

static void json_row(qw_buf *out, const bench *b, const bench_row *r)
{
    qw_buf_printf(out, "{\"test\": \"%s\", \"tokens\": %zu, \"depth\": %zu, \"batch\": %zu", kinds[r->kind], r->tokens, r->depth, r->batch);
    if (r->kind == BENCH_IMAGE) {
        qw_buf_printf(out, ", \"edge\": %zu, \"patches\": %zu", r->edge, r->patches);
        put_number(out, "prepare_s", r->prepare_s);
    }
    put_number(out, "tokens_per_s", bench_rate(r));
    put_number(out, "median_s", bench_median(r));
    put_number(out, "spread", bench_spread(r));
    if (r->kind == BENCH_PREFILL) {
        put_number(out, "first_token_s", bench_median(r));
        put_number(out, "first_token_cold_s", r->first_s);
    }
    put_number(out, "bytes_per_token", r->kind == BENCH_DECODE ? r->bytes / (double)(r->tokens * r->batch) : (double)NAN);
    put_number(out, "ops_per_token", r->ops / (double)(r->tokens * r->batch));
    put_number(out, "read_share", bench_read_share(b, r));
    put_number(out, "peak_share", bench_peak_share(b, r));
    put_string(out, "peak", r->is_float ? "float" : "dot");
    put_number(out, "joules_per_token", joules_per_token(r));
    if (b->profile)
        json_profile(out, b, r);
    qw_buf_puts(out, ", \"samples_s\": [");
    for (size_t i = 0; i < r->n; i++) {
        qw_buf_puts(out, i ? ", " : "");
        qw_json_dump_double(out, r->samples[i]);
    }
    qw_buf_puts(out, "]}");
}

void bench_put_json(qw_buf *out, const bench *b)
{
    json_head(out, b);
    qw_buf_puts(out, ", \"tests\": [");
    for (size_t i = 0; i < b->n_rows; i++) {
        qw_buf_puts(out, i ? ", " : "");
        json_row(out, b, &b->rows[i]);
    }
    qw_buf_puts(out, "]}\n");
}

/* ---- CSV */

static void csv_number(qw_buf *out, double x)
{
    qw_buf_putc(out, ',');
    if (isfinite(x))
        qw_json_dump_double(out, x);
}

void bench_put_csv(qw_buf *out, const bench *b)
{
    const qwren_model_info *m = qwren_model_get_info(b->model);
    qw_buf_puts(out,
                "size,recipe,level,threads,test,tokens,depth,batch,edge,tokens_per_s,median_s,spread,bytes_per_token,read_share,peak_share,"
                "joules_per_token,read_bytes_per_s,dot_ops_per_s,float_ops_per_s\n");
    for (size_t i = 0; i < b->n_rows; i++) {
        const bench_row *r = &b->rows[i];
        qw_buf_printf(out, "%s,%s,%s,%d,%s,%zu,%zu,%zu,%zu", m->size_name, m->recipe ? m->recipe : "", b->cpu.level, b->machine.n_threads,
                      kinds[r->kind], r->tokens, r->depth, r->batch, r->edge);
        csv_number(out, bench_rate(r));
        csv_number(out, bench_median(r));
        csv_number(out, bench_spread(r));
        csv_number(out, r->kind == BENCH_DECODE ? r->bytes / (double)(r->tokens * r->batch) : (double)NAN);
        csv_number(out, bench_read_share(b, r));
        csv_number(out, bench_peak_share(b, r));
        csv_number(out, joules_per_token(r));
        csv_number(out, b->machine.read_bytes_per_s);
        csv_number(out, b->machine.dot_ops_per_s);
        csv_number(out, b->machine.float_ops_per_s);
        qw_buf_putc(out, '\n');
    }
}
