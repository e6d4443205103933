/* The tables of a vocabulary in a file beside it, DIR/qwren/vocabulary.bin: mapped when a tokenizer is opened, so that 10 MB of JSON need
 * not be read. It is never believed: it must have been made from exactly these bytes of tokenizer.json, its checksum must be right, and
 * every number in it is checked. Otherwise the JSON is read. Tested by tests/unit/test_tokenizer_cache.c and
 * tests/fuzz/fuzz_vocabulary.c. */
#include "base/alloc.h"
#include "base/hash.h"
#include "base/log.h"
#include "tokenizer/vocab.h"

#include <string.h>

#define CACHE_NAME "qwren/vocabulary.bin"

static qw_vocab_stamp stamp_of(const qw_vocab_files *f)
{
    qw_vocab_stamp s = { .json_bytes = f->json.size, .config_bytes = UINT64_MAX };
    s.json_hash = qw_hash_bytes(f->json.data, f->json.size);
    if (f->has_config) {
        s.config_bytes = f->config.size;
        s.config_hash = qw_hash_bytes(f->config.data, f->config.size);
    }
    return s;
}

/* ---- reading */

/* Why the file is of no use; NULL when it is. The cheap questions come first. */
static const char *fault_of(const qw_map *m, const qw_vocab_files *f)
{
    if (m->size < sizeof(qw_vocab_header))
        return "it is cut short";
    const qw_vocab_header *h = (const void *)m->data;
    if (h->stamp.json_bytes != f->json.size || h->stamp.config_bytes != (f->has_config ? f->config.size : UINT64_MAX))
        return "it was made from other files";
    qw_vocab_stamp stamp = stamp_of(f);
    if (memcmp(&h->stamp, &stamp, sizeof stamp) != 0)
        return "it was made from other files";
    const char *fault = qw_vocab_fault(m->data, m->size);
    if (!fault && h->checksum != qw_vocab_checksum(m->data, m->size))
        fault = "its checksum is wrong";
    return fault;
}

static qwren_status attach(qw_tokenizer **out, qw_map *m, qwren_error *err)
{
    qw_tokenizer *t = qw_calloc(1, sizeof *t);
    if (!t)
        return qw_fail_memory(err, sizeof *t, "a tokenizer");
    t->map = *m;
    *m = (qw_map){ 0 };
    qwren_status st = qw_vocab_attach(t, t->map.data, err);
    if (st == QWREN_OK)
        *out = t;
    else
        qw_tokenizer_close(t);
    return st;
}

static qwren_status read_file(qw_tokenizer **out, const char *path, const qw_vocab_files *f, qwren_error *err)
{
    qw_map map;
    qwren_error ignored;
    if (!qw_file_exists(path))
        return QWREN_OK;
    if (qw_map_open(&map, path, &ignored) != QWREN_OK) {
        qw_log(QWREN_LOG_INFO, "%s; tokenizer.json is read instead", ignored.text);
        return QWREN_OK;
    }
    const char *fault = fault_of(&map, f);
    if (fault)
        qw_log(QWREN_LOG_INFO, "%s: %s; tokenizer.json is read instead", path, fault);
    qwren_status st = fault ? QWREN_OK : attach(out, &map, err);
    qw_map_close(&map);
    return st;
}

qwren_status qw_vocab_read_cache(qw_tokenizer **out, const qw_vocab_files *f, const char *dir, qwren_error *err)
{
    char *path = qw_path_join(dir, CACHE_NAME);
    *out = NULL;
    if (!path)
        return qw_fail_memory(err, strlen(dir), "a file's name");
    qwren_status st = read_file(out, path, f, err);
    qw_free(path);
    return st;
}

/* ---- writing */

qwren_status qw_tokenizer_write_tables(const char *dir, const char *path, qwren_error *err)
{
    qw_vocab_files f;
    qw_tokenizer *t = NULL;
    qwren_status st = qw_vocab_files_open(&f, dir, err);
    if (st == QWREN_OK)
        st = qw_vocab_parse_files(&t, &f, err);
    if (st == QWREN_OK) {
        qw_vocab_header *h = (void *)t->heap;
        h->stamp = stamp_of(&f);
        h->checksum = qw_vocab_checksum(t->heap, (size_t)h->n_bytes);
        st = qw_file_write(path, t->heap, (size_t)h->n_bytes, err);
    }
    qw_tokenizer_close(t);
    qw_vocab_files_close(&f);
    return st;
}
