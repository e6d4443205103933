/* qwren_doctor on a model with records, made here as qwren quantize writes them: healthy at first, then damaged. tests/cli/doctor.sh has the kinds of damage that
 * need no records. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/doctor.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "quant/stats.h"
#include "runtime/session.h"
#include "support/fault.h"
#include "weights/safetensors_write.h"

#define SOURCE QW_TEST_DATA "/mlx/tiny-b-mixed"
#define HASTY 1e-6
#define WOUNDED "layers.1.mlp.gate_proj.weight"

enum { TOKENS = 9 };
static char folder[64];

/* ---- a model and its records */

static void shell(const char *fmt, ...)
{
    char command[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static FILE *create(const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    return f;
}

static void write_record(FILE *f, const qw_logical *t)
{
    const qw_tensor *const parts[] = { t->tensor, t->scales, t->biases };
    qw_hash h;
    qw_hash_init(&h);
    for (size_t i = 0; i < 3; i++)
        if (parts[i])
            qw_hash_add(&h, parts[i]->data, parts[i]->n_bytes);
    fprintf(f, "\"%s\": {\"class\": \"x\", \"bits\": %d, \"group\": %d, ", t->tensor->name, qw_type_bits(t->type), t->group);
    if (t->matrix && t->group) {
        const qw_stats s = qw_matrix_stats(t->matrix, NULL);
        fprintf(f, "\"rms\": %.9g, \"error\": 0.01, ", qw_stats_rms(&s));
    }
    fprintf(f, "\"xxh64\": \"%016llx\"}", (unsigned long long)qw_hash_value(&h));
}

static void write_recipe(const qw_model *m)
{
    FILE *f = create(QW_RECORDS_FILE);
    fputs("{\"recipe\": \"6bit\", \"tensors\": {", f);
    size_t n = 0;
    for (qw_logical t = { 0 }; qw_logical_next(&t, m->weights, m->bound, &m->quant); n++) {
        fputs(n ? ",\n" : "\n", f);
        write_record(f, &t);
    }
    fputs("}}\n", f);
    fclose(f);
}

typedef struct vectors {
    int32_t ids[TOKENS];
    size_t floats; /* of a step */
    float *hidden, *logits, *source_hidden, *source_logits;
} vectors;

static void keep(void *ctx, int step, const float *x, size_t n)
{
    vectors *v = ctx;
    (void)n;
    memcpy(v->hidden + (size_t)step * v->floats, x, v->floats * sizeof *x);
}

/* Residual streams as the model computes them; the source's are made up: a little larger. */
static void compute(vectors *v, const qw_model *m)
{
    const size_t steps = (size_t)m->config.text.n_layers + 1, V = (size_t)m->config.text.vocab_size;
    const qw_trace trace = { keep, v };
    qw_session *s;
    qw_timeline t;
    *v = (vectors){ .floats = TOKENS * (size_t)m->config.text.hidden_size };
    v->hidden = calloc(2 * steps * v->floats + 2 * V, sizeof *v->hidden);
    assert_non_null(v->hidden);
    v->source_hidden = v->hidden + steps * v->floats;
    v->logits = v->source_hidden + steps * v->floats;
    v->source_logits = v->logits + V;
    for (int32_t i = 0; i < TOKENS; i++)
        v->ids[i] = 7 * i;
    assert_int_equal(qw_session_create(&s, m, &(qw_session_options){ .n_ctx = TOKENS }, NULL), QWREN_OK);
    assert_int_equal(qw_timeline_build(&t, &m->config, v->ids, TOKENS, NULL, NULL, 0, 0, NULL), QWREN_OK);
    qw_session_set_trace(s, &trace);
    assert_int_equal(qw_session_eval(s, &t, 0, TOKENS, NULL, NULL), QWREN_OK);
    memcpy(v->logits, qw_session_logits(s), V * sizeof *v->logits);
    for (size_t i = 0; i < steps * v->floats; i++)
        v->source_hidden[i] = 1.25F * v->hidden[i];
    memcpy(v->source_logits, v->logits, V * sizeof *v->logits);
    qw_timeline_deinit(&t);
    qw_session_free(s);
}

static void write_check(const qw_model *m)
{
    char path[160];
    const size_t steps = (size_t)m->config.text.n_layers + 1, H = (size_t)m->config.text.hidden_size, V = (size_t)m->config.text.vocab_size;
    const qw_st_entry entries[] = {
        { "ids", QW_TYPE_I32, 1, { TOKENS } },         { "source.hidden", QW_TYPE_F32, 3, { steps, TOKENS, H } },
        { "source.logits", QW_TYPE_F32, 1, { V } },    { "quantised.hidden", QW_TYPE_F32, 3, { steps, TOKENS, H } },
        { "quantised.logits", QW_TYPE_F32, 1, { V } },
    };
    vectors v;
    qw_st_writer *w;
    compute(&v, m);
    const void *const data[] = { v.ids, v.source_hidden, v.source_logits, v.hidden, v.logits };
    snprintf(path, sizeof path, "%s/" QW_CHECK_FILE, folder);
    assert_int_equal(qw_st_create(&w, path, entries, 5, "qwren", NULL), QWREN_OK);
    for (size_t i = 0; i < 5; i++) {
        size_t bytes;
        assert_true(qw_st_entry_bytes(&entries[i], &bytes));
        assert_int_equal(qw_st_write(w, i, 0, data[i], bytes, NULL), QWREN_OK);
    }
    assert_int_equal(qw_st_finish(w, NULL), QWREN_OK);
    qw_st_close(w);
    free(v.hidden);
}

static int make_folder(void **state)
{
    qw_model m;
    qwren_error err = { 0 };
    (void)state;
    strcpy(folder, "/tmp/qwren-doctor-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    shell("cp -RL '%s/.' '%s' && cp " QW_TEST_DATA "/text/tiny-b/hf/tokenizer* '%s' && chmod -R u+w '%s' && mkdir '%s/" QW_RECORDS_FOLDER
          "'",
          SOURCE, folder, folder, folder, folder);
    if (qw_model_init(&m, folder, &(qw_model_params){ .n_threads = 1, .arithmetic = QWREN_ARITHMETIC_EXACT }, &err))
        fail_msg("%s", err.text);
    write_recipe(&m);
    write_check(&m);
    qw_model_deinit(&m);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    shell("rm -r '%s'", folder);
    return 0;
}

/* ---- its report */

static qw_json *examine(qwren_doctor_options opt)
{
    char *text = NULL;
    qw_json *r = NULL;
    qwren_error err = { 0 };
    opt.n_threads = 2;
    if (qw_doctor_run(folder, &opt, HASTY, &text, &err))
        fail_msg("%s", err.text);
    if (qw_json_parse(&r, text, strlen(text), "report", &err))
        fail_msg("%s: %s", err.text, text);
    qw_free(text);
    return r;
}

static const char *text_of(const qw_json *o, const char *key)
{
    const char *s = qw_json_string(qw_json_get(o, key), NULL);
    return s ? s : "";
}

static const char *result_of(const qw_json *r, const char *check)
{
    const qw_json *checks = qw_json_get(r, "checks");
    for (size_t i = 0; i < qw_json_size(checks); i++)
        if (strcmp(text_of(qw_json_at(checks, i), "name"), check) == 0)
            return text_of(qw_json_at(checks, i), "result");
    fail_msg("no check %s", check);
    return "";
}

/* The findings are these: check, tensor, a word of the text. */
static void expect_findings(const qw_json *r, const char *const (*wanted)[3], size_t n)
{
    const qw_json *findings = qw_json_get(r, "findings");
    for (size_t i = 0; i < qw_json_size(findings); i++)
        print_message("%s: %s\n", text_of(qw_json_at(findings, i), "check"), text_of(qw_json_at(findings, i), "text"));
    assert_int_equal(qw_json_size(findings), n);
    assert_int_equal(qw_json_bool(qw_json_get(r, "healthy"), n > 0), n == 0);
    for (size_t i = 0; i < n; i++) {
        const qw_json *f = qw_json_at(findings, i);
        assert_string_equal(text_of(f, "check"), wanted[i][0]);
        assert_string_equal(text_of(f, "tensor"), wanted[i][1]);
        assert_non_null(strstr(text_of(f, "text"), wanted[i][2]));
        assert_string_equal(result_of(r, wanted[i][0]), "bad");
    }
}

static double step_number(const qw_json *r, size_t step, const char *key)
{
    return qw_json_number(qw_json_get(qw_json_at(qw_json_get(qw_json_get(r, "reference"), "steps"), step), key), (double)NAN);
}

/* Turns bits of one byte of a tensor in the file. */
static void wound(const char *name, const char *suffix, size_t byte, uint8_t bits)
{
    char path[160], full[256], buf[QW_NAME_BYTES];
    qw_weights *w;
    qw_map map;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(qw_weights_open(&w, folder, NULL), QWREN_OK);
    const qw_tensor *t = qw_weights_find(w, *suffix ? qw_name_beside(name, suffix, buf) : name);
    assert_non_null(t);
    snprintf(full, sizeof full, "\"%s\"", t->file_name);
    const size_t bytes = t->n_bytes;
    assert_true(byte < bytes);
    uint8_t sample[16];
    memcpy(sample, t->data, sizeof sample);
    qw_weights_close(w);

    /* the place of the data: from the header */
    assert_int_equal(qw_map_open(&map, path, NULL), QWREN_OK);
    uint64_t header;
    memcpy(&header, map.data, 8);
    char *text = calloc(header + 1, 1);
    assert_non_null(text);
    memcpy(text, map.data + 8, header);
    qw_map_close(&map);
    const char *at = strstr(strstr(text, full), "\"data_offsets\"");
    const long long place = 8 + (long long)header + strtoll(strchr(at, '[') + 1, NULL, 10) + (long long)byte;
    free(text);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)place, SEEK_SET);
    const int old = fgetc(f);
    fseek(f, (long)place, SEEK_SET);
    fputc(old ^ bits, f);
    fclose(f);
}

/* ---- tests */

static void a_healthy_model(void **state)
{
    (void)state;
    qw_json *r = examine((qwren_doctor_options){ 0 });
    expect_findings(r, NULL, 0);
    static const char *const good[] = { "files", "shapes", "tokenizer", "values", "records", "reference", "memory" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_string_equal(result_of(r, good[i]), "good");
    assert_string_equal(text_of(r, "recipe"), "6bit");
    assert_string_equal(text_of(r, "format"), "MLX");
    for (size_t step = 0; step < 5; step++) {
        assert_true(step_number(r, step, "difference") == 0);
        assert_true(fabs(step_number(r, step, "drift") - 0.2) < 1e-6); /* 0.25 of 1.25 */
    }
    assert_true(isnan(step_number(r, 5, "drift")));
    const qw_json *reference = qw_json_get(r, "reference");
    assert_true(qw_json_number(qw_json_get(reference, "logits_difference"), 1) == 0);
    assert_true(fabs(qw_json_number(qw_json_get(reference, "logits_kld"), 1)) < 1e-9);
    qw_json_free(r);
}

static void a_wounded_matrix_and_its_layer_are_named(void **state)
{
    (void)state;
    wound(WOUNDED, ".scales", 1, 0x02); /* the exponent of the first group's scale */
    qw_json *r = examine((qwren_doctor_options){ 0 });
    expect_findings(r,
                    (const char *const[][3]){ { "records", WOUNDED, "checksum" },
                                              { "records", WOUNDED, "root mean square" },
                                              { "reference", WOUNDED, "layer 1 is the first step that differs" } },
                    3);
    assert_true(step_number(r, 1, "difference") == 0); /* layer 0 */
    assert_true(step_number(r, 2, "difference") > 1e-3);
    qw_json_free(r);
    wound(WOUNDED, ".scales", 1, 0x02);
}

/* A code that is off by a little changes no layer visibly; the checksum tells all the same. */
static void a_single_code_is_found_by_its_checksum(void **state)
{
    (void)state;
    wound(WOUNDED, "", 300, 1);
    qw_json *r = examine((qwren_doctor_options){ 0 });
    expect_findings(r, (const char *const[][3]){ { "records", WOUNDED, "checksum" } }, 1);
    qw_json_free(r);
    wound(WOUNDED, "", 300, 1);
}

static void an_estimate_reads_no_weight(void **state)
{
    (void)state;
    wound(WOUNDED, ".scales", 1, 0x02);
    qw_json *r = examine((qwren_doctor_options){ .estimate_only = true });
    expect_findings(r, NULL, 0);
    assert_string_equal(result_of(r, "values"), "skipped");
    assert_string_equal(result_of(r, "reference"), "skipped");
    assert_true(qw_json_number(qw_json_get(qw_json_get(r, "speed"), "decode_tokens_per_s"), 0) > 0);
    qw_json_free(r);
    wound(WOUNDED, ".scales", 1, 0x02);
}

static void what_is_asked_wrongly(void **state)
{
    (void)state;
    char *report = folder;
    qwren_error err = { 0 };
    qwren_doctor_options opt = qwren_doctor_options_default();
    assert_int_equal(qwren_doctor(NULL, NULL, &report, &err), QWREN_E_ARGUMENT);
    assert_null(report);
    assert_int_equal(qwren_doctor("/no/model", NULL, &report, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/no/model"));
    opt.n_threads = -1;
    assert_int_equal(qwren_doctor(folder, &opt, &report, &err), QWREN_E_ARGUMENT);
    opt = (qwren_doctor_options){ 0 };
    assert_int_equal(qwren_doctor(folder, &opt, &report, &err), QWREN_E_ARGUMENT);
}

static bool stop_after(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    assert_true(what && done <= total);
    return --*(int *)ctx > 0;
}

static void it_can_be_stopped(void **state)
{
    (void)state;
    int calls = 1;
    for (bool done = false; !done; calls++) {
        char *report = NULL;
        qwren_error err = { 0 };
        int left = calls;
        const qwren_doctor_options opt = { .n_threads = 1, .progress = stop_after, .progress_ctx = &left };
        qwren_status st = qw_doctor_run(folder, &opt, HASTY, &report, &err);
        assert_true(st == QWREN_OK || st == QWREN_E_CANCELLED);
        assert_true((st == QWREN_OK) == (report != NULL));
        done = st == QWREN_OK;
        qw_free(report);
    }
    assert_true(calls > 50); /* at every tensor */
}

static qwren_status examine_with_faults(void *ctx, qwren_error *err)
{
    char *report = NULL;
    const qwren_doctor_options opt = { .n_threads = 1 };
    (void)ctx;
    qwren_status st = qw_doctor_run(folder, &opt, HASTY, &report, err);
    qw_free(report);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    wound(WOUNDED, ".scales", 1, 0x02); /* so that findings are made */
    fault_install();
    assert_true(fault_try_all(examine_with_faults, NULL, 7) > 20);
    fault_remove();
    wound(WOUNDED, ".scales", 1, 0x02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_model),
        cmocka_unit_test(a_wounded_matrix_and_its_layer_are_named),
        cmocka_unit_test(a_single_code_is_found_by_its_checksum),
        cmocka_unit_test(an_estimate_reads_no_weight),
        cmocka_unit_test(what_is_asked_wrongly),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(memory_may_be_short),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
