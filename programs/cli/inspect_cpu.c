/* qwren inspect --cpu: the processor, and which kernels it is given. Tested by tests/cli/bench.sh. */
#include "inspect_cpu.h"

#include "table.h"

#include <string.h>

static void put_text(qw_buf *out, const qwren_cpu_info *c)
{
    cli_put_row(out, "processor");
    qw_buf_printf(out, "%s, %d cores for this process, %d logical processors\n", *c->name ? c->name : "not named by the system", c->n_cores,
                  c->n_logical);
    cli_put_row(out, "features");
    qw_buf_printf(out, "%s\n", *c->features ? c->features : "none that matter here");
    cli_put_row(out, "caches");
    for (int i = 0; i < 3; i++) {
        qw_buf_printf(out, i ? ", L%d " : "L%d ", i + 1);
        if (c->cache_bytes[i])
            qw_buf_printf(out, "%zu KB", c->cache_bytes[i] >> 10);
        else
            qw_buf_puts(out, "none or not known");
    }
    qw_buf_putc(out, '\n');
    cli_put_row(out, "kernels");
    qw_buf_printf(out, "%s (there are: %s)\n", c->level, c->levels);
}

static void put_string(qw_buf *out, const char *key, const char *value)
{
    qw_buf_printf(out, "\"%s\": ", key);
    qw_json_dump_string(out, value, strlen(value));
}

/* "a b c" as a list of texts. */
static void put_words(qw_buf *out, const char *key, const char *words)
{
    qw_buf_printf(out, ", \"%s\": [", key);
    for (size_t n; *words; words += n + (words[n] != '\0')) {
        n = strcspn(words, " ");
        qw_json_dump_string(out, words, n);
        qw_buf_puts(out, words[n] ? ", " : "");
    }
    qw_buf_putc(out, ']');
}

void cli_cpu_json(qw_buf *out, const qwren_cpu_info *c)
{
    qw_buf_putc(out, '{');
    put_string(out, "processor", c->name);
    qw_buf_putc(out, ',');
    qw_buf_putc(out, ' ');
    put_string(out, "level", c->level);
    put_words(out, "levels", c->levels);
    put_words(out, "features", c->features);
    qw_buf_printf(out, ", \"cores\": %d, \"logical\": %d, \"cache_bytes\": [%zu, %zu, %zu]}", c->n_cores, c->n_logical, c->cache_bytes[0],
                  c->cache_bytes[1], c->cache_bytes[2]);
}

qwren_status cli_inspect_cpu(qw_buf *out, bool json, qwren_error *err)
{
    qwren_cpu_info c;
    QW_TRY(qwren_get_cpu_info(&c, err));
    if (!json) {
        put_text(out, &c);
        return QWREN_OK;
    }
    cli_cpu_json(out, &c);
    qw_buf_putc(out, '\n');
    return QWREN_OK;
}
