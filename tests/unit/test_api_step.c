/* qwren_session_step_many: sessions that step together have the logits of those that step alone, and what cannot be stepped changes none of them. */
#include "support/nano.h"

#include <string.h>

#define N 5
#define ROOM 12

static void begin(qwren_session *const *s, size_t n)
{
    const int32_t ids[] = { 3, 14, 15, 92, 65, 35, 8, 97, 9 };
    qwren_error err;
    for (size_t i = 0; i < n; i++) /* of different lengths */
        if (qwren_session_eval(s[i], ids, 1 + 2 * i % 5 + i % 3, NULL, 0, NULL, NULL, &err))
            fail_msg("%s", err.text);
}

static void together_is_as_alone(void **state)
{
    (void)state;
    qwren_model *m = tiny_open(2);
    const size_t V = (size_t)qwren_model_get_info(m)->vocab_size;
    qwren_session *s[N], *alone[N];
    qwren_error err;
    for (size_t i = 0; i < N; i++) {
        s[i] = nano_session(m, ROOM);
        alone[i] = nano_session(m, ROOM);
    }
    begin(s, N);
    begin(alone, N);
    for (int32_t step = 0; step < 4; step++) {
        int32_t ids[N];
        for (int32_t i = 0; i < N; i++)
            ids[i] = (17 * i + 5 * step) % (int32_t)V;
        const size_t n = step == 3 ? 1 : (size_t)(N - step); /* fewer and fewer go on */
        if (qwren_session_step_many(s, ids, n, &err))
            fail_msg("%s", err.text);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(qwren_session_step_many(&alone[i], &ids[i], 1, &err), QWREN_OK);
            assert_int_equal(qwren_session_length(s[i]), qwren_session_length(alone[i]));
            assert_memory_equal(qwren_session_logits(s[i]), qwren_session_logits(alone[i]), V * sizeof(float));
        }
    }
    for (size_t i = 0; i < N; i++) {
        qwren_session_free(s[i]);
        qwren_session_free(alone[i]);
    }
    qwren_model_close(m);
}

static void refused(qwren_session *const *s, const int32_t *ids, size_t n, qwren_status status, const char *word)
{
    qwren_error err = { 0 };
    const size_t before = s ? qwren_session_length(s[0]) : 0;
    const qwren_status st = qwren_session_step_many(s, ids, n, &err);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s (%s) where %s with \"%s\" was expected", qwren_status_name(st), err.text, qwren_status_name(status), word);
    if (s)
        assert_int_equal(qwren_session_length(s[0]), before);
}

static void what_cannot_step_is_told(void **state)
{
    (void)state;
    qwren_model *m = tiny_open(1), *other = tiny_open(1);
    const int32_t V = qwren_model_get_info(m)->vocab_size;
    qwren_session *a = nano_session(m, ROOM), *b = nano_session(m, 1), *c = nano_session(other, ROOM);
    int32_t ids[] = { 1, 2 };
    refused(NULL, ids, 1, QWREN_E_ARGUMENT, "there are no sessions");
    refused((qwren_session *[]){ a }, ids, 0, QWREN_E_ARGUMENT, "there are no sessions");
    refused((qwren_session *[]){ a }, NULL, 1, QWREN_E_ARGUMENT, "there are no sessions");
    refused((qwren_session *[]){ a, a }, ids, 2, QWREN_E_ARGUMENT, "are the same");
    refused((qwren_session *[]){ a, c }, ids, 2, QWREN_E_ARGUMENT, "different models");
    refused((qwren_session *[]){ a, b }, (int32_t[]){ 1, V }, 2, QWREN_E_ARGUMENT, "vocabulary");
    refused((qwren_session *[]){ a, b }, (int32_t[]){ -1, 1 }, 2, QWREN_E_ARGUMENT, "vocabulary");
    assert_int_equal(qwren_session_step_many((qwren_session *[]){ a, b }, ids, 2, NULL), QWREN_OK);
    refused((qwren_session *[]){ a, b }, ids, 2, QWREN_E_LIMIT, "session 1 is full");
    assert_int_equal(qwren_session_length(a), 1);
    qwren_session_free(a);
    qwren_session_free(b);
    qwren_session_free(c);
    qwren_model_close(m);
    qwren_model_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_is_as_alone),
        cmocka_unit_test(what_cannot_step_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
