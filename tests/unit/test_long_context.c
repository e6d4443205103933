/* A session of 262,144 tokens that holds 2,048 of them uses the memory of 2,048: what is promised (qwren_model_get_memory) against what the process really has. The tiny
 * model's keys and values take 268 MB when all tokens are there. */
#include "support/nano.h"

#include <stdlib.h>

#include "base/machine.h"

#define LONG QW_TEST_DATA "/text/tiny-a/hf"
#define N_CTX 262144
#define N_TOKENS 2048
#define SLACK ((uint64_t)16 << 20) /* checkpoints, huge pages, the allocator's own */

static uint64_t resident(void) { return qw_process_get_memory().resident; }

static uint64_t growth(uint64_t before)
{
    const uint64_t now = resident();
    return now > before ? now - before : 0;
}

static qwren_memory_info needed(const qwren_model *m, size_t n_ctx)
{
    qwren_memory_info info;
    assert_int_equal(qwren_model_get_memory(m, n_ctx, QWREN_KV_DEFAULT, &info, NULL), QWREN_OK);
    return info;
}

static qwren_session *long_session(const qwren_model *m)
{
    qwren_session *s;
    qwren_error err = { 0 };
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = N_CTX;
    if (qwren_session_create(&s, m, &opt, &err))
        fail_msg("%s", err.text);
    assert_int_equal(qwren_session_capacity(s), N_CTX);
    return s;
}

static void eval(qwren_session *s, int32_t *ids, size_t n)
{
    qwren_error err = { 0 };
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * 7 % 256);
    if (qwren_session_eval(s, ids, n, NULL, 0, NULL, NULL, &err))
        fail_msg("%s", err.text);
}

/* Once on a short session first, so that what the model itself brings into memory is there. */
static void a_long_session_with_few_tokens_is_small(void **state)
{
    (void)state;
    qwren_model *m = model_open(LONG, 2, QWREN_ARITHMETIC_DEFAULT);
    int32_t *ids = malloc(N_TOKENS * sizeof *ids);
    assert_non_null(ids);
    qwren_session *warm = nano_session(m, N_TOKENS);
    eval(warm, ids, N_TOKENS / 2);
    const uint64_t before = resident();
    if (before == QW_NOT_KNOWN)
        skip();
    qwren_session *s = long_session(m);
    const uint64_t opened = growth(before);
    eval(s, ids, N_TOKENS);
    const uint64_t used = growth(before);
    const qwren_memory_info few = needed(m, N_TOKENS), all = needed(m, N_CTX);
    print_message("opened: %.1f MB; with %d tokens: %.1f MB, promised for so many: %.1f MB, for all: %.1f MB\n", (double)opened / 1e6,
                  N_TOKENS, (double)used / 1e6, (double)few.total_bytes / 1e6, (double)all.total_bytes / 1e6);
    assert_true(all.kv_bytes > 10 * SLACK);
    assert_true(opened <= few.state_bytes + SLACK);
    assert_true(used <= few.total_bytes + SLACK);
    assert_int_equal(qwren_session_length(s), N_TOKENS);
    qwren_session_free(s);
    qwren_session_free(warm);
    qwren_model_close(m);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_long_session_with_few_tokens_is_small) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
