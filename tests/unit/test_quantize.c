/* api/quantize.c and src/convert from end to end: what comes out opens and answers as the source does, tells about itself, and is the same to the byte however the
 * work was cut up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "convert/plan.h"
#include "convert/quantize.h"
#include "support/fault.h"
#include "support/nano.h"
#include "tokenizer/vocab.h"
#include "weights/names.h"

static char root[] = "/tmp/qwren-quantize-XXXXXX";
static char lines_path[64]; /* a calibration file of text */

/* ---- places */

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    snprintf(lines_path, sizeof lines_path, "%s/lines.jsonl", root);
    write_text(lines_path, "{\"text\": \"one two three four five six seven eight nine ten\"}\n\n"
                           "{\"text\": \"The quick brown fox jumps over the lazy dog, and 12 + 7 is 19.\"}\n");
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_root(const char *name)
{
    static char paths[6][512];
    static int next;
    char *p = paths[next++ % 6];
    snprintf(p, sizeof paths[0], "%s/%s", root, name);
    return p;
}

/* ---- short ways */

static void quantize(const char *src, const char *dst, const qwren_quantize_options *o)
{
    qwren_error err;
    if (qwren_quantize(src, dst, o, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

static qwren_quantize_options options(size_t tokens)
{
    qwren_quantize_options o = qwren_quantize_options_default();
    o.calibration_tokens = tokens;
    o.n_threads = 2;
    return o;
}

/* For tiny-c, which has no chat template. */
static qwren_quantize_options tiny_options(void)
{
    qwren_quantize_options o = options(0);
    o.calibration = lines_path;
    return o;
}

static qwren_model *open_model(const char *path)
{
    qwren_model *m;
    qwren_error err;
    qwren_model_options opt = qwren_model_options_default();
    opt.arithmetic = QWREN_ARITHMETIC_EXACT;
    if (qwren_model_open(&m, path, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return m;
}

static void same_file(const char *a, const char *b, const char *name)
{
    char pa[1024], pb[1024], *ta = NULL, *tb = NULL;
    size_t na = 0, nb = 0;
    snprintf(pa, sizeof pa, "%s/%s", a, name);
    snprintf(pb, sizeof pb, "%s/%s", b, name);
    assert_int_equal(qw_file_read(pa, SIZE_MAX / 2, &ta, &na, NULL), QWREN_OK);
    assert_int_equal(qw_file_read(pb, SIZE_MAX / 2, &tb, &nb, NULL), QWREN_OK);
    assert_int_equal(na, nb);
    if (memcmp(ta, tb, na) != 0)
        fail_msg("%s differs between %s and %s", name, a, b);
    qw_free(ta);
    qw_free(tb);
}

static void same_folders(const char *a, const char *b)
{
    static const char *const files[] = { "model.safetensors", "config.json", "qwren/recipe.json", "qwren/check.safetensors",
                                         "qwren/vocabulary.bin" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        same_file(a, b, files[i]);
}

static qw_json *records(const char *dst)
{
    char path[1024];
    qw_json *root_value = NULL;
    qwren_error err;
    snprintf(path, sizeof path, "%s/qwren/recipe.json", dst);
    if (qw_json_read_file(&root_value, path, (size_t)64 << 20, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return root_value;
}

/* ---- the whole way */

static float *all_logits(const qwren_model *m, const int32_t *ids, size_t n)
{
    float *logits = NULL;
    size_t rows = 0;
    qwren_session *s = nano_session(m, 512);
    assert_int_equal(qwren_session_eval(s, ids, n, NULL, 0, &logits, &rows, NULL), QWREN_OK);
    assert_int_equal(rows, n);
    qwren_session_free(s);
    return logits;
}

/* Divergence of b from a over some lines of the set that is built in, the median of the positions: a mean would be that of a few where the model wavers. */
static double distance(const qwren_model *a, const qwren_model *b)
{
    qwren_eval_options opt = qwren_eval_options_default();
    qwren_comparison c;
    qwren_error err;
    opt.max_lines = 4;
    if (qwren_eval_compare(a, &b, 1, NULL, 0, &opt, &c, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return c.all.median;
}

static void check_tensor(const qwren_model *source, const char *name, const qw_json *record)
{
    const qw_tensor *t = qw_weights_find(source->core.weights, name);
    assert_non_null(t);
    assert_string_equal(qw_json_string(qw_json_get(record, "class"), NULL), qw_class_name(qw_class_of(name)));
    assert_int_equal(strlen(qw_json_string(qw_json_get(record, "xxh64"), NULL)), 16);
    const int64_t bits = qw_json_int(qw_json_get(record, "bits"), -1);
    if (!bits)
        return;
    double squares = 0;
    float *w = qw_alloc_array(qw_tensor_elements(t), sizeof *w);
    assert_non_null(w);
    qw_tensor_to_f32(t, w);
    for (size_t i = 0; i < qw_tensor_elements(t); i++)
        squares += (double)w[i] * (double)w[i];
    const double rms = sqrt(squares / (double)qw_tensor_elements(t)), error = qw_json_number(qw_json_get(record, "error"), -1);
    assert_true(fabs(qw_json_number(qw_json_get(record, "rms"), 0) / rms - 1) < 1e-6);
    assert_true(error > 0.5 * pow(2, -(double)bits) && error < 8 * pow(2, -(double)bits));
    qw_free(w);
}

/* The folder's own files are what the tables were made from, so they are used. */
static void check_tables(const char *dst)
{
    qw_tokenizer *t;
    assert_int_equal(qw_tokenizer_open(&t, dst, NULL), QWREN_OK);
    assert_non_null(t->map.data);
    qw_tokenizer_close(t);
}

static void check_records(const qwren_model *source, const char *dst, const char *plain)
{
    qw_json *r = records(dst);
    const qw_json *tensors = qw_json_get(r, "tensors");
    assert_string_equal(qw_json_string(qw_json_get(r, "recipe"), NULL), "6bit");
    assert_string_equal(qw_json_string(qw_json_get(r, "calibration"), NULL), "bundled");
    assert_int_equal(qw_json_int(qw_json_get(r, "calibration_tokens"), 0), 120);
    assert_true(qw_json_int(qw_json_get(r, "calibration_samples"), 0) > 0);
    assert_int_equal(qw_json_size(tensors), qwren_model_get_info(source)->n_tensors);
    for (qw_json_iter it = qw_json_first(tensors); it.key; qw_json_next(tensors, &it))
        check_tensor(source, it.key, it.value);
    qw_json *p = records(plain);
    const double bpw = qw_json_number(qw_json_get(r, "bits_per_weight"), 0), least = qw_json_number(qw_json_get(p, "bits_per_weight"), 0);
    if (!(least > 6.5 && bpw > least && bpw <= least * 1.03))
        fail_msg("%g bits a weight, plain %g", bpw, least);
    qw_json_free(p);
    qw_json_free(r);
}

static const float *floats_of(qw_weights *w, const char *name, size_t want)
{
    const qw_tensor *t = qw_weights_find(w, name);
    assert_non_null(t);
    assert_int_equal(qw_tensor_elements(t), want);
    float *out = qw_alloc_array(want, sizeof *out);
    assert_non_null(out);
    qw_tensor_to_f32(t, out);
    return out;
}

static void near_floats(const char *what, const float *got, const float *want, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        s += (double)want[i] * (double)want[i];
    }
    if (!(sqrt(d / s) <= 1e-5))
        fail_msg("%s: relative difference %g", what, sqrt(d / s));
}

/* The reference vectors are what each model computes by itself. */
static void check_vectors(const qwren_model *source, const qwren_model *coded, const char *dst)
{
    char path[1024];
    qw_weights *w = NULL;
    const size_t V = (size_t)source->core.config.text.vocab_size;
    snprintf(path, sizeof path, "%s/qwren/check.safetensors", dst);
    assert_int_equal(qw_weights_open_file(&w, path, NULL), QWREN_OK);
    const qw_tensor *t = qw_weights_find(w, "ids");
    assert_non_null(t);
    int32_t ids[32];
    memcpy(ids, t->data, t->n_bytes);
    const size_t n = t->shape[0];
    const qwren_model *const models[] = { source, coded };
    static const char *const names[] = { "source.logits", "quantised.logits" };
    for (size_t k = 0; k < 2; k++) {
        float *logits = all_logits(models[k], ids, n);
        const float *stored = floats_of(w, names[k], V);
        near_floats(names[k], logits + (n - 1) * V, stored, V);
        qw_free((void *)stored);
        qwren_free(logits);
    }
    const float *hidden = floats_of(w, "quantised.hidden", 5 * n * 256);
    for (size_t i = 0; i < n; i++) {
        float row[256];
        qw_matrix_decode(&coded->core.text.embed, (size_t)ids[i], 0, 256, row);
        near_floats("embeddings", hidden + i * 256, row, 256);
    }
    qw_free((void *)hidden);
    qw_weights_close(w);
}

static void what_comes_out_answers_as_the_source(void **state)
{
    (void)state;
    const char *plain = in_root("plain"), *dst = in_root("default");
    qwren_quantize_options o = options(120);
    quantize(NANO, dst, &o);
    o.recipe = "6bit-plain";
    quantize(NANO, plain, &o);
    qwren_model *source = nano_open_exact(2), *coded = open_model(dst), *other = open_model(plain);
    const double d = distance(source, coded), d_plain = distance(source, other);
    if (!(d < 0.002 && d < 0.5 * d_plain))
        fail_msg("6bit is %g from the source, 6bit-plain %g", d, d_plain);
    assert_true(qwren_model_get_info(coded)->has_vision);
    assert_true(qwren_model_get_info(coded)->has_mtp);
    check_records(source, dst, plain);
    check_tables(dst);
    check_vectors(source, coded, dst);
    qwren_model_close(source);
    qwren_model_close(coded);
    qwren_model_close(other);
}

/* ---- cut up */

static void threads_change_nothing(void **state)
{
    (void)state;
    qwren_quantize_options o = tiny_options();
    quantize(TINY, in_root("two"), &o);
    o.n_threads = 1;
    quantize(TINY, in_root("one"), &o);
    same_folders(in_root("two"), in_root("one"));
}

typedef struct stopper {
    size_t calls, stop_at;
    size_t n_samples, n_weights, n_check;
    uint64_t last;
} stopper;

static bool stop(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    stopper *s = ctx;
    s->n_samples += strcmp(what, "samples") == 0;
    s->n_check += strcmp(what, "check") == 0;
    assert_true(done <= total);
    if (strcmp(what, "weights") == 0) {
        assert_true(done >= s->last);
        s->last = done;
        s->n_weights++;
    }
    return ++s->calls != s->stop_at;
}

/* Stopped here and there, continued each time: the same bytes. */
static void stopped_work_goes_on(void **state)
{
    (void)state;
    stopper all = { 0 };
    qwren_error err;
    qwren_quantize_options o = tiny_options();
    o.progress = stop;
    o.progress_ctx = &all;
    quantize(TINY, in_root("whole"), &o);
    assert_true(all.n_samples && all.n_weights > 20 && all.n_check == 4);
    size_t stops = 0;
    const size_t step = (all.calls - all.n_samples) / 5;
    for (size_t at = (all.n_samples + 1) / 2;; at = all.n_samples + stops * step) { /* later each time: what is done is soon passed by */
        stopper s = { .stop_at = at };
        o.progress_ctx = &s;
        const qwren_status st = qwren_quantize(TINY, in_root("pieces"), &o, &err);
        if (st == QWREN_OK)
            break;
        assert_int_equal(st, QWREN_E_CANCELLED);
        assert_true(err.text[0] && access(in_root("pieces"), F_OK) != 0);
        stops++;
    }
    assert_true(stops >= 2);
    same_folders(in_root("whole"), in_root("pieces"));
}

/* ---- auto */

static void bits_are_spent_by_measure(void **state)
{
    (void)state;
    qwren_quantize_options o = tiny_options();
    o.recipe = "auto";
    o.bpw = 5;
    quantize(TINY, in_root("auto"), &o);
    qwren_model_close(open_model(in_root("auto")));
    qw_json *r = records(in_root("auto"));
    const double bpw = qw_json_number(qw_json_get(r, "bits_per_weight"), 0);
    assert_true(bpw <= 5 && bpw > 4.5);
    const qw_json *table = qw_json_get(r, "sensitivities"), *kld = qw_json_get(table, "kld");
    assert_string_equal(qw_json_string(qw_json_get(table, "unit"), NULL), "tensor");
    assert_true(qw_json_size(kld) > 8);
    for (qw_json_iter it = qw_json_first(kld); it.key; qw_json_next(kld, &it)) {
        const double three = qw_json_number(qw_json_get(it.value, "3/64"), -1), eight = qw_json_number(qw_json_get(it.value, "8/64"), -1);
        if (!(eight >= 0 && three > 4 * eight))
            fail_msg("%s: 3 bits %g, 8 bits %g", it.key, three, eight);
    }
    qw_json_free(r);
    qwren_error err;
    o.bpw = 2.5;
    assert_int_equal(qwren_quantize(TINY, in_root("few"), &o, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "too few"));
}

/* ---- what is refused */

static void refused(const char *src, const char *dst, const qwren_quantize_options *o, qwren_status status, const char *word)
{
    qwren_error err;
    qwren_status st = qwren_quantize(src, dst, o, &err);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s: \"%s\" instead of %s with \"%s\"", qwren_status_name(st), err.text, qwren_status_name(status), word);
    assert_true(!dst || access(dst, F_OK) != 0);
}

static void what_cannot_be_done_is_told(void **state)
{
    (void)state;
    const char *dst = in_root("refused");
    qwren_quantize_options o = tiny_options();
    o.bits = 7;
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "2, 3, 4, 5, 6 and 8");
    o = tiny_options();
    o.recipe = "best";
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "6bit-plain");
    o.recipe = "auto";
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "bits per weight");
    o.bpw = 5;
    o.bits = 4;
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "by itself");
    o.bits = 0;
    o.group = 32;
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "by itself");
    o.group = 0;
    o.calibration = "none";
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "calibration");
    o = tiny_options();
    o.calibration = "/no/such/file";
    refused(TINY, dst, &o, QWREN_E_IO, "/no/such/file");
    o.calibration = in_root("bad.jsonl");
    write_text(o.calibration, "{\"text\": \"fine\"}\n{\"text\": 5}\n");
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "bad.jsonl: line 2");
    write_text(o.calibration, "\n\n");
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "no line");
    o = tiny_options();
    quantize(TINY, in_root("made"), &o);
    refused(in_root("made"), dst, &o, QWREN_E_UNSUPPORTED, "MLX");
    refused(NULL, dst, &o, QWREN_E_ARGUMENT, "NULL");
    refused(TINY, NULL, &o, QWREN_E_ARGUMENT, "NULL");
    o.struct_size = 0;
    refused(TINY, dst, &o, QWREN_E_ARGUMENT, "struct_size");
}

static void without_calibration_codes_are_searched(void **state)
{
    (void)state;
    qwren_quantize_options o = tiny_options();
    o.calibration = "none";
    o.vision_bits = 16;
    o.mtp_bits = 16;
    quantize(TINY, in_root("none"), &o);
    qw_json *r = records(in_root("none"));
    assert_string_equal(qw_json_string(qw_json_get(r, "calibration"), NULL), "none");
    const qw_json *t = qw_json_get(qw_json_get(r, "tensors"), "layers.0.mlp.up_proj.weight");
    assert_string_equal(qw_json_string(qw_json_get(t, "method"), NULL), "search");
    qw_json_free(r);
}

/* Two streams of 4 bytes a value in 512 MB. */
static void calibration_has_a_limit(void **state)
{
    (void)state;
    qw_config c = { .text = { .hidden_size = 1024 } };
    assert_int_equal(qw_calibration_most(&c), 65536);
    c.text.hidden_size = 2560;
    assert_int_equal(qw_calibration_most(&c), 26214);
    qwren_quantize_options o = tiny_options();
    o.calibration_tokens = SIZE_MAX;
    quantize(TINY, in_root("all"), &o);
    o = tiny_options(); /* a word that has to do with pictures is none */
    o.calibration = in_root("word.jsonl");
    write_text(o.calibration, "{\"text\": \"Some words to read\", \"note\": \"image_url\"}\n");
    quantize(TINY, in_root("word"), &o);
}

/* ---- short memory */

static qwren_status quantize_tiny(void *ctx, qwren_error *err) { return qwren_quantize(TINY, in_root("fault"), ctx, err); }

static void short_memory_is_told(void **state)
{
    (void)state;
    qwren_quantize_options o = tiny_options();
    o.fresh = o.force = true;
    fault_install();
    assert_true(fault_try_all(quantize_tiny, &o, 211) > 8);
    o.recipe = "auto";
    o.bpw = 5;
    o.calibration_tokens = 8;
    assert_true(fault_try_all(quantize_tiny, &o, 4001) > 1);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_out_answers_as_the_source),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(stopped_work_goes_on),
        cmocka_unit_test(bits_are_spent_by_measure),
        cmocka_unit_test(what_cannot_be_done_is_told),
        cmocka_unit_test(without_calibration_codes_are_searched),
        cmocka_unit_test(calibration_has_a_limit),
        cmocka_unit_test(short_memory_is_told),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
