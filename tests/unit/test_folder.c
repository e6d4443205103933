/* convert/folder.c and what it stands on: the folder that quantize makes, finished, broken off at any moment, gone on with, and refused. The codes are made up:
 * what is put in must be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "convert/floats.h"
#include "convert/folder.h"
#include "convert/shards.h"
#include "convert/side_files.h"
#include "support/fault.h"
#include "weights/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NANO QW_MODELS "/qwren-nano"
#define TINY QW_TEST_DATA "/text/tiny-c/hf" /* text alone, a head of its own */
#define JOURNAL "qwren-journal"

static char root[] = "/tmp/qwren-folder-XXXXXX";

/* ---- places */

static const char *in_root(const char *name)
{
    static char paths[4][512];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", root, name);
    return p;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void clear_root(void)
{
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    assert_int_equal(mkdir(root, 0777), 0);
}

static bool is_there(const char *name)
{
    struct stat s;
    return lstat(in_root(name), &s) == 0;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_root(name), "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

/* XXH64 over names and bytes of all files, in the order of their names. */
static uint64_t hash_tree(const char *path)
{
    struct dirent **list;
    qw_hash h;
    qw_hash_init(&h);
    int n = scandir(path, &list, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char inner[1024];
        struct stat s;
        snprintf(inner, sizeof inner, "%s/%s", path, list[i]->d_name);
        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0 && stat(inner, &s) == 0) {
            qw_hash_add(&h, list[i]->d_name, strlen(list[i]->d_name) + 1);
            qw_map m = { 0 };
            qwren_error err;
            if (S_ISREG(s.st_mode))
                ok(qw_map_open(&m, inner, &err), &err);
            uint64_t sub = S_ISDIR(s.st_mode) ? hash_tree(inner) : qw_hash_bytes(m.data ? m.data : (const uint8_t *)"", m.size);
            qw_hash_add(&h, &sub, sizeof sub);
            qw_map_close(&m);
        }
        free(list[i]);
    }
    free(list);
    return qw_hash_value(&h);
}

/* ---- a converter that makes codes up */

typedef struct job {
    const char *src, *dst, *options;
    bool force, fresh;
    size_t stop_after; /* tensors that this run may finish; 0: all */
    size_t n_written;  /* out: tensors that this run finished */
    uint64_t nap_ns;   /* between tensors */
} job;

static unsigned char made_up(size_t tensor, size_t part, size_t offset)
{
    return (unsigned char)(tensor * 31 + part * 7 + offset * 11 + (offset >> 8));
}

static bool choose(const qw_folder *f, const qw_tensor *t, qw_folder_tensor *out)
{
    *out = (qw_folder_tensor){ .source = t, .type = QW_TYPE_OTHER };
    if (!qw_folder_takes(f, t))
        return false;
    if (t->n_dims == 2 && t->shape[1] % 32 == 0 && qw_part_of(t->name) != QW_PART_VISION) {
        bool out_proj = strstr(t->name, "out_proj") != NULL;
        out->type = out_proj || qw_part_of(t->name) == QW_PART_MTP ? QW_TYPE_AFFINE8 : QW_TYPE_AFFINE6;
        out->group = out_proj || t->shape[1] % 64 ? 32 : 64;
    }
    return true;
}

/* Pieces of seven rows, the last first. */
static qwren_status put_codes(qw_folder *f, size_t i, const qw_folder_tensor *t, qwren_error *err)
{
    static unsigned char bytes[3][7 * 4096];
    size_t rows = t->source->shape[0];
    qw_matrix m = { .type = t->type, .cols = t->source->shape[1], .group = t->group, .scale_type = qw_folder_type_of(f, t->source) };
    size_t row_bytes[3] = { qw_matrix_row_bytes(&m), m.cols / (size_t)m.group * qw_type_block_bytes(m.scale_type), 0 };
    row_bytes[2] = row_bytes[1];
    m.data = bytes[0];
    m.scales = bytes[1];
    m.biases = bytes[2];
    assert_true(row_bytes[0] <= 4096);
    for (size_t at = (rows - 1) / 7 * 7;; at -= 7) {
        m.rows = rows - at < 7 ? rows - at : 7;
        for (size_t part = 0; part < 3; part++)
            for (size_t k = 0; k < m.rows * row_bytes[part]; k++)
                bytes[part][k] = made_up(i, part, at * row_bytes[part] + k);
        QW_TRY(qw_folder_put_rows(f, i, at, &m, err));
        if (at == 0)
            return QWREN_OK;
    }
}

static qwren_status fill(qw_folder *f, job *j, const qw_folder_tensor *tensors, size_t n, qwren_error *err)
{
    char record[64];
    QW_TRY(qw_folder_plan(f, tensors, n, 6, 64, err));
    for (size_t i = 0; i < n; i++) {
        if (qw_folder_is_done(f, i))
            continue;
        if (j->stop_after && j->n_written == j->stop_after)
            return qw_fail(err, QWREN_E_CANCELLED, "enough");
        if (tensors[i].type == QW_TYPE_OTHER)
            QW_TRY(qw_folder_put_float(f, i, err));
        else
            QW_TRY(put_codes(f, i, &tensors[i], err));
        snprintf(record, sizeof record, "{\"number\": %zu}", i);
        QW_TRY(qw_folder_done(f, i, record, err));
        j->n_written++;
        nanosleep(&(struct timespec){ .tv_nsec = (long)j->nap_ns }, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(record, sizeof record, "{\"number\": %zu}", i);
        assert_string_equal(qw_folder_record(f, i), record);
        assert_true(qw_folder_checksum(f, i) != 0);
    }
    QW_TRY(qw_folder_put_file(f, "qwren/recipe.json", "{}\n", 3, err));
    return qw_folder_finish(f, err);
}

static qwren_status convert_weights(job *j, const qw_weights *w, qwren_error *err)
{
    qw_folder *f;
    size_t n = 0;
    qw_folder_options opt = { .src = j->src, .dst = j->dst, .options = j->options, .force = j->force, .fresh = j->fresh };
    QW_TRY(qw_folder_open(&f, &opt, err));
    qw_folder_tensor *tensors = malloc(qw_weights_count(w) * sizeof *tensors);
    assert_non_null(tensors);
    for (size_t i = 0; i < qw_weights_count(w); i++)
        n += choose(f, qw_weights_at(w, i), &tensors[n]);
    qwren_status st = fill(f, j, tensors, n, err);
    free(tensors);
    qw_folder_close(f);
    return st;
}

static qwren_status convert(job *j, qwren_error *err)
{
    qw_weights *w;
    j->n_written = 0;
    QW_TRY(qw_weights_open(&w, j->src, err));
    qwren_status st = convert_weights(j, w, err);
    qw_weights_close(w);
    return st;
}

/* What a whole run leaves, made once for each source. */
static uint64_t reference(const char *src)
{
    static const char *srcs[2];
    static uint64_t hashes[2];
    size_t k = 0;
    while (k < 2 && srcs[k] && strcmp(srcs[k], src) != 0)
        k++;
    assert_true(k < 2);
    if (!srcs[k]) {
        qwren_error err;
        job j = { .src = src, .dst = in_root("reference"), .options = "o" };
        ok(convert(&j, &err), &err);
        hashes[k] = hash_tree(in_root("reference"));
        srcs[k] = src;
    }
    clear_root();
    return hashes[k];
}

/* At every moment: a DST is whole, and a DST.partial has no config.json, or is whole. */
static bool check_nothing_half(uint64_t whole)
{
    bool done = is_there("dst");
    if (done) {
        unlink(in_root("dst/" JOURNAL)); /* all that a run killed after the last step leaves */
        assert_true(hash_tree(in_root("dst")) == whole);
        assert_false(is_there("dst.partial"));
    }
    if (is_there("dst.partial/config.json")) {
        for (const char *const *name =
                 (const char *const[]){ "model.safetensors", "model.safetensors.index.json", "tokenizer.json", "qwren/recipe.json", NULL };
             *name; name++) {
            char path[128];
            snprintf(path, sizeof path, "dst.partial/%s", *name);
            assert_true(is_there(path));
        }
    }
    return done;
}

/* ---- a whole run */

static const qw_tensor *find_file_name(const qw_weights *w, const char *prefix, const char *tail)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", prefix, tail);
    for (size_t i = 0; i < qw_weights_count(w); i++)
        if (strcmp(qw_weights_at(w, i)->file_name, name) == 0)
            return qw_weights_at(w, i);
    return NULL;
}

static void expect_float(const qw_tensor *source, const qw_tensor *t, qw_type type)
{
    size_t n = qw_tensor_elements(source);
    float *buf = malloc((n + 1) * sizeof *buf);
    char *want = malloc(n * 4 + 1);
    assert_true(buf && want);
    assert_int_equal(t->type, type);
    assert_int_equal(t->n_bytes, n * qw_type_block_bytes(type));
    qw_mlx_floats(source, type, 0, n, buf, want);
    assert_memory_equal(t->data, want, t->n_bytes);
    free(buf);
    free(want);
}

static void expect_codes(size_t number, size_t part, const qw_tensor *t)
{
    for (size_t k = 0; k < t->n_bytes; k++)
        if (((const unsigned char *)t->data)[k] != made_up(number, part, k))
            fail_msg("%s: byte %zu", t->file_name, k);
}

/* All tensors of the source, where MLX looks for them. */
static void expect_tensors(const char *src, qw_type float_type)
{
    qwren_error err;
    qw_weights *source, *main, *mtp = NULL;
    size_t number = 0, seen = 0;
    ok(qw_weights_open(&source, src, &err), &err);
    ok(qw_weights_open_file(&main, in_root("dst/model.safetensors"), &err), &err);
    if (is_there("dst/mtp"))
        ok(qw_weights_open_file(&mtp, in_root("dst/mtp/model.safetensors"), &err), &err);
    for (size_t i = 0; i < qw_weights_count(source); i++, number++) {
        const qw_tensor *s = qw_weights_at(source, i);
        const char *prefix, *tail = qw_name_to_mlx(s->name, &prefix);
        const qw_weights *w = strncmp(s->name, "mtp.", 4) == 0 ? mtp : main;
        const qw_tensor *t = find_file_name(w, prefix, tail);
        bool keeps = strstr(s->name, "A_log") != NULL || float_type == QW_TYPE_OTHER;
        if (!t)
            fail_msg("%s is missing", tail);
        seen++;
        if (t->type != QW_TYPE_U32) {
            expect_float(s, t, keeps ? s->type : float_type);
            continue;
        }
        char name[256];
        expect_codes(number, 0, t);
        for (size_t part = 1; part < 3; part++, seen++) {
            snprintf(name, sizeof name, "%.*s%s", (int)(strlen(tail) - strlen(".weight")), tail, part == 1 ? ".scales" : ".biases");
            t = find_file_name(w, prefix, name);
            assert_non_null(t);
            expect_codes(number, part, t);
        }
    }
    assert_int_equal(seen, qw_weights_count(main) + (mtp ? qw_weights_count(mtp) : 0));
    qw_weights_close(source);
    qw_weights_close(main);
    qw_weights_close(mtp);
}

static void a_whole_run_leaves_a_checkpoint(void **state)
{
    (void)state;
    static const char *const files[] = {
        "config.json",         "model.safetensors",      "model.safetensors.index.json", "tokenizer.json",  "tokenizer_config.json",
        "chat_template.jinja", "generation_config.json", "preprocessor_config.json",     "mtp/config.json", "mtp/model.safetensors",
        "qwren/recipe.json"
    };
    qwren_error err;
    job j = { .src = NANO, .dst = in_root("dst"), .options = "o" };
    ok(convert(&j, &err), &err);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "dst/%s", files[i]);
        if (!is_there(path))
            fail_msg("%s is missing", path);
    }
    assert_false(is_there("dst.partial"));
    assert_false(is_there("dst/" JOURNAL));
    expect_tensors(NANO, QW_TYPE_BF16);
    clear_root();
}

static void text_alone_with_a_head_of_its_own(void **state)
{
    (void)state;
    qwren_error err;
    job j = { .src = TINY, .dst = in_root("dst"), .options = "o" };
    ok(convert(&j, &err), &err);
    expect_tensors(TINY, QW_TYPE_OTHER);
    assert_false(is_there("dst/mtp"));
    clear_root();
}

/* ---- broken off */

static size_t count_tensors(const char *src)
{
    qwren_error err;
    qw_weights *w;
    ok(qw_weights_open(&w, src, &err), &err);
    size_t n = qw_weights_count(w);
    qw_weights_close(w);
    return n;
}

static void broken_runs_go_on(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(NANO);
    job j = { .src = NANO, .dst = in_root("dst"), .options = "o", .stop_after = 9 };
    char dst[512];
    snprintf(dst, sizeof dst, "%s", j.dst);
    j.dst = dst;
    size_t n_runs = 0, n_written = 0;
    while (convert(&j, &err) == QWREN_E_CANCELLED) {
        assert_int_equal(j.n_written, 9);
        n_written += j.n_written;
        n_runs++;
        assert_false(check_nothing_half(whole));
        assert_false(is_there("dst.partial/config.json"));
    }
    assert_true(n_runs > 3);
    assert_true(check_nothing_half(whole));
    n_written += j.n_written;
    assert_int_equal(n_written, count_tensors(NANO)); /* nothing was written twice */
    clear_root();
}

/* A byte that changed, a line that was cut: the tensors that it concerns are made again. */
static void damage_is_found(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o", .stop_after = 20 };
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED);
    int fd = open(in_root("dst.partial/model.safetensors"), O_RDWR);
    unsigned char length[8];
    assert_int_equal(pread(fd, length, 8, 0), 8);
    off_t data = 8 + (off_t)(length[0] + 256u * length[1] + 65536u * length[2]);
    unsigned char b;
    assert_int_equal(pread(fd, &b, 1, data), 1);
    b ^= 1;
    assert_int_equal(pwrite(fd, &b, 1, data), 1);
    close(fd);
    write_file("dst.partial/" JOURNAL, "[\"done\", \"25\", \"0123456789abcd");
    j.stop_after = 3;
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED); /* makes the first one again, and two more */
    j.stop_after = 0;
    ok(convert(&j, &err), &err);
    assert_int_equal(j.n_written, count_tensors(TINY) - 22);
    assert_true(check_nothing_half(whole));
    clear_root();
}

static void killed_at_any_moment(void **state)
{
    (void)state;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    unsigned long long random = 88172645463325252u;
    size_t n_kills = 0;
    for (int round = 0; round < 3; round++) {
        for (int run = 0;; run++) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                qwren_error err;
                job j = { .src = TINY, .dst = dst, .options = "o", .nap_ns = 300000 };
                _exit(convert(&j, &err) == QWREN_OK ? 0 : 1);
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            nanosleep(&(struct timespec){ .tv_nsec = (long)(random % (1000000u * (unsigned)(20 + 4 * run))) }, NULL);
            kill(child, SIGKILL);
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            n_kills += WIFSIGNALED(status);
            if (!WIFSIGNALED(status) && WEXITSTATUS(status))
                fail_msg("a run that was gone on with failed");
            if (check_nothing_half(whole))
                break;
        }
        clear_root();
    }
    assert_true(n_kills > 3);
}

/* ---- the source's stamp */

static uint64_t stamp(void)
{
    qwren_error err;
    uint64_t x;
    ok(qw_side_files_stamp(root, &x, &err), &err);
    return x;
}

static void a_source_that_was_written_again_is_another(void **state)
{
    (void)state;
    struct timespec times[2] = { { .tv_sec = 1000, .tv_nsec = 1000 }, { .tv_sec = 1000, .tv_nsec = 1000 } };
    write_file("config.json", "{}");
    assert_int_equal(utimensat(AT_FDCWD, in_root("config.json"), times, 0), 0);
    const uint64_t before = stamp();
    assert_true(stamp() == before);
    write_file("README.md", "no part of it");
    assert_true(stamp() == before);
    times[1].tv_nsec = 2000;
    assert_int_equal(utimensat(AT_FDCWD, in_root("config.json"), times, 0), 0);
    assert_true(stamp() != before);
    clear_root();
}

/* ---- refused, replaced */

static void expect_refused(job j, qwren_status status, const char *word)
{
    qwren_error err;
    qwren_status st = convert(&j, &err);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s: \"%s\" should be refused with \"%s\"", j.dst, st == QWREN_OK ? "" : err.text, word);
}

static void other_options_are_not_gone_on_with(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o", .stop_after = 4 };
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED);
    j.options = "p";
    expect_refused(j, QWREN_E_IO, "--no-resume");
    assert_true(is_there("dst.partial/model.safetensors"));
    j.fresh = true;
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED);
    j.stop_after = 0;
    j.fresh = false;
    ok(convert(&j, &err), &err);
    assert_true(check_nothing_half(whole));
    clear_root();
}

static void a_run_that_wrote_nothing_leaves_nothing(void **state)
{
    (void)state;
    qwren_error err;
    qw_folder *f;
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    qw_folder_options opt = { .src = TINY, .dst = dst, .options = "o" };
    ok(qw_folder_open(&f, &opt, &err), &err);
    qw_folder_close(f);
    assert_false(is_there("dst.partial"));
    ok(qw_folder_open(&f, &opt, &err), &err);
    assert_null(qw_folder_kept(f, "sensitivity"));
    ok(qw_folder_keep(f, "sensitivity", "{\"a\": 1}", &err), &err);
    ok(qw_folder_keep(f, "sensitivity", "{\"a\": 2}", &err), &err);
    qw_folder_close(f);
    ok(qw_folder_open(&f, &opt, &err), &err);
    assert_string_equal(qw_folder_kept(f, "sensitivity"), "{\"a\": 2}");
    qw_folder *second;
    assert_int_equal(qw_folder_open(&second, &opt, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "another qwren"));
    assert_null(second);
    qw_folder_close(f);
    clear_root();
}

static void places_that_do_not_do(void **state)
{
    (void)state;
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o" };
    expect_refused((job){ .src = "/nowhere", .dst = dst }, QWREN_E_IO, "/nowhere");
    expect_refused((job){ .src = TINY, .dst = TINY }, QWREN_E_ARGUMENT, "the source itself");
    expect_refused((job){ .src = TINY, .dst = TINY "/../hf/" }, QWREN_E_ARGUMENT, "the source itself");
    expect_refused((job){ .src = TINY, .dst = TINY "/out" }, QWREN_E_ARGUMENT, "lies in the source");
    expect_refused((job){ .src = TINY, .dst = QW_TEST_DATA "/text/tiny-c", .force = true }, QWREN_E_ARGUMENT, "holds the source");
    expect_refused((job){ .src = TINY, .dst = in_root("no/such/parent") }, QWREN_E_IO, "no folder");
    expect_refused((job){ .src = TINY, .dst = in_root("..") }, QWREN_E_ARGUMENT, "..");
    expect_refused((job){ .src = TINY, .dst = "/" }, QWREN_E_ARGUMENT, "new folder");
    write_file("dst", "a file");
    expect_refused(j, QWREN_E_IO, "no folder");
    assert_int_equal(unlink(dst), 0);
    assert_int_equal(mkdir(dst, 0777), 0);
    write_file("dst/mine", "mine");
    j.force = true;
    expect_refused(j, QWREN_E_IO, "not made by qwren");
    assert_true(is_there("dst/mine"));
    assert_int_equal(unlink(in_root("dst/mine")), 0); /* an empty folder does */
    assert_int_equal(mkdir(in_root("dst.partial"), 0777), 0);
    write_file("dst.partial/mine", "mine");
    j.fresh = true;
    expect_refused(j, QWREN_E_IO, "in the way");
    assert_true(is_there("dst.partial/mine"));
    assert_int_equal(unlink(in_root("dst.partial/mine")), 0);
    qwren_error err;
    ok(convert(&j, &err), &err);
    clear_root();
}

static void force_replaces_at_the_end(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o" };
    ok(convert(&j, &err), &err);
    expect_refused(j, QWREN_E_IO, "--force");
    write_file("dst/note", "of the old one");
    j.force = true;
    j.stop_after = 3;
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED);
    assert_true(is_there("dst/note"));
    j.stop_after = 0;
    ok(convert(&j, &err), &err);
    assert_false(is_there("dst/note"));
    assert_true(check_nothing_half(whole));
    clear_root();
}

/* A system without RENAME_EXCHANGE, and renames that fail: the system's own are called unless a test says so. */
static bool without_exchange;
static int n_failing; /* renames onto a folder "dst" */

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    const size_t n = strlen(to);
    errno = EINVAL;
    if (flags && without_exchange)
        return -1;
    errno = EACCES;
    if (n > 4 && strcmp(to + n - 4, "/dst") == 0 && n_failing > 0 && n_failing--)
        return -1;
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

static void replaced_where_folders_cannot_change_places(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o", .force = true };
    ok(convert(&j, &err), &err);
    without_exchange = true;
    n_failing = 1; /* the old one is put back */
    write_file("dst/note", "of the old one");
    expect_refused(j, QWREN_E_IO, "cannot be put in place");
    assert_true(is_there("dst/note") && is_there("dst.partial") && !is_there("dst.replaced"));
    ok(convert(&j, &err), &err); /* and what was finished goes there the next time */
    assert_int_equal(j.n_written, 0);
    assert_false(is_there("dst/note") || is_there("dst.partial") || is_there("dst.replaced"));
    n_failing = 2;
    expect_refused(j, QWREN_E_IO, "dst.replaced now");
    assert_true(is_there("dst.replaced/config.json") && !is_there("dst"));
    ok(convert(&j, &err), &err);
    without_exchange = false;
    assert_true(check_nothing_half(whole));
    clear_root();
}

/* As a run leaves it that is killed between its last step and the removal of what it replaced. */
static void what_was_replaced_may_be_left(void **state)
{
    (void)state;
    qwren_error err;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o" };
    ok(convert(&j, &err), &err);
    assert_int_equal(rename(dst, in_root("dst.partial")), 0);
    expect_refused(j, QWREN_E_IO, "a model that qwren made and replaced");
    assert_true(is_there("dst.partial/config.json"));
    j.force = true;
    ok(convert(&j, &err), &err);
    assert_true(check_nothing_half(whole));
    clear_root();
}

/* To root only the system's own folders are closed. */
static void a_folder_that_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_root("locked"), 0555), 0);
    const char *dst = geteuid() ? in_root("locked/dst") : "/proc/qwren-dst";
    expect_refused((job){ .src = TINY, .dst = dst }, QWREN_E_IO, geteuid() || is_there("../../proc") ? "cannot be made" : "no folder");
    clear_root();
}

/* ---- a full disk, short memory */

static void a_full_disk(void **state)
{
    (void)state;
    qwren_error err;
    struct rlimit old, small;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o", .stop_after = 5 };
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    qwren_status st = convert(&j, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, QWREN_E_IO);
    assert_non_null(strstr(err.text, "model.safetensors: cannot be written"));
    assert_false(is_there("dst"));
    assert_false(is_there("dst.partial"));
    /* and later, when the weights have their space but the journal finds none */
    assert_int_equal(convert(&j, &err), QWREN_E_CANCELLED);
    struct stat s;
    assert_int_equal(stat(in_root("dst.partial/" JOURNAL), &s), 0);
    small.rlim_cur = (rlim_t)s.st_size + 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    st = convert(&j, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, QWREN_E_IO);
    j.stop_after = 0;
    ok(convert(&j, &err), &err);
    assert_true(check_nothing_half(whole));
    clear_root();
}

static qwren_status convert_again(void *ctx, qwren_error *err)
{
    job *j = ctx;
    return convert(j, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    uint64_t whole = reference(TINY);
    char dst[512];
    snprintf(dst, sizeof dst, "%s/dst", root);
    job j = { .src = TINY, .dst = dst, .options = "o", .force = true };
    fault_install();
    assert_true(fault_try_all(convert_again, &j, 1) > 100);
    fault_remove();
    assert_true(check_nothing_half(whole));
    clear_root();
}

/* ---- several weight files */

static void weights_are_cut_into_files(void **state)
{
    (void)state;
    qwren_error err;
    qw_shards *s;
    qw_buf index = QW_BUF_INIT;
    qw_json *json;
    size_t inner;
    const qw_st_entry entries[] = {
        { .name = "d", .type = QW_TYPE_F32, .n_dims = 1, .shape = { 10 } },
        { .name = "a", .type = QW_TYPE_F32, .n_dims = 1, .shape = { 15 } },
        { .name = "c", .type = QW_TYPE_F32, .n_dims = 1, .shape = { 100 } },
        { .name = "b", .type = QW_TYPE_F32, .n_dims = 1, .shape = { 1 } },
    };
    ok(qw_shards_create(&s, root, entries, 4, 100, &err), &err);
    qw_st_writer *first = qw_shards_of(s, 1, &inner);
    assert_int_equal(inner, 1);
    assert_ptr_equal(qw_shards_of(s, 0, &inner), first);
    assert_ptr_not_equal(qw_shards_of(s, 2, &inner), qw_shards_of(s, 3, &inner));
    assert_int_equal(inner, 0);
    ok(qw_shards_finish(s, &err), &err);
    ok(qw_shards_index(s, entries, 126, &index, &err), &err);
    qw_shards_close(s);
    assert_true(is_there("model-00001-of-00003.safetensors") && is_there("model-00003-of-00003.safetensors"));
    ok(qw_json_parse(&json, index.data, index.len, "index", &err), &err);
    assert_int_equal(qw_json_int(qw_json_get(qw_json_get(json, "metadata"), "total_size"), 0), 504);
    const qw_json *map = qw_json_get(json, "weight_map");
    assert_string_equal(qw_json_first(map).key, "a");
    assert_string_equal(qw_json_string(qw_json_get(map, "d"), NULL), "model-00001-of-00003.safetensors");
    assert_string_equal(qw_json_string(qw_json_get(map, "b"), NULL), "model-00003-of-00003.safetensors");
    qw_json_free(json);
    FILE *f = fopen(in_root("model.safetensors.index.json"), "wb");
    assert_non_null(f);
    fwrite(index.data, 1, index.len, f);
    fclose(f);
    qw_buf_free(&index);
    qw_weights *w;
    ok(qw_weights_open(&w, root, &err), &err); /* the reader agrees with the index */
    assert_int_equal(qw_weights_count(w), 4);
    qw_weights_close(w);
    clear_root();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_run_leaves_a_checkpoint),
        cmocka_unit_test(text_alone_with_a_head_of_its_own),
        cmocka_unit_test(broken_runs_go_on),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(a_source_that_was_written_again_is_another),
        cmocka_unit_test(other_options_are_not_gone_on_with),
        cmocka_unit_test(a_run_that_wrote_nothing_leaves_nothing),
        cmocka_unit_test(places_that_do_not_do),
        cmocka_unit_test(force_replaces_at_the_end),
        cmocka_unit_test(replaced_where_folders_cannot_change_places),
        cmocka_unit_test(what_was_replaced_may_be_left),
        cmocka_unit_test(a_folder_that_cannot_be_written),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(weights_are_cut_into_files),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
