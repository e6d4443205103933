/* Several sessions on one model at once: each says what it says alone. Run under the thread sanitizer. */
#include "support/nano.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

#define N_WORKERS 2
#define MAX_REQUESTS 3

typedef struct worker {
    pthread_t thread;
    const qwren_model *model;
    const char *const *requests;
    size_t n;
    char *answers[MAX_REQUESTS];
} worker;

static qwren_status load_grey(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    static const uint8_t rgb[64 * 64 * 3];
    (void)ctx, (void)url;
    return qwren_image_from_rgb(out, rgb, 64, 64, 0, err);
}

/* How much was there already depends on who came first. */
static char *strip_usage(char *json)
{
    char *usage = strstr(json, "\"usage\"");
    assert_non_null(usage);
    *usage = '\0';
    return json;
}

static void *answer_all(void *ctx)
{
    worker *w = ctx;
    qwren_chat_options opt = nano_greedy();
    opt.load_image = load_grey;
    qwren_session *s = nano_session(w->model, 256);
    for (size_t i = 0; i < w->n; i++) {
        qwren_result *r = nano_ask(s, &opt, w->requests[i]);
        w->answers[i] = strip_usage(qw_strdup(qwren_result_json(r)));
        qwren_result_free(r);
    }
    qwren_session_free(s);
    return NULL;
}

static void together_as_alone(qwren_model *m, const char *const *requests, size_t n)
{
    worker alone = { .model = m, .requests = requests, .n = n }, together[N_WORKERS];
    answer_all(&alone);
    for (int i = 0; i < N_WORKERS; i++) {
        together[i] = (worker){ .model = m, .requests = requests, .n = n };
        assert_int_equal(pthread_create(&together[i].thread, NULL, answer_all, &together[i]), 0);
    }
    for (int i = 0; i < N_WORKERS; i++)
        pthread_join(together[i].thread, NULL);
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < N_WORKERS; i++) {
            assert_string_equal(together[i].answers[k], alone.answers[k]);
            qw_free(together[i].answers[k]);
        }
        qw_free(alone.answers[k]);
    }
    qwren_model_close(m);
}

static void conversations_do_not_disturb_each_other(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': true, 'max_tokens': 12}",
        "{'messages': [{'role': 'user', 'content': 'Hello'}], 'temperature': 1, 'seed': 3, 'max_tokens': 12}",
        "{'messages': [{'role': 'user', 'content': 'Hello'}, {'role': 'assistant', 'content': 'Hi'}, {'role': 'user', 'content': 'Bye'}], "
        "'max_tokens': 12}",
    };
    together_as_alone(tiny_open(2), requests, 3);
}

static void pictures_do_not_disturb_each_other(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'grey'}}]}], "
        "'enable_thinking': false, 'max_tokens': 2}"
    };
    together_as_alone(nano_open_cached(2), requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_do_not_disturb_each_other),
        cmocka_unit_test(pictures_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
