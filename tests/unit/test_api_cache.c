/* The prefix cache behind the public API: sessions of one model share what they have computed, go back, and fork. */
#include "support/nano.h"

#include <string.h>

#include "base/alloc.h"

static qwren_model *open_with(size_t cache_bytes)
{
    qwren_model_options opt = qwren_model_options_default();
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    opt.n_threads = 2;
    opt.cache_bytes = cache_bytes;
    if (qwren_model_open(&m, NANO, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return m;
}

#define QUESTION \
  "{'messages': [{'role': 'system', 'content': 'Be short.'}, {'role': 'user', 'content': 'What is 17 + 25?'}], 'max_tokens': 12}"
#define ANOTHER \
  "{'messages': [{'role': 'system', 'content': 'Be short.'}, {'role': 'user', 'content': 'Translate red to German.'}], 'max_tokens': 12}"

/* How many tokens of the prompt were there already, in a session of its own. */
static size_t reused(const qwren_model *m, const char *request)
{
    qwren_chat_options opt = nano_greedy();
    qwren_session *s = nano_session(m, 0);
    qwren_result *r = nano_ask(s, &opt, request);
    const size_t n = qwren_result_stats(r)->reused_tokens;
    assert_true(n < qwren_result_stats(r)->prompt_tokens);
    qwren_result_free(r);
    qwren_session_free(s);
    return n;
}

static void sessions_of_a_model_share(void **state)
{
    (void)state;
    qwren_model *m = open_with(0);
    assert_int_equal(reused(m, QUESTION), 0);
    const size_t again = reused(m, QUESTION), system = reused(m, ANOTHER);
    assert_true(again > system && system > 0);
    qwren_model_close(m);
}

static void no_cache_is_no_cache(void **state)
{
    (void)state;
    qwren_model *m = open_with(1);
    assert_int_equal(reused(m, QUESTION), 0);
    assert_int_equal(reused(m, QUESTION), 0);
    qwren_model_close(m);
}

static void each_type_of_cache_has_its_own(void **state)
{
    (void)state;
    qwren_model *m = open_with(0);
    qwren_chat_options opt = nano_greedy();
    qwren_session_options so = qwren_session_options_default();
    qwren_session *s = NULL;
    assert_true(reused(m, QUESTION) == 0);
    so.kv_type = QWREN_KV_F32;
    assert_int_equal(qwren_session_create(&s, m, &so, NULL), QWREN_OK);
    qwren_result *r = nano_ask(s, &opt, QUESTION);
    assert_int_equal(qwren_result_stats(r)->reused_tokens, 0);
    qwren_result_free(r);
    qwren_session_free(s);
    qwren_model_close(m);
}

static void a_session_goes_back_and_forks(void **state)
{
    (void)state;
    qwren_model *m = open_with(0);
    qwren_session *s = nano_session(m, 0), *f = NULL;
    const size_t V = (size_t)qwren_model_get_info(m)->vocab_size;
    int32_t ids[40], one = 7;
    qwren_error err = { 0 };
    float *want = qw_malloc(V * sizeof *want);
    for (int i = 0; i < 40; i++)
        ids[i] = 100 + i;
    assert_int_equal(qwren_session_eval(s, ids, 21, NULL, 0, NULL, NULL, &err), QWREN_OK);
    memcpy(want, qwren_session_logits(s), V * sizeof *want);
    assert_int_equal(qwren_session_eval(s, ids + 21, 19, NULL, 0, NULL, NULL, &err), QWREN_OK);
    assert_int_equal(qwren_session_rewind(s, 20, &err), QWREN_OK);
    assert_int_equal(qwren_session_length(s), 20);
    assert_int_equal(qwren_session_fork(&f, s, &err), QWREN_OK);
    assert_int_equal(qwren_session_step_many(&f, &one, 1, &err), QWREN_OK);
    assert_int_equal(qwren_session_step_many(&s, ids + 20, 1, &err), QWREN_OK);
    assert_memory_equal(want, qwren_session_logits(s), V * sizeof *want);
    assert_int_equal(qwren_session_length(f), 21);
    assert_int_equal(qwren_session_rewind(s, 99, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "99"));
    qw_free(want);
    qwren_session_free(s);
    qwren_session_free(f);
    qwren_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_of_a_model_share),
        cmocka_unit_test(no_cache_is_no_cache),
        cmocka_unit_test(each_type_of_cache_has_its_own),
        cmocka_unit_test(a_session_goes_back_and_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
