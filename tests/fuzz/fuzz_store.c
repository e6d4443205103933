/* Any bytes as a session file: refused, or what is handed out is whole. First as they are, then as a recipe of blocks whose checksums are
 * right, so that the checks behind those are met. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "runtime/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const qw_text_config config = { .n_layers = 2,
                                       .n_kv_heads = 1,
                                       .head_dim = 8,
                                       .linear_key_heads = 1,
                                       .linear_value_heads = 1,
                                       .linear_key_dim = 2,
                                       .linear_value_dim = 2,
                                       .conv_kernel = 4,
                                       .layer_kinds = { QW_LAYER_DELTA, QW_LAYER_ATTENTION },
                                       .n_attention_layers = 1,
                                       .n_delta_layers = 1 };
static const qw_store_head head = { .kind = QW_SAVED_SESSION, .key = "fuzz", .about = "a fuzzer" };
static const char *path;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void remove_file(void)
{
    if (path)
        unlink(path);
}

static void make_path(void)
{
    static char name[] = "/tmp/qwren-fuzz-XXXXXX";
    if (path)
        return;
    const int fd = mkstemp(name);
    check(fd >= 0);
    close(fd);
    path = name;
    atexit(remove_file);
}

/* Touches all that was handed out. */
static void use(const qw_saved *t, const qw_saved_format *f)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n; i++)
        sum += t->keys[i] + (uint64_t)t->starts[i];
    for (size_t i = 0; i < qw_page_count(t->n); i++)
        sum += *(const uint8_t *)qw_page_data(t->pages[i]);
    for (size_t i = 0; i < t->n_checkpoints; i++) {
        const qw_checkpoint *cp = t->checkpoints[i];
        check(cp->length >= 1 && cp->length <= t->n && cp->kind < QW_CHECKPOINT_KINDS);
        check(i == 0 || t->checkpoints[i - 1]->length < cp->length);
        for (size_t k = 0; k < cp->n_floats; k++)
            sum += cp->floats[k] != 0;
    }
    check(t->n == 0 || t->checkpoints[t->n_checkpoints - 1]->length == t->n);
    check(f->pages.bytes && sum + 1);
}

static void read_file(void)
{
    qw_saved_format f = { .config = &config };
    qw_saved t;
    qw_saved_info info;
    check(qw_page_shape_make(&f.pages, &config, QW_KV_Q8, NULL) == QWREN_OK);
    if (qw_saved_read(&t, path, &head, &f, &(qw_saved_reader){ .most = SIZE_MAX, .writer = &f }, NULL) == QWREN_OK) {
        use(&t, &f);
        check(qw_saved_write(path, &head, &f, &t, NULL, NULL) == QWREN_OK); /* and it can be saved again */
        qw_saved_deinit(&t, &f);
    }
    if (qw_saved_inspect(&info, path, NULL) == QWREN_OK)
        qw_saved_info_deinit(&info);
}

static void write_bytes(const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static size_t state_bytes(void)
{
    static size_t bytes;
    qw_checkpoint *cp;
    if (!bytes) {
        check(qw_checkpoint_create(&cp, &config, NULL) == QWREN_OK);
        bytes = cp->n_floats * sizeof *cp->floats;
        qw_checkpoint_drop(cp);
    }
    return bytes;
}

/* Four bytes make a block: its kind, two numbers in units that make sense more often than not, and how its size differs from what they
 * say. */
static void write_blocks(const uint8_t *data, size_t size)
{
    static const uint32_t tags[] = { QW_SAVED_TOKENS, QW_SAVED_PLACES, QW_SAVED_PAGES, QW_SAVED_STATE, QW_SAVED_MARK, 12345 };
    static uint8_t payload[1 << 16];
    qw_store *s;
    unlink(path);
    check(qw_store_edit(&s, path, &head, NULL) == QWREN_OK);
    for (size_t i = 0; i + 4 <= size && i < 400; i += 4) {
        const uint32_t tag = tags[data[i] % 6];
        const uint64_t unit = data[i] & 128 ? 16 : 1, a = data[i + 1] * unit, b = data[i + 2] * unit, n = b - a;
        const size_t block = qw_kv_block_bytes(QW_KV_Q8, 8);
        uint64_t bytes = tag == QW_SAVED_TOKENS   ? n * 8
                         : tag == QW_SAVED_PLACES ? n * 4
                         : tag == QW_SAVED_PAGES  ? (n + 15) / 16 * block
                         : tag == QW_SAVED_STATE  ? state_bytes()
                                                  : 0;
        bytes += data[i + 3] > 250 ? data[i + 3] : 0;
        if (bytes > sizeof payload)
            bytes = sizeof payload;
        memset(payload, data[i + 3], bytes);
        check(qw_store_put(s, tag, (uint64_t[3]){ a, b, data[i + 3] % 5 }, &(qw_store_part){ payload, (size_t)bytes }, 1, NULL) ==
              QWREN_OK);
    }
    qw_store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_path();
    write_bytes(data, size);
    read_file();
    write_blocks(data, size);
    read_file();
    return 0;
}
