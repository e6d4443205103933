/* The large vocabulary, unpacked (vocabulary.h): each token is two earlier ones joined, so the bits of the pairs are all there is. */
#include "support/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tokenizer/vocab.h"

typedef struct token {
    size_t at, len;      /* its bytes */
    int32_t left, right; /* its pair; left < 0: no merge makes it */
} token;

typedef struct unpacked {
    qw_buf bytes;
    token *tokens;
    int32_t n;
} unpacked;

typedef struct bits {
    const unsigned char *data;
    size_t n, at; /* in bits */
} bits;

static uint32_t take(bits *b, int width)
{
    uint32_t x = 0;
    assert_true(b->at + (size_t)width <= b->n);
    for (int i = 0; i < width; i++, b->at++)
        x |= (uint32_t)(b->data[b->at / 8] >> b->at % 8 & 1) << i;
    return x;
}

static void unpack_token(unpacked *u, int32_t id, bits *b)
{
    token *t = &u->tokens[id];
    *t = (token){ .at = u->bytes.len, .left = -1 };
    int width = 0;
    while (id >> width)
        width++;
    int32_t left = id < 256 ? id : (int32_t)take(b, width), right = id < 256 ? id : (int32_t)take(b, width);
    if (left == id) {
        for (uint32_t n = id < 256 ? 1 : take(b, 8); n > 0; n--)
            qw_buf_putc(&u->bytes, (char)take(b, 8));
    } else {
        assert_true(left < id && right < id);
        t->left = left;
        t->right = right;
        for (size_t i = 0; i < u->tokens[left].len; i++)
            qw_buf_putc(&u->bytes, u->bytes.data[u->tokens[left].at + i]);
        for (size_t i = 0; i < u->tokens[right].len; i++)
            qw_buf_putc(&u->bytes, u->bytes.data[u->tokens[right].at + i]);
    }
    t->len = u->bytes.len - t->at;
}

static unpacked unpack(void)
{
    unpacked u = { QW_BUF_INIT, NULL, 0 };
    char *data;
    size_t len;
    qwren_error err;
    if (qw_file_read(QW_TEST_DATA "/tokenizer/vocabulary.bin", SIZE_MAX / 16, &data, &len, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    bits b = { (const unsigned char *)data, len * 8, 0 };
    u.n = (int32_t)take(&b, 32);
    u.tokens = qw_alloc_array((size_t)u.n, sizeof *u.tokens);
    assert_non_null(u.tokens);
    for (int32_t id = 0; id < u.n; id++)
        unpack_token(&u, id, &b);
    assert_false(u.bytes.failed);
    qw_free(data);
    return u;
}

/* Bytes in the alphabet of tokenizer.json. */
static void spell(qw_buf *out, const unpacked *u, int32_t id)
{
    for (size_t i = 0; i < u->tokens[id].len; i++) {
        unsigned c = (unsigned char)u->bytes.data[u->tokens[id].at + i];
        uint32_t cp = c;
        if (c <= 0x20)
            cp = 0x100 + c;
        else if (c >= 0x7F && c <= 0xA0)
            cp = 0x121 + (c - 0x7F);
        else if (c == 0xAD)
            cp = 0x143;
        char utf8[4];
        size_t n = qw_utf8_encode(cp, utf8);
        if (n == 1 && (utf8[0] == '"' || utf8[0] == '\\'))
            qw_buf_putc(out, '\\');
        qw_buf_append(out, utf8, n);
    }
}

static void print_model(qw_buf *out, const unpacked *u)
{
    qw_buf_puts(out, "{\"type\": \"BPE\", \"vocab\": {");
    for (int32_t id = 0; id < u->n; id++) {
        qw_buf_puts(out, id ? ", \"" : "\"");
        spell(out, u, id);
        qw_buf_printf(out, "\": %d", id);
    }
    qw_buf_puts(out, "}, \"merges\": [");
    const char *comma = "";
    for (int32_t id = 0; id < u->n; id++) {
        if (u->tokens[id].left < 0)
            continue;
        qw_buf_printf(out, "%s\"", comma);
        spell(out, u, u->tokens[id].left);
        qw_buf_putc(out, ' ');
        spell(out, u, u->tokens[id].right);
        qw_buf_putc(out, '"');
        comma = ", ";
    }
    qw_buf_puts(out, "]}");
}

static void print_added(qw_buf *out, const unpacked *u, const qw_json *added)
{
    for (size_t i = 0; i < qw_json_size(added); i++) {
        qw_buf_printf(out, "%s{\"id\": %zu, \"special\": %s, \"content\": ", i ? ", " : "[", (size_t)u->n + i,
                      qw_json_bool(qw_json_get(qw_json_at(added, i), "special"), false) ? "true" : "false");
        qw_json_dump(out, qw_json_get(qw_json_at(added, i), "content"));
        qw_buf_putc(out, '}');
    }
    qw_buf_putc(out, ']');
}

/* The settings and the added tokens are those of the bundled model. */
qw_buf qwen_tokenizer_json(void)
{
    qw_json *frame;
    qw_buf out = QW_BUF_INIT;
    qwren_error err;
    if (qw_json_read_file(&frame, NANO_TOKENIZER, SIZE_MAX / 2, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    unpacked u = unpack();
    for (qw_json_iter it = qw_json_first(frame); it.key; qw_json_next(frame, &it)) {
        qw_buf_printf(&out, "%s\"%s\": ", out.len ? ", " : "{", it.key);
        if (strcmp(it.key, "model") == 0)
            print_model(&out, &u);
        else if (strcmp(it.key, "added_tokens") == 0)
            print_added(&out, &u, it.value);
        else
            qw_json_dump(&out, it.value);
    }
    qw_buf_putc(&out, '}');
    assert_false(out.failed);
    qw_buf_free(&u.bytes);
    qw_free(u.tokens);
    qw_json_free(frame);
    return out;
}

qw_tokenizer *open_qwen_tokenizer(void)
{
    qw_tokenizer *t;
    qwren_error err;
    qw_buf json = qwen_tokenizer_json();
    if (qw_tokenizer_parse(&t, json.data, json.len, NULL, 0, "vocabulary.bin", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    qw_buf_free(&json);
    return t;
}

qw_tokenizer *open_nano_tokenizer(void)
{
    qw_tokenizer *t;
    qwren_error err;
    if (qw_tokenizer_open(&t, QW_MODELS "/qwren-nano", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return t;
}

/* ---- folders */

static char *path_in(const char *folder, const char *name)
{
    char *path = qw_path_join(folder, name);
    assert_non_null(path);
    return path;
}

void folder_make(char path[64])
{
    strcpy(path, "/tmp/qwren-vocabulary-XXXXXX");
    assert_non_null(mkdtemp(path));
    char *sub = path_in(path, "qwren");
    assert_int_equal(mkdir(sub, 0700), 0);
    qw_free(sub);
}

void folder_put(const char *folder, const char *name, const void *bytes, size_t n)
{
    char *path = path_in(folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    qw_free(path);
}

void folder_remove(const char *folder)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "qwren/vocabulary.bin" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_in(folder, names[i]);
        unlink(path);
        qw_free(path);
    }
    char *sub = path_in(folder, "qwren");
    assert_int_equal(rmdir(sub), 0);
    assert_int_equal(rmdir(folder), 0);
    qw_free(sub);
}

qw_tokenizer *open_qwen_tables(void)
{
    char folder[64];
    qw_tokenizer *t = NULL;
    qwren_error err;
    qw_buf json = qwen_tokenizer_json();
    folder_make(folder);
    folder_put(folder, "tokenizer.json", json.data, json.len);
    char *path = path_in(folder, "qwren/vocabulary.bin");
    if (qw_tokenizer_write_tables(folder, path, &err) != QWREN_OK || qw_tokenizer_open(&t, folder, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_non_null(t->map.data);
    folder_remove(folder);
    qw_free(path);
    qw_buf_free(&json);
    return t;
}

/* ---- lists */

static bool looks_special(const char *text, size_t n) { return n >= 4 && memcmp(text, "<|", 2) == 0 && memcmp(text + n - 2, "|>", 2) == 0; }

static void list_tokens(made_lists *m, const qw_json *vocab, const qw_json *added)
{
    enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4 };
    for (qw_json_iter it = qw_json_first(vocab); it.key; qw_json_next(vocab, &it)) {
        int64_t id = qw_json_int(it.value, -1);
        m->tokens[id] = (qw_token_text){ it.key, it.key_len };
        m->types[id] = NORMAL;
    }
    for (size_t i = 0; i < qw_json_size(added); i++) {
        const qw_json *v = qw_json_at(added, i);
        int64_t id = qw_json_int(qw_json_get(v, "id"), -1);
        qw_token_text *t = &m->tokens[id];
        t->data = qw_json_string(qw_json_get(v, "content"), &t->len);
        m->types[id] = qw_json_bool(qw_json_get(v, "special"), false) || looks_special(t->data, t->len) ? CONTROL : USER_DEFINED;
    }
}

static void list_merges(made_lists *m, const qw_json *merges)
{
    for (size_t i = 0; i < qw_json_size(merges); i++) {
        const qw_json *v = qw_json_at(merges, i);
        m->merges[i].data = qw_json_string(v, &m->merges[i].len);
        assert_non_null(m->merges[i].data);
    }
}

made_lists make_lists(const char *json, size_t len, size_t n_unused)
{
    enum { UNUSED = 5 };
    made_lists m = { .root = NULL };
    qwren_error err;
    if (qw_json_parse(&m.root, json, len, "tokenizer.json", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    const qw_json *model = qw_json_get(m.root, "model"), *added = qw_json_get(m.root, "added_tokens");
    const qw_json *vocab = qw_json_get(model, "vocab"), *merges = qw_json_get(model, "merges");
    size_t n_used = qw_json_size(vocab) + qw_json_size(added), n = n_used + n_unused;
    m.tokens = qw_calloc(n, sizeof *m.tokens);
    m.types = qw_calloc(n, sizeof *m.types);
    m.merges = qw_calloc(qw_json_size(merges) + 1, sizeof *m.merges);
    assert_true(m.tokens && m.types && m.merges);
    list_tokens(&m, vocab, added);
    list_merges(&m, merges);
    for (size_t i = n_used; i < n; i++) {
        m.tokens[i] = (qw_token_text){ "[PAD]", 5 };
        m.types[i] = UNUSED;
    }
    m.lists = (qw_token_lists){ m.tokens, n, m.types, n, m.merges, qw_json_size(merges) };
    return m;
}

void free_lists(made_lists *m)
{
    qw_free(m->tokens);
    qw_free(m->types);
    qw_free(m->merges);
    qw_json_free(m->root);
    *m = (made_lists){ .root = NULL };
}

qw_tokenizer *open_qwen_lists(void)
{
    qw_tokenizer *t;
    qwren_error err;
    qw_buf json = qwen_tokenizer_json();
    made_lists m = make_lists(json.data, json.len, 248320 - 248077);
    if (qw_tokenizer_from_lists(&t, &m.lists, "vocabulary.gguf", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    free_lists(&m);
    qw_buf_free(&json);
    return t;
}
