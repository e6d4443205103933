/* Answers with guessing ahead are those without, on qwren-nano's own tasks: greedy and sampled, ended by stop strings, limits, calls and the caller. At least 60 % of the
 * prediction head's first drafts are right. bench/speculation/identity.sh asks the same of all tasks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/nano.h"
#include "support/rounds.h"

#include "base/alloc.h"
#include "base/file.h"

#define MOST_REQUESTS QW_ROUNDS(52)
#define EVERY (1664 / MOST_REQUESTS) /* of the held-out requests */
#define HELDOUT QW_TESTS "/heldout/requests.jsonl"

static qwren_model *model, *draft;
static char *requests[MOST_REQUESTS];

static qwren_session *new_session(qwren_spec spec, int max_drafts, size_t n_ctx)
{
    qwren_session_options opt = qwren_session_options_default();
    qwren_session *s = NULL;
    qwren_error err = { 0 };
    opt.spec = spec;
    opt.max_drafts = max_drafts;
    opt.n_ctx = n_ctx;
    opt.draft_model = spec == QWREN_SPEC_MODEL ? draft : NULL;
    if (qwren_session_create(&s, model, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static void same_answer(const qwren_result *got, const qwren_result *want, const char *request)
{
    const qwren_stats *g = qwren_result_stats(got), *w = qwren_result_stats(want);
    if (!same_text(qwren_result_content(got), qwren_result_content(want)) ||
        !same_text(qwren_result_reasoning(got), qwren_result_reasoning(want)) ||
        !same_text(qwren_result_finish_reason(got), qwren_result_finish_reason(want)) || g->completion_tokens != w->completion_tokens)
        fail_msg("%.200s\n%s\nwithout drafts:\n%s", request, qwren_result_json(got), qwren_result_json(want));
}

static qwren_result *ask(qwren_session *s, const char *request, const qwren_chat_options *opt)
{
    qwren_result *r = NULL;
    qwren_error err = { 0 };
    if (qwren_chat(s, request, opt, &r, &err) != QWREN_OK)
        fail_msg("%.200s: %s", request, err.text);
    return r;
}

/* The same request to both; the answer with drafts. */
static qwren_stats ask_both(qwren_session *s, qwren_session *plain, const char *request, const qwren_chat_options *opt)
{
    qwren_result *got = ask(s, request, opt), *want = ask(plain, request, opt);
    same_answer(got, want, request);
    assert_int_equal(qwren_session_length(s), qwren_session_length(plain));
    const qwren_stats stats = *qwren_result_stats(got);
    assert_int_equal(qwren_result_stats(want)->decode_passes, 0);
    qwren_result_free(got);
    qwren_result_free(want);
    return stats;
}

static void add(qwren_draft_stats *sum, const qwren_draft_stats *d)
{
    sum->drafted += d->drafted;
    sum->accepted += d->accepted;
    for (int i = 0; i < QWREN_DRAFT_PLACES; i++) {
        sum->checked_at[i] += d->checked_at[i];
        sum->accepted_at[i] += d->accepted_at[i];
    }
}

/* All requests; what the drafts of one kind came to. */
static qwren_stats ask_all(qwren_spec spec, int max_drafts, bool greedy)
{
    qwren_session *s = new_session(spec, max_drafts, 0), *plain = new_session(QWREN_SPEC_OFF, 0, 0);
    qwren_chat_options opt = qwren_chat_options_default();
    qwren_stats sum = { 0 };
    opt.greedy = greedy;
    for (size_t i = 0; i < MOST_REQUESTS; i++) {
        const qwren_stats st = ask_both(s, plain, requests[i], &opt);
        assert_true(st.decode_passes <= st.completion_tokens);
        sum.decode_passes += st.decode_passes;
        sum.completion_tokens += st.completion_tokens;
        add(&sum.mtp, &st.mtp);
        add(&sum.lookup, &st.lookup);
        add(&sum.draft_model, &st.draft_model);
    }
    qwren_session_free(s);
    qwren_session_free(plain);
    return sum;
}

static double share(const qwren_draft_stats *d, int place) { return (double)d->accepted_at[place] / (double)d->checked_at[place]; }

static void the_heads_first_drafts_are_mostly_right(void **state)
{
    (void)state;
    const qwren_stats s = ask_all(QWREN_SPEC_MTP, 0, true);
    assert_true(s.mtp.checked_at[0] > MOST_REQUESTS);
    if (share(&s.mtp, 0) < 0.6)
        fail_msg("only %.1f %% of first drafts are right", 100 * share(&s.mtp, 0));
    assert_true(s.decode_passes < s.completion_tokens * 2 / 3);
    assert_int_equal(s.lookup.drafted, 0);
}

static void all_kinds_of_drafts_give_the_same_answers(void **state)
{
    (void)state;
    const qwren_stats one = ask_all(QWREN_SPEC_MTP, 1, true), lookup = ask_all(QWREN_SPEC_LOOKUP, 0, true),
                      model_drafts = ask_all(QWREN_SPEC_MODEL, 3, true);
    assert_int_equal(one.mtp.checked_at[1], 0);
    assert_true(lookup.lookup.drafted > 0 && lookup.mtp.drafted == 0);
    assert_true(model_drafts.draft_model.checked_at[0] > MOST_REQUESTS);
    assert_true(share(&model_drafts.draft_model, 0) > 0.99); /* it is the same model; a request's own penalties may differ from greedy */
    ask_all(QWREN_SPEC_AUTO, 0, true);
}

/* With the model card's temperature and penalties, each request with a seed. */
static void sampled_answers_are_the_same(void **state)
{
    (void)state;
    qwren_session *s = new_session(QWREN_SPEC_MTP, 4, 0), *plain = new_session(QWREN_SPEC_OFF, 0, 0),
                  *autom = new_session(QWREN_SPEC_AUTO, 0, 0);
    for (int seed = 0; seed < 40; seed++) {
        char *text =
            nano_text("{'messages':[{'role':'user','content':'How do you say %s in %s?'}],'seed':%d,'temperature':%g,'max_tokens':%d,"
                      "'presence_penalty':%g,'enable_thinking':%s}",
                      seed % 2 ? "thank you" : "house", seed % 3 ? "German" : "French", seed, 0.5 + seed % 5, 20 + seed, seed % 4 * 0.5,
                      seed % 2 ? "true" : "false");
        ask_both(s, plain, text, NULL);
        ask_both(autom, plain, text, NULL);
        qw_free(text);
    }
    qwren_session_free(s), qwren_session_free(plain), qwren_session_free(autom);
}

/* A conversation, with what ends answers early. */
static void answers_end_in_the_same_place(void **state)
{
    (void)state;
    qwren_session *s = new_session(QWREN_SPEC_MTP, 4, 0), *plain = new_session(QWREN_SPEC_OFF, 0, 0);
    const qwren_chat_options opt = nano_greedy();
    const char *ends[] = { "'max_tokens':1", "'max_tokens':2", "'max_tokens':5", "'stop':['e']", "'stop':['7+','col']" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *first = nano_text("{'messages':[{'role':'user','content':'What is 17 + 25?'}],'enable_thinking':true,%s}", ends[i]);
        ask_both(s, plain, first, &opt);
        qw_free(first);
        char *second = nano_text("{'messages':[{'role':'user','content':'What is 17 + 25?'},{'role':'assistant','content':'42'},"
                                 "{'role':'user','content':'What is 30 - 4?'}],'enable_thinking':true}");
        ask_both(s, plain, second, &opt);
        qw_free(second);
    }
    char *call =
        nano_text("{'messages':[{'role':'user','content':'Please add 3 and 4'}],'tool_choice':'required','tools':[{'type':'function',"
                  "'function':{'name':'add','parameters':{'type':'object','properties':{'a':{'type':'number'},'b':{'type':'number'}}}}}]}");
    ask_both(s, plain, call, &opt);
    qw_free(call);
    qwren_session_free(s), qwren_session_free(plain);
}

typedef struct stopper {
    size_t left; /* events of text */
} stopper;

static bool stop_later(void *ctx, const qwren_event *ev)
{
    stopper *s = ctx;
    return ev->kind == QWREN_EVENT_PREFILL || s->left-- > 0;
}

static void a_cancelled_answer_leaves_the_same_session(void **state)
{
    (void)state;
    qwren_session *s = new_session(QWREN_SPEC_MTP, 4, 0), *plain = new_session(QWREN_SPEC_OFF, 0, 0);
    for (size_t n = 0; n < 12; n++) {
        stopper a = { n }, b = { n };
        qwren_chat_options opt = nano_greedy();
        char *text = nano_text("{'messages':[{'role':'user','content':'What is %zu + 325?'}],'enable_thinking':true}", 100 + n);
        opt.on_event = stop_later;
        opt.event_ctx = &a;
        qwren_result *got = ask(s, text, &opt);
        opt.event_ctx = &b;
        qwren_result *want = ask(plain, text, &opt);
        same_answer(got, want, text);
        assert_string_equal(qwren_result_finish_reason(got), "cancelled");
        assert_int_equal(qwren_session_length(s), qwren_session_length(plain));
        assert_memory_equal(qwren_session_logits(s), qwren_session_logits(plain),
                            sizeof(float) * (size_t)qwren_model_get_info(model)->vocab_size);
        qwren_result_free(got), qwren_result_free(want);
        qw_free(text);
    }
    qwren_session_free(s), qwren_session_free(plain);
}

/* To the last token of the context. */
static void the_context_fills_up_the_same(void **state)
{
    (void)state;
    const qwren_chat_options opt = nano_greedy();
    for (size_t n_ctx = 40; n_ctx < 60; n_ctx += 3) {
        qwren_session *s = new_session(QWREN_SPEC_MTP, 4, n_ctx), *plain = new_session(QWREN_SPEC_OFF, 0, n_ctx);
        char *text = nano_text("{'messages':[{'role':'user','content':'What is 117 + 325?'}],'enable_thinking':true}");
        ask_both(s, plain, text, &opt);
        qw_free(text);
        qwren_session_free(s), qwren_session_free(plain);
    }
}

static void a_fork_guesses_too(void **state)
{
    (void)state;
    qwren_session *s = new_session(QWREN_SPEC_MTP, 4, 0), *plain = new_session(QWREN_SPEC_OFF, 0, 0), *f = NULL;
    const qwren_chat_options opt = nano_greedy();
    qwren_error err = { 0 };
    ask_both(s, plain, requests[0], &opt);
    assert_int_equal(qwren_session_fork(&f, s, &err), QWREN_OK);
    assert_true(ask_both(f, plain, requests[1], &opt).decode_passes > 0);
    qwren_session_free(f), qwren_session_free(s), qwren_session_free(plain);
}

static void refuses(const qwren_model *m, const qwren_session_options *opt, const char *word)
{
    qwren_session *s = NULL;
    qwren_error err = { 0 };
    assert_int_equal(qwren_session_create(&s, m, opt, &err), QWREN_E_ARGUMENT);
    assert_null(s);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void what_cannot_draft_is_refused(void **state)
{
    (void)state;
    qwren_model *tiny = tiny_open(1);
    qwren_session_options opt = qwren_session_options_default();
    opt.spec = QWREN_SPEC_MTP;
    refuses(tiny, &opt, "prediction head");
    opt.spec = QWREN_SPEC_MODEL;
    refuses(model, &opt, "draft_model");
    opt.draft_model = tiny;
    refuses(model, &opt, "other tokens");
    opt.spec = (qwren_spec)17;
    refuses(model, &opt, "qwren_spec");
    opt.spec = QWREN_SPEC_AUTO;
    opt.draft_model = NULL;
    opt.max_drafts = 16;
    refuses(model, &opt, "15");
    opt.max_drafts = 0;
    qwren_session *s = NULL;
    qwren_error err = { 0 };
    assert_int_equal(qwren_session_create(&s, tiny, &opt, &err), QWREN_OK); /* auto takes what there is */
    qwren_session_free(s);
    qwren_model_close(tiny);
}

static int read_requests(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0, line = 0, n = 0;
    if (qw_file_read(HELDOUT, SIZE_MAX / 2, &text, &len, NULL) != QWREN_OK)
        return -1;
    for (char *at = text, *end; at < text + len && n < MOST_REQUESTS; at = end + 1, line++) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        if (line % EVERY == 0)
            requests[n++] = qw_strndup(at, (size_t)(end - at));
    }
    qw_free(text);
    model = nano_open(2);
    draft = nano_open(2);
    return n == MOST_REQUESTS ? 0 : -1;
}

static int put_away(void **state)
{
    (void)state;
    for (size_t i = 0; i < MOST_REQUESTS; i++)
        qw_free(requests[i]);
    qwren_model_close(model);
    qwren_model_close(draft);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heads_first_drafts_are_mostly_right),
        cmocka_unit_test(all_kinds_of_drafts_give_the_same_answers),
        cmocka_unit_test(sampled_answers_are_the_same),
        cmocka_unit_test(answers_end_in_the_same_place),
        cmocka_unit_test(a_cancelled_answer_leaves_the_same_session),
        cmocka_unit_test(the_context_fills_up_the_same),
        cmocka_unit_test(a_fork_guesses_too),
        cmocka_unit_test(what_cannot_draft_is_refused),
    };
    return cmocka_run_group_tests(tests, read_requests, put_away);
}
