/* weights/safetensors.c: a header is believed only where it fits the bytes. Files are made in memory and lie in pieces of exactly their size, so that a
 * sanitizer sees a read too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/fault.h"
#include "weights/safetensors.h"

#define ENTRY(dtype, shape, begin, end) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* ---- files in memory */

typedef struct parsed {
    qw_map map;
    qw_arena names;
    qw_tensor *tensors;
    size_t n;
    qwren_error err;
} parsed;

static void put_length(uint8_t *p, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(n >> 8 * i);
}

static qwren_status parse_bytes(parsed *p, const void *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    *p = (parsed){ .map = { n ? copy : NULL, n } };
    if (!n)
        free(copy);
    qw_arena_init(&p->names, 256);
    return qw_safetensors_parse(&p->map, "some/folder/m.safetensors", &p->names, &p->tensors, &p->n, &p->err);
}

static void forget(parsed *p)
{
    free((void *)p->map.data);
    qw_free(p->tensors);
    qw_arena_deinit(&p->names);
}

/* Length, header, and data bytes 0, 1, 2, ... */
static size_t make_file(uint8_t *out, size_t room, const char *header, size_t header_len, size_t n_data)
{
    assert_true(8 + header_len + n_data <= room);
    put_length(out, header_len);
    memcpy(out + 8, header, header_len);
    for (size_t i = 0; i < n_data; i++)
        out[8 + header_len + i] = (uint8_t)i;
    return 8 + header_len + n_data;
}

static qwren_status parse_header(parsed *p, const char *header, size_t n_data)
{
    static uint8_t file[1 << 20];
    return parse_bytes(p, file, make_file(file, sizeof file, header, strlen(header), n_data));
}

static const qw_tensor *named(const parsed *p, const char *file_name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->tensors[i].file_name, file_name) == 0)
            return &p->tensors[i];
    fail_msg("no tensor %s", file_name);
    return NULL;
}

/* Whatever a header says, what comes out lies inside the file. */
static void expect_inside(const parsed *p)
{
    const uint8_t *end = p->map.data + p->map.size;
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        const uint8_t *data = p->tensors[i].data;
        assert_true(data >= p->map.data + 8 && data <= end && p->tensors[i].n_bytes <= (size_t)(end - data));
        for (size_t k = 0; k < p->tensors[i].n_bytes; k++)
            sum = (uint8_t)(sum + data[k]);
    }
}

/* ---- what is read */

static const char small_file[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"model.norm.weight\":" ENTRY("F32", "[2]", 0, 8) ","
                                                       "\"lm_head.weight\":" ENTRY("BF16", "[2,3]", 8, 20) "}  ";

static void test_reads(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(parse_header(&p, small_file, 20), QWREN_OK);
    assert_int_equal(p.n, 2);
    const qw_tensor *norm = &p.tensors[0], *head = &p.tensors[1];
    assert_string_equal(norm->file_name, "model.norm.weight");
    assert_string_equal(norm->name, "norm.weight");
    assert_string_equal(norm->file, "m.safetensors");
    assert_string_equal(norm->dtype, "F32");
    assert_int_equal(norm->type, QW_TYPE_F32);
    assert_int_equal(norm->n_dims, 1);
    assert_int_equal(norm->shape[0], 2);
    assert_int_equal(norm->n_bytes, 8);
    assert_memory_equal(norm->data, "\0\1\2\3\4\5\6\7", 8);
    assert_int_equal(head->type, QW_TYPE_BF16);
    assert_int_equal(head->n_dims, 2);
    assert_int_equal(head->shape[0], 2);
    assert_int_equal(head->shape[1], 3);
    assert_int_equal(head->n_bytes, 12);
    assert_int_equal(*(const uint8_t *)head->data, 8);
    expect_inside(&p);
    forget(&p);
}

static const struct good_row {
    const char *what, *header;
    size_t n_data, n_tensors;
} good[] = {
    { "no tensors", "{}", 0, 0 },
    { "only metadata", "{\"__metadata__\":{}}", 0, 0 },
    { "no metadata", "{\"__metadata__\":null}", 0, 0 },
    { "metadata of MLX", "{\"__metadata__\":{\"format\":\"mlx\"}}", 0, 0 },
    { "blanks behind", "{\"a\":" ENTRY("U8", "[1]", 0, 1) "} \n\t ", 1, 1 },
    { "blanks inside", "{ \"a\" : { \"dtype\" : \"U8\" , \"shape\" : [ 1 ] , \"data_offsets\" : [ 0 , 1 ] } }", 1, 1 },
    { "one value without a dimension", "{\"a\":" ENTRY("F32", "[]", 0, 4) "}", 4, 1 },
    { "five dimensions", "{\"a\":" ENTRY("F16", "[1,3,2,1,1]", 0, 12) "}", 12, 1 },
    { "data at an odd place", "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"b\":" ENTRY("F32", "[1]", 1, 5) "}", 5, 2 },
    { "an empty tensor", "{\"a\":" ENTRY("F32", "[0,7]", 0, 0) "}", 0, 1 },
    { "empty tensors at one place",
      "{\"a\":" ENTRY("F32", "[1]", 0, 4) ",\"b\":" ENTRY("F32", "[0]", 4, 4) ",\"c\":" ENTRY("I64", "[2,0]", 4, 4) ",\"d\":" ENTRY(
          "U8", "[2]", 4, 6) ",\"e\":" ENTRY("U8", "[0]", 0, 0) "}",
      6, 5 },
    { "order of the header is not order of the data", "{\"a\":" ENTRY("U8", "[1]", 2, 3) ",\"b\":" ENTRY("U8", "[2]", 0, 2) "}", 3, 2 },
    { "types that no layer reads",
      "{\"a\":" ENTRY("BOOL", "[3]", 0, 3) ",\"b\":" ENTRY("F8_E4M3", "[5]", 3,
                                                           8) ",\"c\":" ENTRY("F4", "[3]", 8, 10) ",\"d\":" ENTRY("", "[9]", 10, 11) "}",
      11, 4 },
    { "keys of later versions", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"checksum\":{\"kind\":[\"x\",{\"y\":1}]}}}",
      1, 1 },
    { "names that look like syntax",
      "{\"a\\\"},{\":" ENTRY("U8", "[1]", 0, 1) ",\"\\\\\":" ENTRY("U8", "[1]", 1, 2) ",\"\":" ENTRY("U8", "[1]", 2, 3) "}", 3, 3 },
    { "names beyond ASCII", "{\"h\\u00e9llo\":" ENTRY("U8", "[1]", 0, 1) ",\"\\ud83d\\ude00\":" ENTRY("U8", "[1]", 1, 2) "}", 2, 2 },
    { "format tf", "{\"__metadata__\":{\"format\":\"tf\",\"x\":\"\"}}", 0, 0 },
};

static void test_accepts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        parsed p;
        if (parse_header(&p, good[i].header, good[i].n_data) != QWREN_OK)
            fail_msg("%s: %s", good[i].what, p.err.text);
        assert_int_equal(p.n, good[i].n_tensors);
        expect_inside(&p);
        for (size_t k = 1; k < p.n; k++)
            assert_true((const uint8_t *)p.tensors[k].data >= (const uint8_t *)p.tensors[k - 1].data);
        forget(&p);
    }
}

static void test_unknown_types_are_recorded(void **state)
{
    (void)state;
    parsed p;
    assert_int_equal(parse_header(&p, "{\"a\":" ENTRY("F8_E4M3", "[2,2]", 0, 4) ",\"b\":" ENTRY("F64", "[1]", 4, 12) "}", 12), QWREN_OK);
    const qw_tensor *t = named(&p, "a");
    assert_int_equal(t->type, QW_TYPE_OTHER);
    assert_string_equal(t->dtype, "F8_E4M3");
    assert_int_equal(t->n_bytes, 4);
    assert_int_equal(named(&p, "b")->type, QW_TYPE_F64);
    forget(&p);
    assert_int_equal(parse_header(&p, "{\"a\":" ENTRY("U8\\u0000", "[9]", 0, 1) "}", 1), QWREN_OK); /* not U8, whatever C thinks */
    assert_int_equal(p.tensors[0].type, QW_TYPE_OTHER);
    forget(&p);
}

/* ---- what is refused */

static const struct bad_row {
    const char *header;
    size_t n_data;
    qwren_status status;
    const char *says; /* part of the message */
} bad[] = {
    /* JSON */
    { "", 0, QWREN_E_FORMAT, "does not begin with '{'" },
    { "[]", 0, QWREN_E_FORMAT, "does not begin with '{'" },
    { " {}", 0, QWREN_E_FORMAT, "does not begin with '{'" },
    { "{", 0, QWREN_E_FORMAT, "line 1" },
    { "{\"a\":", 0, QWREN_E_FORMAT, "line 1" },
    { "{} x", 0, QWREN_E_FORMAT, "line 1" },
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",}", 1, QWREN_E_FORMAT, "line 1" },
    { "{\"\xff\":" ENTRY("U8", "[1]", 0, 1) "}", 1, QWREN_E_FORMAT, "UTF-8" },
    { "{\"\\ud800\":" ENTRY("U8", "[1]", 0, 1) "}", 1, QWREN_E_FORMAT, "surrogate" },
    /* entries */
    { "{\"a\":1}", 0, QWREN_E_FORMAT, "tensor a: its entry is no object" },
    { "{\"a\":null}", 0, QWREN_E_FORMAT, "tensor a: its entry is no object" },
    { "{\"a\":[]}", 0, QWREN_E_FORMAT, "tensor a: its entry is no object" },
    { "{\"a\":{}}", 0, QWREN_E_FORMAT, "\"dtype\" is missing" },
    { "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, QWREN_E_FORMAT, "\"dtype\" is missing or no text" },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, QWREN_E_FORMAT, "\"shape\" is missing" },
    { "{\"a\":" ENTRY("U8", "1", 0, 1) "}", 1, QWREN_E_FORMAT, "\"shape\" is missing or no list" },
    { "{\"a\":" ENTRY("U8", "{}", 0, 1) "}", 1, QWREN_E_FORMAT, "\"shape\" is missing or no list" },
    { "{\"a\":" ENTRY("U8", "[-1]", 0, 1) "}", 1, QWREN_E_FORMAT, "no size" },
    { "{\"a\":" ENTRY("U8", "[1.0]", 0, 1) "}", 1, QWREN_E_FORMAT, "no size" },
    { "{\"a\":" ENTRY("U8", "[\"1\"]", 0, 1) "}", 1, QWREN_E_FORMAT, "no size" },
    { "{\"a\":" ENTRY("U8", "[null]", 0, 1) "}", 1, QWREN_E_FORMAT, "no size" },
    { "{\"a\":" ENTRY("U8", "[99999999999999999999]", 0, 1) "}", 1, QWREN_E_FORMAT, "no size" },
    { "{\"a\":" ENTRY("U8", "[1,1,1,1,1,1]", 0, 1) "}", 1, QWREN_E_UNSUPPORTED, "6 dimensions, supported are up to 5" },
    { "{\"a\":" ENTRY("U8", "[4294967296,4294967296]", 0, 0) "}", 0, QWREN_E_FORMAT, "overflows" },
    { "{\"a\":" ENTRY("U8", "[4294967296,4294967296,0]", 0, 0) "}", 0, QWREN_E_FORMAT, "overflows" },
    { "{\"a\":" ENTRY("F32", "[4611686018427387904]", 0, 0) "}", 0, QWREN_E_FORMAT, "overflows" },
    { "{\"a\":" ENTRY("F32", "[4611686018427387905]", 0, 4) "}", 4, QWREN_E_FORMAT, "overflows" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{\"0\":0,\"1\":1}}}", 1, QWREN_E_FORMAT,
      "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0.0,1.0]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1e0]}}", 1, QWREN_E_FORMAT, "\"data_offsets\" is no list of two" },
    { "{\"a\":" ENTRY("U8", "[1]", 1, 0) "}", 1, QWREN_E_FORMAT, "end before they begin" },
    { "{\"a\":" ENTRY("U8", "[2]", 0, 2) "}", 1, QWREN_E_FORMAT, "tensor a ends at byte 2 of 1" },
    { "{\"a\":" ENTRY("U8", "[1]", 9223372036854775806, 9223372036854775807) "}", 1, QWREN_E_FORMAT, "cut off" },
    { "{\"a\":" ENTRY("F8", "[1]", 0, 2) "}", 1, QWREN_E_FORMAT, "cut off" },
    /* shape against bytes */
    { "{\"a\":" ENTRY("F32", "[2,3]", 0, 20) "}", 20, QWREN_E_FORMAT, "tensor a holds 20 bytes, its shape [2, 3] of F32 needs 24" },
    { "{\"a\":" ENTRY("F32", "[]", 0, 0) "}", 0, QWREN_E_FORMAT, "its shape [] of F32 needs 4" },
    { "{\"a\":" ENTRY("BF16", "[3]", 0, 12) "}", 12, QWREN_E_FORMAT, "its shape [3] of BF16 needs 6" },
    { "{\"a\":" ENTRY("F32", "[0]", 0, 4) "}", 4, QWREN_E_FORMAT, "needs 0" },
    /* names */
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"a\":" ENTRY("U8", "[1]", 0, 1) "}", 1, QWREN_E_FORMAT, "two tensors are named a" },
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"b\":" ENTRY("U8", "[1]", 1, 2) ",\"\\u0061\":" ENTRY("U8", "[1]", 0, 1) "}", 2, QWREN_E_FORMAT,
      "two tensors are named a" },
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"b\":" ENTRY("U8", "[1]", 1, 2) ",\"b\":" ENTRY("U8", "[1]", 1, 2) ",\"c\":1}", 2,
      QWREN_E_FORMAT, "two tensors are named b" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, QWREN_E_FORMAT, "named __metadata__" },
    { "{\"a\\u0000b\":" ENTRY("U8", "[1]", 0, 1) "}", 1, QWREN_E_FORMAT, "NUL" },
    /* layout */
    { "{\"a\":" ENTRY("U8", "[2]", 0, 2) ",\"b\":" ENTRY("U8", "[2]", 1, 3) "}", 3, QWREN_E_FORMAT, "tensors a and b overlap" },
    { "{\"a\":" ENTRY("U8", "[3]", 0, 3) ",\"b\":" ENTRY("U8", "[3]", 0, 3) "}", 3, QWREN_E_FORMAT, "tensors a and b overlap" },
    { "{\"b\":" ENTRY("U8", "[9]", 0, 9) ",\"a\":" ENTRY("U8", "[0]", 4, 4) "}", 9, QWREN_E_FORMAT, "tensors b and a overlap" },
    { "{\"a\":" ENTRY("U8", "[1]", 1, 2) "}", 2, QWREN_E_FORMAT, "1 bytes before tensor a belong to no tensor" },
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"b\":" ENTRY("U8", "[1]", 4, 5) "}", 5, QWREN_E_FORMAT, "3 bytes before tensor b" },
    { "{\"a\":" ENTRY("U8", "[1]", 0, 1) "}", 4, QWREN_E_FORMAT, "3 bytes behind the last tensor" },
    { "{}", 7, QWREN_E_FORMAT, "7 bytes behind the last tensor" },
    /* metadata */
    { "{\"__metadata__\":[]}", 0, QWREN_E_FORMAT, "\"__metadata__\" is no object" },
    { "{\"__metadata__\":{\"x\":1}}", 0, QWREN_E_FORMAT, "\"__metadata__\": x is no text" },
};

static void expect_refusal(parsed *p, qwren_status st, qwren_status want, const char *says, const char *what)
{
    if (st != want || p->err.code != want || !strstr(p->err.text, says) || !strstr(p->err.text, "m.safetensors"))
        fail_msg("%s: %s \"%s\", wanted %s \"%s\"", what, qwren_status_name(st), p->err.text, qwren_status_name(want), says);
    assert_null(p->tensors);
    assert_int_equal(p->n, 0);
    forget(p);
}

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        parsed p;
        qwren_status st = parse_header(&p, bad[i].header, bad[i].n_data);
        expect_refusal(&p, st, bad[i].status, bad[i].says, bad[i].header);
    }
}

static void test_refuses_frames(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        size_t file_bytes;
        const char *says;
    } rows[] = {
        { 0, 0, "has 0 bytes" },
        { 0, 7, "has 7 bytes" },
        { 0, 8, "does not begin with '{'" },
        { 1, 8, "claims 1 bytes and only 0 follow" },
        { 100, 107, "claims 100 bytes and only 99 follow" },
        { UINT64_MAX, 200, "claims 18446744073709551615 bytes" },
        { UINT64_MAX - 7, 200, "claims 18446744073709551608 bytes" },
        { (uint64_t)1 << 63, 200, "claims 9223372036854775808 bytes" },
        { 100000000, 200, "claims 100000000 bytes" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t file[256] = { 0 };
        parsed p;
        put_length(file, rows[i].length);
        qwren_status st = parse_bytes(&p, file, rows[i].file_bytes);
        expect_refusal(&p, st, QWREN_E_FORMAT, rows[i].says, rows[i].says);
    }
}

static void test_refuses_lfs_pointer(void **state)
{
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234\n";
    parsed p;
    qwren_status st = parse_bytes(&p, pointer, sizeof pointer - 1);
    expect_refusal(&p, st, QWREN_E_FORMAT, "git lfs pull", "a pointer");
}

/* The mapping of a sparse file of this size costs nothing; the limit is met before a byte of the header is read. */
static void test_refuses_endless_header(void **state)
{
    (void)state;
    size_t n = ((size_t)16 << 20) + 9;
    uint8_t *file = calloc(n, 1);
    assert_non_null(file);
    put_length(file, n - 8);
    parsed p = { .map = { file, n } };
    qw_arena_init(&p.names, 256);
    qwren_status st = qw_safetensors_parse(&p.map, "m.safetensors", &p.names, &p.tensors, &p.n, &p.err);
    expect_refusal(&p, st, QWREN_E_LIMIT, "up to 16777216 are read", "an endless header");
}

static void test_refuses_deep_header(void **state)
{
    (void)state;
    static char header[20000] = "{\"a\":";
    parsed p;
    memset(header + 5, '[', sizeof header - 6);
    qwren_status st = parse_header(&p, header, 0);
    expect_refusal(&p, st, QWREN_E_FORMAT, "nested deeper than 512", "a deep header");
}

/* ---- damage */

/* Cut at every length, in the header and in the data: always refused. */
static void test_every_truncation(void **state)
{
    (void)state;
    uint8_t file[512];
    size_t n = make_file(file, sizeof file, small_file, strlen(small_file), 20);
    for (size_t cut = 0; cut < n; cut++) {
        parsed p;
        if (parse_bytes(&p, file, cut) != QWREN_E_FORMAT)
            fail_msg("cut to %zu bytes of %zu: %s \"%s\"", cut, n, qwren_status_name(p.err.code), p.err.text);
        forget(&p);
    }
}

/* The same with a length that fits the rest: the JSON or the layout must tell. */
static void test_every_shorter_header(void **state)
{
    (void)state;
    uint8_t file[512];
    size_t n = make_file(file, sizeof file, small_file, strlen(small_file), 20);
    for (size_t length = 0; length < strlen(small_file) - 2; length++) { /* the last two are blanks */
        parsed p;
        put_length(file, length);
        if (parse_bytes(&p, file, n) != QWREN_E_FORMAT)
            fail_msg("a header of %zu bytes: %s \"%s\"", length, qwren_status_name(p.err.code), p.err.text);
        forget(&p);
    }
}

/* Every bit of length and header turned, every byte set to some that mean something. */
static void test_every_damaged_byte(void **state)
{
    (void)state;
    static const uint8_t values[] = { 0, 0xFF, '"', '{', '}', '[', ']', ',', ':', '\\', '-', '9', 'e', ' ' };
    uint8_t file[512];
    size_t n = make_file(file, sizeof file, small_file, strlen(small_file), 20);
    for (size_t at = 0; at < n - 20; at++)
        for (size_t k = 0; k < 8 + sizeof values; k++) {
            uint8_t before = file[at];
            parsed p;
            file[at] = k < 8 ? (uint8_t)(before ^ 1 << k) : values[k - 8];
            if (parse_bytes(&p, file, n) == QWREN_OK)
                expect_inside(&p);
            else
                assert_true(p.err.text[0] != '\0');
            forget(&p);
            file[at] = before;
        }
}

/* ---- many tensors: linear, and sorted right */

static void test_many_tensors(void **state)
{
    (void)state;
    enum { N = 9000 };
    static char header[N * 90];
    size_t len = 0;
    parsed p;
    for (int i = 0; i < N; i++) {
        int place = (i * 7919) % N; /* a permutation: 7919 is prime and does not divide N */
        len += (size_t)snprintf(header + len, sizeof header - len, "%c\"t%d\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                                i ? ',' : '{', place, 2 * place, 2 * place + 2);
    }
    header[len++] = '}';
    assert_int_equal(parse_header(&p, header, 2 * N), QWREN_OK);
    assert_int_equal(p.n, N);
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_string_equal(p.tensors[i].name, name);
    }
    forget(&p);
}

/* ---- memory */

static qwren_status parse_small(void *ctx, qwren_error *err)
{
    parsed p;
    qwren_status st = parse_header(&p, ctx, 21);
    *err = p.err;
    forget(&p);
    return st;
}

static const char five_tensors[] = "{\"a\":" ENTRY("F8_E5M2", "[1]", 0, 1) ",\"b\":" ENTRY("F32", "[2]", 1, 9) ",\"c\":" ENTRY(
    "F64", "[1]", 9, 17) ",\"d\":" ENTRY("U8", "[4]", 17, 21) ",\"__metadata__\":{\"x\":\"y\"}}";

static void test_failing_memory(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(parse_small, (void *)five_tensors, 1) >= 4);
    fault_remove();
}

/* An error's own path needs memory as well: it ends in one of the two errors. */
static void test_failing_memory_of_an_error(void **state)
{
    (void)state;
    static const char twice[] = "{\"a\":" ENTRY("U8", "[1]", 0, 1) ",\"a\":" ENTRY("U8", "[1]", 0, 1) "}";
    size_t met = 0;
    fault_install();
    for (size_t n = 1;; n++) {
        qwren_error err;
        size_t failed = fault_failed();
        fault_fail_at(n);
        qwren_status st = parse_small((void *)twice, &err);
        fault_fail_at(0);
        assert_int_equal(fault_live(), 0);
        if (fault_failed() == failed) {
            assert_int_equal(st, QWREN_E_FORMAT);
            break;
        }
        assert_int_equal(st, QWREN_E_MEMORY);
        met++;
    }
    assert_true(met >= 3);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_unknown_types_are_recorded),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_refuses_frames),
        cmocka_unit_test(test_refuses_lfs_pointer),
        cmocka_unit_test(test_refuses_endless_header),
        cmocka_unit_test(test_refuses_deep_header),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_shorter_header),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_many_tensors),
        cmocka_unit_test(test_failing_memory),
        cmocka_unit_test(test_failing_memory_of_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
