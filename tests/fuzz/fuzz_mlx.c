/* Any bytes as a checkpoint for MLX: config.json, a NUL, then the safetensors file. Refused with a sentence, or layers whose matrices lie inside the file
 * whatever shapes, types and widths the two claimed: every row is decoded. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "model/config_parts.h"
#include "model/logical.h"
#include "model/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void decode(const qw_matrix *m)
{
    float *row = qw_alloc_array(m->cols, sizeof *row);
    volatile float sum = 0;
    check(qw_type_is_weight(m->type) && m->rows > 0 && m->cols > 0);
    for (size_t i = 0; row && i < m->rows; i++) {
        qw_matrix_decode(m, i, 0, m->cols, row);
        sum += row[m->cols - 1];
    }
    qw_free(row);
}

static void count(const qw_weights *w, const qw_matrix *bound, const qw_quant_config *quant)
{
    size_t bytes = 0, all = 0;
    for (qw_logical t = { 0 }; qw_logical_next(&t, w, bound, quant);) {
        check(t.n_dims >= 0 && t.n_dims <= QW_MAX_DIMS && t.bits >= 0);
        bytes += t.n_bytes;
        if (t.matrix)
            decode(t.matrix);
    }
    for (size_t i = 0; i < qw_weights_count(w); i++)
        all += qw_weights_at(w, i)->n_bytes;
    check(bytes == all); /* what belongs to codes is counted with them, once */
}

static void bind(const qw_weights *w, const qw_config *c, const qw_quant_config *quant, qw_arena *arena)
{
    qwren_error err = { QWREN_OK, "" };
    qw_text_model m = { 0 };
    qw_matrix *bound = qw_calloc(qw_weights_count(w) + 1, sizeof *bound);
    const qw_binder b = { .weights = w, .arena = arena, .quant = quant, .bound = bound };
    check(bound != NULL);
    check(qw_text_bind(&m, &c->text, &b, &err) == QWREN_OK || err.text[0]);
    count(w, bound, quant);
    count(w, NULL, quant);
    qw_free(bound);
}

/* The second half as a file, since weights are mapped. */
static qw_weights *open_weights(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/qwren-fuzz-XXXXXX";
    qw_weights *w = NULL;
    qwren_error err = { QWREN_OK, "" };
    int fd = mkstemp(path);
    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    check(qw_weights_open_file(&w, path, &err) == QWREN_OK || (!w && err.text[0]));
    unlink(path);
    return w;
}

static void run(const qw_json *root, const uint8_t *file, size_t size)
{
    static qw_config c;
    qw_quant_config quant = { 0 };
    qwren_error err = { QWREN_OK, "" };
    qw_arena arena;
    const qw_fields top = { root, "config.json", "", &err };
    qw_arena_init(&arena, 4096);
    c = (qw_config){ 0 };
    qw_weights *w = NULL;
    if (qw_model_config_read(&c, &top) == QWREN_OK && qw_quant_block_read(&quant.main, &top, &arena) == QWREN_OK)
        w = open_weights(file, size);
    else
        check(err.text[0] != '\0');
    if (w)
        bind(w, &c, &quant, &arena);
    qw_weights_close(w);
    qw_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    qw_json *root;
    qwren_error err;
    if (!end || qw_json_parse(&root, (const char *)data, (size_t)(end - data), "config.json", &err) != QWREN_OK)
        return 0;
    if (qw_json_is(root, QW_JSON_OBJECT))
        run(root, end + 1, size - (size_t)(end - data) - 1);
    qw_json_free(root);
    return 0;
}
