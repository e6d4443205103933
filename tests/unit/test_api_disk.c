/* Sessions in files and the cache's folder behind the public API: another process goes on where this one was, with pictures too, and
 * computes nothing twice. Opening the model anew stands for a new process. */
#include "support/folder.h"
#include "support/nano.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/json.h"

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char path[sizeof folder + 32], cache[sizeof folder + 32];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/session", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(path);
    folder_remove(cache);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static qwren_model *open_model(bool with_dir, qwren_arithmetic arithmetic)
{
    qwren_model_options opt = qwren_model_options_default();
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    opt.n_threads = 2;
    opt.cache_bytes = 64 << 20;
    opt.arithmetic = arithmetic;
    opt.cache_dir = with_dir ? cache : NULL;
    if (qwren_model_open(&m, NANO, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return m;
}

static char logged[512];
static int n_logged;
static void take_log(void *ctx, qwren_log_level level, const char *text)
{
    (void)ctx;
    n_logged += level == QWREN_LOG_WARN;
    snprintf(logged, sizeof logged, "%s", text);
}

/* A prefix cache without room for one state makes the folder useless: that is said, once. */
static void a_folder_without_room_in_memory_is_told(void **state)
{
    (void)state;
    qwren_model_options opt = qwren_model_options_default();
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    opt.n_threads = 1;
    opt.cache_bytes = 1;
    opt.cache_dir = cache;
    qwren_set_log(take_log, NULL);
    assert_int_equal(qwren_model_open(&m, NANO, &opt, &err), QWREN_OK);
    for (int i = 0; i < 2; i++)
        qwren_session_free(nano_session(m, 512));
    assert_int_equal(n_logged, 1);
    if (!strstr(logged, cache) || !strstr(logged, "(cache_bytes; --cache-mem)"))
        fail_msg("%s", logged);
    qwren_set_log(NULL, NULL);
    qwren_model_close(m);
}

static char *content_of(const qwren_result *r) { return qw_strdup(qwren_result_content(r) ? qwren_result_content(r) : ""); }

/* Asks; at least so many tokens must be there already. The answer's text (qw_free). */
static char *ask(qwren_session *s, const char *request, size_t reused)
{
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(s, &opt, request);
    if (qwren_result_stats(r)->reused_tokens < reused)
        fail_msg("%zu of %zu tokens were reused, not the %zu that were there", qwren_result_stats(r)->reused_tokens,
                 qwren_result_stats(r)->prompt_tokens, reused);
    char *text = content_of(r);
    qwren_result_free(r);
    return text;
}

#define FIRST "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'max_tokens': 24, 'enable_thinking': false}"

/* What follows on FIRST and its answer: a tool's word, so that the template leaves the answer as it was. */
static char *second(const char *answer)
{
    return nano_text(
        "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}, {'role': 'assistant', 'content': '%s'}, {'role': 'tool', "
        "'content': 'And 3 more?'}], 'max_tokens': 24, 'enable_thinking': false}",
        answer);
}

static void save(qwren_session *s)
{
    qwren_error err = { 0 };
    if (qwren_session_save(s, path, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

static void load(qwren_session *s)
{
    qwren_error err = { 0 };
    if (qwren_session_load(s, path, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

/* llama.cpp's slot files hold no states of this family, so a session that it restores reuses nothing. Ours reuses every token. */
static void a_restored_session_reuses_every_token(void **state)
{
    (void)state;
    qwren_model *m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    char *answer = ask(s, FIRST, 0), *request = second(answer);
    const size_t n = qwren_session_length(s);
    save(s);
    char *uninterrupted = ask(s, request, n);
    qwren_session_free(s);
    qwren_model_close(m);

    m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    s = nano_session(m, 0);
    load(s);
    assert_int_equal(qwren_session_length(s), n);
    assert_null(qwren_session_logits(s));
    char *resumed = ask(s, request, n);
    assert_string_equal(resumed, uninterrupted);
    qw_free(resumed);

    qwren_session *fork = NULL;
    load(s);
    assert_int_equal(qwren_session_fork(&fork, s, NULL), QWREN_OK);
    resumed = ask(fork, request, n);
    assert_string_equal(resumed, uninterrupted);
    qwren_session_free(fork);
    qwren_session_free(s);
    qwren_model_close(m);
    qw_free(resumed);
    qw_free(uninterrupted);
    qw_free(request);
    qw_free(answer);
}

static qwren_session *guessing_session(const qwren_model *m, qwren_spec spec)
{
    qwren_session_options opt = qwren_session_options_default();
    qwren_session *s = NULL;
    qwren_error err = { 0 };
    opt.spec = spec;
    opt.draft_model = spec == QWREN_SPEC_MODEL ? m : NULL;
    if (qwren_session_create(&s, m, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

/* Loads the session and asks; returns the tokens that were drafted. */
static size_t load_and_ask(qwren_session *s, const char *request, size_t reused, const char *wanted)
{
    const qwren_chat_options opt = nano_greedy();
    load(s);
    qwren_result *r = nano_ask(s, &opt, request);
    const qwren_stats *stats = qwren_result_stats(r);
    assert_true(stats->reused_tokens >= reused);
    assert_string_equal(qwren_result_content(r), wanted);
    const size_t n = stats->mtp.drafted + stats->lookup.drafted + stats->draft_model.drafted;
    qwren_result_free(r);
    return n;
}

/* Whatever guesses does so at once behind what was loaded, into a session that is new or has guessed for a timeline before, and changes nothing. */
static void a_restored_session_guesses_ahead(void **state)
{
    (void)state;
    static const qwren_spec ways[] = { QWREN_SPEC_OFF, QWREN_SPEC_LOOKUP, QWREN_SPEC_MTP, QWREN_SPEC_MODEL, QWREN_SPEC_AUTO };
    qwren_model *m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    char *answer = ask(s, FIRST, 0), *request = second(answer);
    const size_t n = qwren_session_length(s);
    save(s);
    char *wanted = ask(s, request, n);
    qwren_session_free(s);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        size_t drafted = 0;
        s = guessing_session(m, ways[i]);
        for (int k = 0; k < 3; k++)
            drafted += load_and_ask(s, request, n, wanted);
        if (ways[i] == QWREN_SPEC_MTP || ways[i] == QWREN_SPEC_MODEL) /* the others guess where there is something to find, or to gain */
            assert_true(drafted > 0);
        qwren_session_free(s);
    }
    qwren_model_close(m);
    qw_free(answer);
    qw_free(request);
    qw_free(wanted);
}

static void a_picture_comes_back_too(void **state)
{
    (void)state;
    char *url = nano_data_url(PICTURE);
    char *request =
        nano_text("{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}, {'type': 'text', 'text': "
                  "'What is shown?'}]}], 'max_tokens': 8, 'enable_thinking': false}",
                  url);
    qwren_model *m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    char *answer = ask(s, request, 0);
    const size_t n = qwren_session_length(s);
    save(s);
    char *more = nano_text(
        "{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}, {'type': 'text', 'text': "
        "'What is shown?'}]}, {'role': 'assistant', 'content': '%s'}, {'role': 'tool', 'content': 'How many?'}], 'max_tokens': 8, "
        "'enable_thinking': false}",
        url, answer);
    char *uninterrupted = ask(s, more, n);
    qwren_session_free(s);
    qwren_model_close(m);

    char *json;
    assert_int_equal(qwren_session_inspect(path, &json, NULL), QWREN_OK);
    qw_json *v;
    assert_int_equal(qw_json_parse(&v, json, strlen(json), "info", NULL), QWREN_OK);
    assert_int_equal(qw_json_int(qw_json_get(v, "tokens"), -1), n);
    assert_int_equal(qw_json_size(qw_json_get(v, "pictures")), 1);
    assert_true(qw_json_int(qw_json_get(qw_json_at(qw_json_get(v, "pictures"), 0), "tokens"), 0) > 3);
    assert_true(qw_json_size(qw_json_get(v, "states")) >= 2);
    assert_non_null(strstr(qw_json_string(qw_json_get(v, "model"), NULL), "qwren-nano"));
    qw_json_free(v);
    qwren_free(json);

    m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    s = nano_session(m, 0);
    load(s);
    char *resumed = ask(s, more, n);
    assert_string_equal(resumed, uninterrupted);
    qwren_session_free(s);
    qwren_model_close(m);
    qw_free(resumed);
    qw_free(uninterrupted);
    qw_free(more);
    qw_free(answer);
    qw_free(request);
    qw_free(url);
}

/* A prompt that is stopped in the middle, wherever that is: its usage tells what was computed, and another process goes on there. */
static void a_stopped_prompt_goes_on_in_another_process(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    qw_buf_puts(&b, "{\"messages\": [{\"role\": \"user\", \"content\": \"");
    for (int i = 0; i < 3000; i++)
        qw_buf_puts(&b, "word ");
    qw_buf_puts(&b, "\"}], \"max_tokens\": 4}");
    char *request = NULL;
    assert_int_equal(qw_buf_take(&b, &request, NULL, NULL), QWREN_OK);
    size_t known = 0;
    for (int run = 0; run < 4; run++) {
        qwren_model *m = open_model(true, QWREN_ARITHMETIC_DEFAULT);
        qwren_session *s = nano_session(m, 4096);
        nano_events e = { .stop_kind = QWREN_EVENT_PREFILL, .stop_at = 2 }; /* 1: before anything is computed */
        qwren_chat_options opt = nano_greedy();
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_result *r = nano_ask(s, &opt, request);
        const qwren_stats *stats = qwren_result_stats(r);
        assert_string_equal(qwren_result_finish_reason(r), "cancelled");
        assert_int_equal(stats->reused_tokens, known);
        assert_int_equal(stats->computed_tokens, qwren_session_length(s) - known);
        assert_true(stats->computed_tokens > 0 && stats->reused_tokens + stats->computed_tokens < stats->prompt_tokens);
        known = qwren_session_length(s);
        qwren_result_free(r);
        nano_events_free(&e);
        qwren_session_free(s);
        qwren_model_close(m);
    }
    qw_free(request);
}

static void what_does_not_belong_is_refused(void **state)
{
    (void)state;
    qwren_error err;
    char *json;
    qwren_model *m = open_model(false, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    qw_free(ask(s, FIRST, 0));
    save(s);
    qwren_session_free(s);
    qwren_model_close(m);

    m = open_model(false, QWREN_ARITHMETIC_EXACT);
    s = nano_session(m, 0);
    assert_int_equal(qwren_session_load(s, path, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "belongs to qwren-nano"));
    assert_non_null(strstr(err.text, "f16 cache, default arithmetic"));
    assert_non_null(strstr(err.text, "f32 cache, exact arithmetic"));
    assert_int_equal(qwren_session_save(s, path, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_session_load(s, "/nowhere", &err), QWREN_E_IO);
    assert_int_equal(qwren_session_save(s, "/nowhere/at/all", &err), QWREN_E_IO);
    assert_int_equal(qwren_session_load(s, NULL, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_session_save(s, NULL, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_session_inspect(NULL, &json, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_session_inspect(NANO "/config.json", &json, &err), QWREN_E_FORMAT);
    assert_null(json);
    qwren_session_free(s);
    qwren_model_close(m);
}

/* ---- the folder */

static void the_next_run_finds_what_this_one_computed(void **state)
{
    (void)state;
    qwren_model *m = open_model(true, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    char *answer = ask(s, FIRST, 0), *request = second(answer);
    const size_t n = qwren_session_length(s);
    char *uninterrupted = ask(s, request, n);
    qwren_session_free(s);
    qwren_model_close(m);

    m = open_model(true, QWREN_ARITHMETIC_DEFAULT);
    s = nano_session(m, 0);
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(s, &opt, request);
    assert_string_equal(qwren_result_content(r), uninterrupted);
    assert_true(qwren_result_stats(r)->reused_tokens >= n);
    qwren_result_free(r);
    qwren_session_free(s);
    qwren_model_close(m);
    qw_free(uninterrupted);
    qw_free(request);
    qw_free(answer);
}

/* What was answered is on disk before the process dies. */
static void a_process_that_dies_leaves_what_it_had_finished(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        qwren_model *m = open_model(true, QWREN_ARITHMETIC_DEFAULT);
        qwren_session *s = nano_session(m, 0);
        qw_free(ask(s, FIRST, 0));
        _exit(0); /* without freeing anything */
    }
    waitpid(child, NULL, 0);
    qwren_model *m = open_model(true, QWREN_ARITHMETIC_DEFAULT);
    qwren_session *s = nano_session(m, 0);
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(s, &opt, FIRST);
    assert_true(qwren_result_stats(r)->reused_tokens > 0);
    assert_true(qwren_result_stats(r)->reused_tokens + 8 >= qwren_result_stats(r)->prompt_tokens);
    qwren_result_free(r);
    qwren_session_free(s);
    qwren_model_close(m);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    qwren_model_options opt = qwren_model_options_default();
    qwren_model *m;
    qwren_error err;
    opt.cache_dir = "/nowhere/at/all";
    assert_int_equal(qwren_model_open(&m, NANO, &opt, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    opt.cache_dir = NANO "/config.json";
    qwren_session *s = NULL;
    const qwren_status st = qwren_model_open(&m, NANO, &opt, &err);
    assert_true(st == QWREN_E_IO || qwren_session_create(&s, m, NULL, &err) == QWREN_E_IO);
    qwren_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_restored_session_reuses_every_token, remove_files),
        cmocka_unit_test_teardown(a_restored_session_guesses_ahead, remove_files),
        cmocka_unit_test_teardown(a_picture_comes_back_too, remove_files),
        cmocka_unit_test_teardown(a_stopped_prompt_goes_on_in_another_process, remove_files),
        cmocka_unit_test_teardown(what_does_not_belong_is_refused, remove_files),
        cmocka_unit_test_teardown(the_next_run_finds_what_this_one_computed, remove_files),
        cmocka_unit_test_teardown(a_process_that_dies_leaves_what_it_had_finished, remove_files),
        cmocka_unit_test_teardown(a_folder_that_cannot_be_made_is_an_error, remove_files),
        cmocka_unit_test_teardown(a_folder_without_room_in_memory_is_told, remove_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
