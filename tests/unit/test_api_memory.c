/* api/memory.c: what is said before memory is taken, on machines with as little as one likes; and the way there from qwren_session_create. */
#include "support/nano.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/memory.h"
#include "base/file.h"
#include "base/machine.h"
#include "support/fault.h"

static qwren_model *model;

static uint64_t needed(size_t n_ctx, qwren_kv_type type)
{
    qwren_memory_info m;
    assert_int_equal(qwren_model_get_memory(model, n_ctx, type, &m, NULL), QWREN_OK);
    return m.total_bytes + qwren_model_get_info(model)->n_bytes_text;
}

static size_t most(void) { return (size_t)qwren_model_get_info(model)->max_positions; }

static qwren_status check(size_t n_ctx, qwren_kv_type type, uint64_t available, qwren_error *err)
{
    const qwren_session_options opt = { .n_ctx = n_ctx, .kv_type = type };
    return qw_memory_check(model, &opt, available, err);
}

static void refused(size_t n_ctx, qwren_kv_type type, uint64_t available, const char *word, qwren_error *err)
{
    assert_int_equal(check(n_ctx, type, available, err), QWREN_E_MEMORY);
    if (!strstr(err->text, word) || strlen(err->text) + 2 > sizeof err->text)
        fail_msg("\"%s\" has no \"%s\", or is cut", err->text, word);
}

static void what_fits_is_taken(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    for (int type = QWREN_KV_DEFAULT; qwren_kv_type_name((qwren_kv_type)type); type++)
        for (size_t n = 1; n <= most(); n = n * 3 + 1) {
            assert_int_equal(check(n, (qwren_kv_type)type, needed(n, (qwren_kv_type)type), &err), QWREN_OK);
            refused(n, (qwren_kv_type)type, needed(n, (qwren_kv_type)type) - 1, "tokens needs ", &err);
        }
    assert_int_equal(check(most(), QWREN_KV_F32, QW_NOT_KNOWN, &err), QWREN_OK);
}

/* The length in the sentence fits, and the next round one does not. */
static void the_length_that_is_told_is_the_longest(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    int told = 0;
    for (size_t n = 600; n + 600 < most(); n += 397) {
        const uint64_t available = needed(n, QWREN_KV_F32);
        refused(most(), QWREN_KV_F32, available, " tokens fit (n_ctx; --ctx)", &err);
        const char *at = strstr(err.text, " tokens fit");
        while (at > err.text && at[-1] >= '0' && at[-1] <= '9')
            at--;
        const size_t length = strtoul(at, NULL, 10), power = length & (~length + 1);
        assert_true(power == length || 3 * power == length);
        assert_true(needed(length, QWREN_KV_F32) <= available);
        assert_true(needed(power == length ? length / 2 * 3 : 4 * power, QWREN_KV_F32) > available);
        told++;
    }
    assert_true(told > 5);
}

static void smaller_types_are_told(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    refused(most(), QWREN_KV_F32, needed(most(), QWREN_KV_F16), "4096 with keys and values as f16 or ", &err);
    refused(most(), QWREN_KV_F32, needed(most(), QWREN_KV_F16) - 1, "4096 with keys and values as ", &err);
    assert_null(strstr(err.text, "as f16"));
    refused(most(), QWREN_KV_F16, needed(most(), QWREN_KV_Q8), "q8", &err);
    assert_non_null(strstr(err.text, "--overcommit"));
}

static void nothing_fits(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    refused(1024, QWREN_KV_DEFAULT, qwren_model_get_info(model)->n_bytes_text - 1, "no context fits beside the weights", &err);
    refused(1024, QWREN_KV_DEFAULT, 0, "0.0 MB are available", &err);
}

/* Weights that are made or locked are there: they need no more. */
static void weights_that_stay_are_not_counted(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    const uint64_t alone = needed(2048, QWREN_KV_F16) - qwren_model_get_info(model)->n_bytes_text;
    model->weights_stay = true;
    assert_int_equal(check(2048, QWREN_KV_F16, alone, &err), QWREN_OK);
    refused(2048, QWREN_KV_F16, alone - 1, "beside 0.0 MB of weights", &err);
    model->weights_stay = false;
}

static void more_positions_than_there_are(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    assert_int_equal(check(most() + 1, QWREN_KV_DEFAULT, QW_NOT_KNOWN, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "takes 1 to 4096; YaRN makes it 8192 with yarn_factor 2 (--yarn 2)"));
    assert_int_equal(check(4 * most(), QWREN_KV_DEFAULT, QW_NOT_KNOWN, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "--yarn 4"));
    assert_int_equal(check(4 * most() + 1, QWREN_KV_DEFAULT, QW_NOT_KNOWN, &err), QWREN_E_LIMIT);
    assert_null(strstr(err.text, "YaRN"));
    assert_int_equal(check(SIZE_MAX, QWREN_KV_DEFAULT, QW_NOT_KNOWN, &err), QWREN_E_LIMIT);
    assert_int_equal(check(0, QWREN_KV_DEFAULT, QW_NOT_KNOWN, &err), QWREN_E_LIMIT);
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(qwren_kv_type_name(QWREN_KV_DEFAULT), "default");
    assert_string_equal(qwren_kv_type_name(QWREN_KV_Q8), "q8");
    assert_null(qwren_kv_type_name((qwren_kv_type)-1));
    assert_null(qwren_kv_type_name((qwren_kv_type)1000));
}

/* ---- guessing ahead: what is counted is what is taken */

/* Bytes that a session of n_ctx tokens has taken when it is full, as the allocator sees it. */
static uint64_t taken_by(const qwren_model *m, const qwren_session_options *opt)
{
    qwren_error err = { 0 };
    qwren_session *s;
    int32_t *ids = calloc(opt->n_ctx, sizeof *ids);
    assert_non_null(ids);
    assert_int_equal(qwren_session_create(&s, m, opt, &err), QWREN_OK); /* what the sessions of a model share is there afterwards */
    qwren_session_free(s);
    fault_install();
    assert_int_equal(qwren_session_create(&s, m, opt, &err), QWREN_OK);
    assert_int_equal(qwren_session_eval(s, ids, opt->n_ctx, NULL, 0, NULL, NULL, &err), QWREN_OK);
    const uint64_t bytes = fault_live_bytes();
    qwren_session_free(s);
    fault_remove();
    free(ids);
    return bytes;
}

/* The session fits where there is a hundredth more than it takes, and not where there is a hundredth less. */
static void check_counted(const qwren_model *m, const qwren_session_options *opt, uint64_t weights, uint64_t taken)
{
    qwren_error err = { 0 };
    assert_int_equal(qw_memory_check(m, opt, weights + taken + taken / 100, &err), QWREN_OK);
    assert_int_equal(qw_memory_check(m, opt, weights + taken - taken / 100, &err), QWREN_E_MEMORY);
    assert_int_equal(strstr(err.text, " to guess ahead (spec; --spec off)") != NULL, opt->spec > QWREN_SPEC_OFF);
}

static void what_guesses_ahead_is_counted(void **state)
{
    (void)state;
    static const qwren_spec ways[] = { QWREN_SPEC_OFF, QWREN_SPEC_LOOKUP, QWREN_SPEC_MTP, QWREN_SPEC_AUTO, QWREN_SPEC_MODEL };
    qwren_model *m = nano_open(1);
    const qwren_model_info *info = qwren_model_get_info(m);
    uint64_t taken[5];
    for (size_t i = 0; i < 5; i++) {
        qwren_session_options opt = qwren_session_options_default();
        qwren_memory_info need;
        opt.n_ctx = 1024;
        opt.spec = ways[i];
        opt.draft_model = m;
        if (ways[i] == QWREN_SPEC_AUTO)
            opt.draft_model = NULL;
        assert_int_equal(qwren_model_get_memory(m, opt.n_ctx, opt.kv_type, &need, NULL), QWREN_OK);
        taken[i] = taken_by(m, &opt);
        if (ways[i] == QWREN_SPEC_AUTO)
            assert_in_range(taken[i], (need.total_bytes + need.spec_bytes) / 100 * 99, (need.total_bytes + need.spec_bytes) / 100 * 101);
        const bool head = ways[i] == QWREN_SPEC_MTP || ways[i] == QWREN_SPEC_AUTO, other = ways[i] == QWREN_SPEC_MODEL;
        check_counted(m, &opt, info->n_bytes_text * (other ? 2 : 1) + (head ? info->n_bytes_mtp : 0),
                      taken[i] + (other ? need.kv_bytes : 0)); /* the draft model has computed nothing */
    }
    assert_true(taken[0] < taken[1] && taken[1] < taken[2] && taken[2] == taken[3] && taken[2] < taken[4]);
    qwren_model_close(m);
}

/* ---- from the outside: a tiny model as if it had 16 million positions, whose keys and values take 34 GB as f32 */

#define SOURCE QW_TEST_DATA "/text/tiny-a/hf/"

static const char *const weights[] = { "model.safetensors.index.json", "model.safetensors-00001-of-00002.safetensors",
                                       "model.safetensors-00002-of-00002.safetensors" };
#define N_WEIGHTS (sizeof weights / sizeof *weights)

static void write_config(const char *path)
{
    static const char positions[] = "\"max_position_embeddings\": 262144";
    char *text, *at;
    size_t len;
    qwren_error err = { 0 };
    assert_int_equal(qw_file_read(SOURCE "config.json", 1 << 20, &text, &len, &err), QWREN_OK);
    at = strstr(text, positions);
    assert_non_null(at);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%.*s\"max_position_embeddings\": 16777216%s", (int)(at - text), text, at + strlen(positions));
    assert_int_equal(fclose(f), 0);
    qwren_free(text);
}

static void make_folder(const char *dir)
{
    char from[1024], to[1024];
    snprintf(to, sizeof to, "%s/config.json", dir);
    write_config(to);
    for (size_t i = 0; i < N_WEIGHTS; i++) {
        snprintf(from, sizeof from, SOURCE "%s", weights[i]);
        snprintf(to, sizeof to, "%s/%s", dir, weights[i]);
        assert_int_equal(symlink(from, to), 0);
    }
}

static void remove_folder(const char *dir)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", dir);
    unlink(path);
    for (size_t i = 0; i < N_WEIGHTS; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, weights[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void check_huge_session(const qwren_model *m)
{
    qwren_error err = { 0 };
    qwren_session *s;
    qwren_memory_info need;
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = 16777216;
    opt.kv_type = QWREN_KV_F32;
    assert_int_equal(qwren_model_get_memory(m, opt.n_ctx, opt.kv_type, &need, NULL), QWREN_OK);
    assert_true(need.kv_bytes >= (uint64_t)32 << 30);
    if (qw_machine_get_memory().available > need.total_bytes)
        return; /* a machine that has it */
    assert_int_equal(qwren_session_create(&s, m, &opt, &err), QWREN_E_MEMORY);
    assert_null(s);
    assert_non_null(strstr(err.text, "a context of 16777216 tokens needs 3"));
    opt.allow_overcommit = true; /* whatever the system says to that, it is not our refusal */
    if (qwren_session_create(&s, m, &opt, &err) != QWREN_OK)
        assert_null(strstr(err.text, "are available"));
    qwren_session_free(s);
}

static void a_session_is_refused_or_taken_on_trust(void **state)
{
    (void)state;
    char dir[] = "/tmp/qwren-memory-XXXXXX";
    qwren_error err = { 0 };
    qwren_model *m;
    qwren_session *s;
    qwren_model_options numbers = qwren_model_options_default();
    numbers.no_tokenizer = true;
    numbers.n_threads = 1;
    assert_non_null(mkdtemp(dir));
    make_folder(dir);
    if (qwren_model_open(&m, dir, &numbers, &err))
        fail_msg("%s", err.text);
    check_huge_session(m);
    assert_int_equal(qwren_session_create(&s, m, NULL, &err), QWREN_OK); /* the default is not asked about */
    assert_int_equal(qwren_session_capacity(s), 32768);
    qwren_session_free(s);
    qwren_model_close(m);
    remove_folder(dir);
}

static int open_nano(void **state)
{
    (void)state;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    return qwren_model_open(&model, NANO, &opt, NULL) == QWREN_OK ? 0 : -1;
}

static int close_nano(void **state)
{
    (void)state;
    qwren_model_close(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_taken),
        cmocka_unit_test(the_length_that_is_told_is_the_longest),
        cmocka_unit_test(smaller_types_are_told),
        cmocka_unit_test(nothing_fits),
        cmocka_unit_test(weights_that_stay_are_not_counted),
        cmocka_unit_test(more_positions_than_there_are),
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(what_guesses_ahead_is_counted),
        cmocka_unit_test(a_session_is_refused_or_taken_on_trust),
    };
    return cmocka_run_group_tests(tests, open_nano, close_nano);
}
