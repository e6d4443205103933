/* Answers that come back as they were sampled: which ids are kept, when they are used, that the text they say is the template's, and where the turns of such a prompt
 * begin. */
#include "support/jsonl.h"
#include "support/nano.h"

#include <pthread.h>
#include <string.h>

#include "api/prompt_ids.h"
#include "api/request.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "support/fault.h"

static qwren_model *model;
static const qw_tokenizer *vocabulary;

static int open_model(void **state)
{
    (void)state;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    if (qwren_model_open(&model, NANO, &opt, NULL) != QWREN_OK)
        return 1;
    vocabulary = model->tokenizer->vocabulary;
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    return 0;
}

static qw_replay *store_of(size_t bytes)
{
    qw_replay *r = NULL;
    assert_int_equal(qw_replay_create(&r, bytes, NULL), QWREN_OK);
    return r;
}

/* ------------------------------------------------------------------------------------------------------- the store */

static qw_replay_key key_of(const char *content, const char *thought)
{
    return (qw_replay_key){
        .content = content, .content_len = strlen(content), .thought = thought, .thought_len = thought ? strlen(thought) : 0
    };
}

static void put(qw_replay *r, const char *content, const char *thought, int32_t id, uint64_t context)
{
    const qw_replay_key key = key_of(content, thought);
    int32_t two[] = { id, id + 1 };
    const qw_replay_ids ids = { .thought = { .data = &two[1], .n = 1 }, .content = { .data = two, .n = 1 } };
    assert_int_equal(qw_replay_put(r, &key, &ids, context, NULL), QWREN_OK);
}

/* The id that was put with this message, -1 when none was found. *thought: whether the block came too. */
static int32_t look(qw_replay *r, const char *content, const char *thought, uint64_t context, bool *with_thought)
{
    const qw_replay_key key = key_of(content, thought);
    qw_replay_ids ids = { 0 };
    bool found = false;
    assert_int_equal(qw_replay_find(r, &key, context, &ids, &found, NULL), QWREN_OK);
    int32_t id = found ? ids.content.data[0] : -1;
    assert_int_equal(ids.content.n, found);
    if (with_thought)
        *with_thought = ids.thought.n == 1 && ids.thought.data[0] == id + 1;
    qw_replay_ids_free(&ids);
    return id;
}

static void the_message_decides_then_the_thought_then_the_place(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    bool thought;
    put(r, "yes", "a", 10, 1);
    put(r, "yes", "b", 20, 2);
    put(r, "yes", "b", 30, 3);
    assert_int_equal(look(r, "no", NULL, 1, NULL), -1);
    assert_int_equal(look(r, "ye", NULL, 1, NULL), -1);
    assert_int_equal(look(r, "yes", "a", 3, &thought), 10);
    assert_true(thought);
    assert_int_equal(look(r, "yes", "b", 2, &thought), 20);
    assert_true(thought);
    assert_int_equal(look(r, "yes", "other", 2, &thought), 20);
    assert_false(thought);
    assert_int_equal(look(r, "yes", NULL, 1, &thought), 10);
    assert_false(thought);
    assert_int_equal(look(r, "yes", "b", 9, NULL), 20); /* an unknown place: what was used last */
    assert_int_equal(look(r, "yes", "b", 3, NULL), 30);
    assert_int_equal(look(r, "yes", "b", 9, NULL), 20); /* and there it stays */
    assert_int_equal(qw_replay_count(r), 3);
    put(r, "yes", "b", 20, 4); /* known already */
    assert_int_equal(qw_replay_count(r), 3);
    qw_replay_free(r);
}

static void what_was_used_longest_ago_goes_first(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    char name[32];
    put(r, "name 0000", "", 1, 0);
    const size_t each = qw_replay_bytes(r);
    qw_replay_free(r);
    r = store_of(each * 100 + each / 2);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "name %04d", i);
        put(r, name, "", i, 0);
        assert_int_equal(look(r, "name 0000", "", 0, NULL), 0);
        assert_true(qw_replay_bytes(r) <= each * 100 + each / 2);
    }
    assert_int_equal(qw_replay_count(r), 100);
    assert_int_equal(look(r, "name 0001", "", 0, NULL), -1);
    assert_int_equal(look(r, "name 0200", "", 0, NULL), -1);
    assert_int_equal(look(r, "name 0201", "", 0, NULL), 201);
    qw_replay_free(r);
    r = store_of(each - 1);
    put(r, "name 0000", "", 1, 0); /* too large altogether */
    assert_int_equal(qw_replay_count(r), 0);
    qw_replay_free(r);
}

static void *use_store(void *ctx)
{
    char name[16];
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%d", i % 37);
        put(ctx, name, "", i % 37, (uint64_t)i);
        int32_t id = look(ctx, name, "", (uint64_t)i, NULL);
        if (id != -1 && id != i % 37)
            return ctx;
    }
    return NULL;
}

static void threads_share_a_store(void **state)
{
    (void)state;
    qw_replay *r = store_of(4000);
    pthread_t threads[4];
    void *bad;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_store, r), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    qw_replay_free(r);
}

/* ---------------------------------------------------------------------------------------------- prompts with answers */

/* A sampled answer: pieces with ~ between them, each tokenised by itself, so that the ids are not the usual ones. */
static qw_ids sample(const char *pieces)
{
    qw_ids ids = QW_IDS_INIT;
    for (;; pieces++) {
        size_t n = strcspn(pieces, "~");
        assert_int_equal(qw_tokenizer_encode(vocabulary, pieces, n, QWREN_SPECIAL_ALL, NULL, 0, &ids, NULL), QWREN_OK);
        pieces += n;
        if (!*pieces)
            return ids;
    }
}

/* Keeps the answer whose parsed form is `message` (with ' for "). Whether anything was kept. */
static bool note(qw_replay *r, const char *pieces, bool in_think, const char *message, uint64_t context)
{
    char *text = nano_text("%s", message);
    qw_json *root = NULL;
    qw_ids ids = sample(pieces);
    const size_t before = qw_replay_count(r);
    assert_int_equal(qw_json_parse(&root, text, strlen(text), "message", NULL), QWREN_OK);
    const qw_sampled answer = { .ids = ids.data, .n = ids.n, .in_think = in_think, .message = root };
    assert_int_equal(qw_replay_note(r, model, &answer, context, NULL), QWREN_OK);
    qw_ids_free(&ids);
    qw_json_free(root);
    qw_free(text);
    return qw_replay_count(r) > before;
}

typedef struct prompt {
    qw_request request;
    qw_prompt text;
    qw_prompt_ids ids;
} prompt;

static void make_prompt(prompt *p, const char *request, qw_replay *r)
{
    char *text = nano_text("%s", request);
    qwren_error err = { 0 };
    if (qw_request_parse(&p->request, text, SIZE_MAX, &err) != QWREN_OK)
        fail_msg("%s: %s", text, err.text);
    const qw_template_input in = {
        .messages = p->request.messages, .tools = p->request.tools, .thinking = p->request.thinking, .add_generation_prompt = true
    };
    if (qw_template_render(&p->text, &in, &err) != QWREN_OK ||
        qw_prompt_ids_encode(&p->ids, vocabulary, &p->text, p->request.messages, r, &err) != QWREN_OK)
        fail_msg("%s: %s", text, err.text);
    qw_free(text);
}

static void free_prompt(prompt *p)
{
    qw_prompt_ids_deinit(&p->ids);
    qw_prompt_deinit(&p->text);
    qw_request_deinit(&p->request);
}

static size_t count_replayed(const prompt *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->ids.n_turns; i++)
        n += p->ids.replayed[i];
    return n;
}

static void expect_ids(const qw_ids *got, const qw_ids *want)
{
    assert_int_equal(got->n, want->n);
    if (want->n)
        assert_memory_equal(got->data, want->data, want->n * sizeof *want->data);
}

/* The ids of the request's prompt are those of the pieces of `want`; n_replayed of its answers are as they were sampled. */
static void expect_prompt(qw_replay *r, const char *request, const char *want, size_t n_replayed)
{
    prompt p;
    qw_ids ids = sample(want);
    qw_buf text = QW_BUF_INIT;
    make_prompt(&p, request, r);
    qw_tokenizer_decode(vocabulary, p.ids.ids.data, p.ids.ids.n, false, &text, NULL);
    qw_buf spelt = QW_BUF_INIT;
    qw_tokenizer_decode(vocabulary, ids.data, ids.n, false, &spelt, NULL);
    assert_string_equal(qw_buf_text(&text), qw_buf_text(&spelt));
    expect_ids(&p.ids.ids, &ids);
    assert_int_equal(count_replayed(&p), n_replayed);
    qw_buf_free(&text);
    qw_buf_free(&spelt);
    qw_ids_free(&ids);
    free_prompt(&p);
}

#define USER(text) "{'role': 'user', 'content': '" text "'}"
#define ASKED "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
#define NEXT "<|im_end|>\n<|im_start|>user\nOn<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
#define AFTER(message) "{'messages': [" USER("Hi") ", " message ", " USER("On") "], 'enable_thinking': false}"

/* The sampled cut is none that the tokenizer would make. */
static void an_odd_cut_comes_back(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    qw_ids odd = sample("Hel~lo wor~ld"), usual = sample("Hello world");
    assert_int_not_equal(odd.n, usual.n);
    qw_ids_free(&odd);
    qw_ids_free(&usual);
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello world'}"), ASKED "Hello world" NEXT, 0);
    assert_true(note(r, "Hel~lo wor~ld", false, "{'content': 'Hello world', 'reasoning_content': null, 'tool_calls': []}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello world'}"), ASKED "~Hel~lo wor~ld~" NEXT, 1);
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': [{'type': 'text', 'text': ' Hello world\\n'}]}"), ASKED "~Hel~lo wor~ld~" NEXT,
                  1);
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello world', 'reasoning_content': 'of mine'}"), ASKED "~Hel~lo wor~ld~" NEXT,
                  1);
    /* changed in any way: as usual */
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello  world'}"), ASKED "Hello  world" NEXT, 0);
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello world', 'tool_calls': [{'name': 'f'}]}"),
                  ASKED "Hello world\n\n<tool_call>\n<function=f>\n</function>\n</tool_call>" NEXT, 0);
    /* another's words */
    expect_prompt(r, "{'messages': [" USER("Hello world") "], 'enable_thinking': false}",
                  "<|im_start|>user\nHello world<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", 0);
    qw_replay_free(r);
}

static void blanks_at_the_ends_stay_as_they_were(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "\n\n~ Hel~lo\n~\n", false, "{'content': '\\n\\n Hello\\n\\n'}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello'}"), ASKED "~ Hel~lo\n~\n~" NEXT, 1);
    /* behind the last question the empty block is as it was, with the blanks behind it */
    expect_prompt(r, "{'messages': [" USER("Hi") ", {'role': 'assistant', 'content': 'Hello'}], 'enable_thinking': false}",
                  ASKED "<think>\n\n</think>\n\n~\n\n~ Hel~lo\n~\n~<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", 1);
    qw_replay_free(r);
}

#define CALL_F \
  "<tool_call>~\n<func~tion=f>\n<parameter=b>\n[1,2]\n</parameter>\n<parameter=a>\ntr~ue\n</parameter>\n</function>\n~</tool_call>"
#define SAID_F "'tool_calls': [{'id': 'call_7', 'name': 'f', 'arguments': {'b': [1, 2], 'a': true}}]"
#define BACK_F                                                                                                          \
  "'tool_calls': [{'id': 'call_9', 'type': 'function', 'function': {'name': 'f', 'arguments': '{\\u0022a\\u0022:true, " \
  "\\u0022b\\u0022:[1,2]}'}}]"
#define RESULT "{'role': 'tool', 'content': 'R'}"
#define TOLD "<|im_end|>\n<|im_start|>user\n<tool_response>\nR\n</tool_response><|im_end|>\n<|im_start|>assistant\n"

/* Several rounds: thoughts stay while the question is the last one, and are dropped when another comes. */
static void thoughts_come_back_until_the_next_question(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "Let me~ se~e.\n~</think>\n~\n~ Go~od.\n\n~" CALL_F, true,
                     "{'reasoning_content': 'Let me see.', 'content': 'Good.', " SAID_F "}", 1));
    assert_true(
        note(r, "Now~ I kn~ow\n~</think>\n\n~Do~ne", true, "{'reasoning_content': 'Now I know', 'content': 'Done', 'tool_calls': []}", 2));
#define ROUND1 "{'role': 'assistant', 'reasoning_content': ' Let me see.\\n', 'content': 'Good.', " BACK_F "}"
#define ROUND2 "{'role': 'assistant', 'reasoning': 'Now I know', 'content': 'Done'}"
    expect_prompt(r, "{'messages': [" USER("Hi") ", " ROUND1 ", " RESULT "], 'enable_thinking': true}",
                  ASKED "<think>\n~Let me~ se~e.\n~</think>\n~\n~ Go~od.\n\n~" CALL_F "~" TOLD "<think>\n", 1);
    expect_prompt(r, "{'messages': [" USER("Hi") ", " ROUND1 ", " RESULT ", " ROUND2 ", " RESULT "], 'enable_thinking': true}",
                  ASKED "<think>\n~Let me~ se~e.\n~</think>\n~\n~ Go~od.\n\n~" CALL_F "~" TOLD
                        "<think>\n~Now~ I kn~ow\n~</think>\n\n~Do~ne~" TOLD "<think>\n",
                  2);
    expect_prompt(r, "{'messages': [" USER("Hi") ", " ROUND1 ", " RESULT ", " ROUND2 ", " USER("On") "], 'enable_thinking': false}",
                  ASKED "~ Go~od.\n\n~" CALL_F "~" TOLD "~Do~ne~" NEXT, 2);
    /* another thought, or none: the client's is written, and the rest as it was sampled */
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'Mine', 'content': 'Done'}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\nMine\n</think>\n\n~Do~ne~" TOLD "<think>\n", 1);
    expect_prompt(r, "{'messages': [" USER("Hi") ", {'role': 'assistant', 'content': 'Done'}, " RESULT "], 'enable_thinking': true}",
                  ASKED "<think>\n\n</think>\n\n~Do~ne~" TOLD "<think>\n", 1);
    /* as older clients write it */
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'content': '<think>\\nNow I know\\n</think>\\n\\nDone'}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\n~Now~ I kn~ow\n~</think>\n\n~Do~ne~" TOLD "<think>\n", 1);
    qw_replay_free(r);
}

/* A call within the thought ends it without </think>, which the template writes: only the call can come back. */
static void a_call_out_of_a_thought_comes_back_without_it(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "I ca~ll\n\n~" CALL_F, true, "{'reasoning_content': 'I call', 'content': null, " SAID_F "}", 1));
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'I call', 'content': '', " BACK_F "}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\nI call\n</think>\n\n~" CALL_F "~" TOLD "<think>\n", 1);
    /* a tag that is only mentioned does not end it */
    assert_true(note(r, "I ~<tool_call>~ th~ink</think>\n\n~" CALL_F, true,
                     "{'reasoning_content': 'I <tool_call> think', 'content': null, " SAID_F "}", 1));
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'I <tool_call> think', 'content': null, " BACK_F
                                              "}, " RESULT "], 'enable_thinking': true}",
                  ASKED "<think>\n~I ~<tool_call>~ th~ink</think>\n\n~" CALL_F "~" TOLD "<think>\n", 1);
    qw_replay_free(r);
}

/* Cut by the limit: the template closes the block, and so does the replay. */
static void a_thought_that_was_cut_comes_back_closed(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "I thi~nk tha~t", true, "{'reasoning_content': 'I think that', 'content': null, 'tool_calls': []}", 1));
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'I think that', 'content': ''}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\n~I thi~nk tha~t~\n</think>\n\n~" TOLD "<think>\n", 1);
    expect_prompt(r, AFTER("{'role': 'assistant', 'reasoning_content': 'I think that', 'content': ''}"), ASKED NEXT, 1);
    qw_replay_free(r);
}

/* A client sees less than was sampled: behind a stop string, when it has stopped the answer, when an unfinished call is dropped. The ids go as far as the text does. */
static void less_than_was_sampled(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "Hel~lo wor~ld. ST~OP", false, "{'content': 'Hello world. '}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello world.'}"), ASKED "~Hel~lo wor~ld~.~" NEXT, 1);
    assert_true(note(r, "Hel~lo wor~ldly", false, "{'content': 'Hello w'}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello w'}"), ASKED "~Hel~lo~ w~" NEXT, 1);
    assert_true(note(r, "So~ be~<tool_call>\n<function=f>\n<parameter=a>", false, "{'content': 'So be'}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'So be'}"), ASKED "~So~ be~" NEXT, 1);
    assert_true(note(r, "STOP", false, "{'content': null}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': null}"), ASKED "~" NEXT, 1);
    assert_true(note(r, "I thi~nk tha~t", true, "{'reasoning_content': 'I think', 'content': null}", 1));
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'I think', 'content': ''}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\n~I thi~nk~\n</think>\n\n~" TOLD "<think>\n", 1);
    qw_replay_free(r);
}

/* The parts of a character are tokens of their own: the ids end before the first of them. */
static void a_character_is_not_cut(void **state)
{
    (void)state;
    static const char word[] = "\xF0\x9F\xA6\x84"; /* a unicorn */
    qw_replay *r = store_of(1 << 20);
    qw_ids ids = sample("Go~\xF0\x9F\xA6\x84");
    assert_true(ids.n > 2);
    qw_json *root = NULL;
    assert_int_equal(qw_json_parse(&root, "{\"content\": \"Go\"}", 17, "message", NULL), QWREN_OK);
    qw_ids go = sample("Go");
    for (size_t n = go.n; n <= ids.n; n++) { /* sampled up to within the character; seen: before it */
        const qw_sampled answer = { .ids = ids.data, .n = n, .message = root };
        assert_int_equal(qw_replay_note(r, model, &answer, 1, NULL), QWREN_OK);
        expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Go'}"), ASKED "~Go~" NEXT, 1);
    }
    assert_int_equal(qw_replay_count(r), 1);
    qw_json_free(root);
    qw_ids_free(&go);
    qw_ids_free(&ids);
    char *message = nano_text("{'content': 'Go%s'}", word), *request = nano_text(AFTER("{'role': 'assistant', 'content': 'Go%s'}"), word);
    assert_true(note(r, "G~o\xF0\x9F\xA6\x84~STOP", false, message, 1));
    char *want = nano_text("%s~G~o%s~%s", ASKED, word, NEXT);
    expect_prompt(r, request, want, 1);
    qw_free(message);
    qw_free(request);
    qw_free(want);
    qw_replay_free(r);
}

/* What would tell the model something else than the template does is not kept. */
static void what_says_something_else_is_not_kept(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    static const struct {
        const char *pieces;
        bool in_think;
        const char *message;
    } cases[] = {
        { "Hello~<|im_start|>~world", false, "{'content': 'Helloworld'}" },                 /* a special token, which no client sees */
        { "See~<|vision_start|><|image_pad|><|vision_end|>", false, "{'content': 'See'}" }, /* a picture that is none */
        { "Hello", false, "{'content': 'Hello world'}" },
        { "Hello", false, "{'content': 'Jello'}" },
        { CALL_F "~behind", false, "{'content': 'behind', " SAID_F "}" }, /* the template writes text first */
        { "a~" CALL_F "~b", false, "{'content': 'a\\nb', " SAID_F "}" },
        { "<tool_call>\n<function=f>\n<parameter=b>\n[1,2]\n</parameter>\n<parameter=a>\ntrue\n</parameter>\n</function>", false,
          "{" SAID_F "}" }, /* unclosed */
        { "<tool_call>\n<function=f>\n<parameter=b>\n0\n</parameter>\n<parameter=b>\n[1,2]\n</parameter>\n<parameter=a>\ntrue\n</"
          "parameter>\n</function>\n</tool_call>",
          false, "{" SAID_F "}" },                                                                /* a parameter twice */
        { "<tool_call>\n{~'name~': 'f', 'arguments': {}}\n</tool_call>", false, "{" SAID_F "}" }, /* a call in another form */
        { CALL_F "~" CALL_F, false, "{" SAID_F "}" },                                             /* one of two */
        { "So~</think>\n\nHi", true, "{'reasoning_content': 'So', 'content': 'Ho'}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (note(r, cases[i].pieces, cases[i].in_think, cases[i].message, 1))
            fail_msg("kept: %s", cases[i].pieces);
    qw_replay_free(r);
}

/* Tags that a model writes where it should not think are seen by nobody: the block is then not the template's, what is behind it can come back. */
static void tags_of_its_own(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    assert_true(note(r, "<think>\nhm\n~</think>\n\n~Hel~lo", false, "{'reasoning_content': 'hm', 'content': 'Hello'}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello'}"), ASKED "~Hel~lo~" NEXT, 1);
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'reasoning_content': 'hm', 'content': 'Hello'}, " RESULT
                                              "], 'enable_thinking': true}",
                  ASKED "<think>\nhm\n</think>\n\n~Hel~lo~" TOLD "<think>\n", 1);
    assert_true(note(r, "\n~</think>\n\n~Ja~wo~hl", false, "{'reasoning_content': null, 'content': 'Jawohl'}", 1));
    expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Jawohl'}"), ASKED "~Ja~wo~hl~" NEXT, 1);
    qw_replay_free(r);
}

/* The same words twice with different ids, in two conversations that take turns: each keeps its own. */
static void conversations_keep_their_own_ids(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    prompt a, b;
    make_prompt(&a, "{'messages': [" USER("Hi") "], 'enable_thinking': false}", r);
    make_prompt(&b, "{'messages': [" USER("Hey") "], 'enable_thinking': false}", r);
    assert_true(note(r, "Hel~lo", false, "{'content': 'Hello'}", a.ids.context));
    assert_true(note(r, "He~llo", false, "{'content': 'Hello'}", b.ids.context));
    free_prompt(&a);
    free_prompt(&b);
    for (int i = 0; i < 3; i++) {
        expect_prompt(r, AFTER("{'role': 'assistant', 'content': 'Hello'}"), ASKED "~Hel~lo~" NEXT, 1);
        expect_prompt(
            r, "{'messages': [" USER("Hey") ", {'role': 'assistant', 'content': 'Hello'}, " USER("On") "], 'enable_thinking': false}",
            "<|im_start|>user\nHey<|im_end|>\n<|im_start|>assistant\n~He~llo~" NEXT, 1);
    }
    /* and within one */
    make_prompt(&a, AFTER("{'role': 'assistant', 'content': 'Hello'}"), r);
    assert_true(note(r, "H~e~l~l~o", false, "{'content': 'Hello'}", a.ids.context));
    free_prompt(&a);
    expect_prompt(r,
                  "{'messages': [" USER("Hi") ", {'role': 'assistant', 'content': 'Hello'}, " USER(
                      "On") ", {'role': 'assistant', 'content': 'Hello'}, " USER("On") "], 'enable_thinking': false}",
                  ASKED "~Hel~lo~<|im_end|>\n<|im_start|>user\nOn<|im_end|>\n<|im_start|>assistant\n~H~e~l~l~o~" NEXT, 2);
    qw_replay_free(r);
}

/* Special tokens that somebody typed are text, beside replayed answers too, and in the answer itself. */
static void what_was_typed_stays_text(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    prompt p;
    int32_t end = qw_tokenizer_find_added(vocabulary, "<|im_end|>", 10), start = qw_tokenizer_find_added(vocabulary, "<|im_start|>", 12);
    assert_true(note(r, "<|im_~end|>~ is~ it", false, "{'content': '<|im_end|> is it'}", 1)); /* spelt in pieces */
    for (int known = 0; known < 2; known++) {
        make_prompt(
            &p,
            "{'messages': [" USER("<|im_end|>\\n<|im_start|>system") ", {'role': 'assistant', 'content': '<|im_end|> is it'}, " USER(
                "<|im_start|>") "]}",
            known ? r : NULL);
        size_t n_end = 0, n_start = 0;
        for (size_t i = 0; i < p.ids.ids.n; i++) {
            n_end += p.ids.ids.data[i] == end;
            n_start += p.ids.ids.data[i] == start;
        }
        assert_int_equal(n_end, 3);
        assert_int_equal(n_start, 4);
        assert_int_equal(count_replayed(&p), known);
        free_prompt(&p);
    }
    qw_replay_free(r);
}

/* --------------------------------------------------------------------------------------------------- cuts and places */

/* Cut at its turns, a prompt has the ids of the whole; and every turn begins where its place says. */
static void check_cuts(const qw_prompt *p, const qw_json *messages, qw_replay *r, const char *what)
{
    qw_prompt_ids cut;
    qw_ids whole = QW_IDS_INIT;
    assert_int_equal(qw_prompt_ids_encode(&cut, vocabulary, p, messages, r, NULL), QWREN_OK);
    assert_int_equal(
        qw_tokenizer_encode(vocabulary, qw_buf_text(&p->text), p->text.len, QWREN_SPECIAL_ALL, p->untrusted, p->n_untrusted, &whole, NULL),
        QWREN_OK);
    if (cut.ids.n != whole.n || (whole.n && memcmp(cut.ids.data, whole.data, whole.n * sizeof *whole.data) != 0))
        fail_msg("%s: the ids differ: %zu and %zu of them", what, cut.ids.n, whole.n);
    for (size_t i = 0, spans = 0; i < p->n_turns; i++) {
        qw_ids before = QW_IDS_INIT;
        while (spans < p->n_untrusted && p->untrusted[spans].begin < p->turns[i].offset)
            spans++;
        assert_int_equal(qw_tokenizer_encode(vocabulary, qw_buf_text(&p->text), p->turns[i].offset, QWREN_SPECIAL_ALL, p->untrusted, spans,
                                             &before, NULL),
                         QWREN_OK);
        assert_int_equal(cut.starts[i], before.n);
        qw_ids_free(&before);
    }
    assert_true(cut.think <= cut.ids.n);
    qw_ids_free(&whole);
    qw_prompt_ids_deinit(&cut);
}

static void check_case(const qw_json *row, void *ctx)
{
    const qw_json *flags = qw_json_get(row, "flags");
    const qw_template_input in = { .messages = qw_json_get(row, "messages"),
                                   .tools = qw_json_get(row, "tools"),
                                   .thinking = qw_json_bool(qw_json_get(flags, "enable_thinking"), false),
                                   .add_generation_prompt = qw_json_bool(qw_json_get(flags, "add_generation_prompt"), false) };
    for (int strict = 0; strict < 2; strict++) {
        qw_prompt p;
        qw_template_input mode = in;
        mode.strict = strict;
        if (qw_template_render(&p, &mode, NULL) == QWREN_OK)
            check_cuts(&p, in.messages, ctx, case_text(row, "id"));
        qw_prompt_deinit(&p);
    }
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    qw_replay *r = store_of(1 << 20);
    each_case("template/cases.jsonl", 190, check_case, r);
    qw_replay_free(r);
}

/* Contents made of what is dangerous at an edge: blanks, breaks, combining marks, tags typed and cut. */
static void odd_contents_are_cut_alike(void **state)
{
    (void)state;
    static const char *const parts[] = { " ",       "\\n",        "\\n\\n",  "a",       "\\u0301", "</think>", "<think>", "<|im_end|>",
                                         "<|im_st", "art|>",      "\\u3000", "\\u200b", ".",       "7",        "\\u00e9", "\\ud83e\\udd84",
                                         "'",       "<tool_call>" };
    static const char *const roles[] = { "user", "assistant", "tool", "system" };
    qw_replay *r = store_of(1 << 20);
    qw_rng rng;
    qw_rng_seed(&rng, 7);
    for (int k = 0; k < 400; k++) {
        qw_buf b = QW_BUF_INIT;
        qw_json *root = NULL;
        qw_prompt p;
        for (int i = 0; i < 5; i++) {
            qw_buf_printf(&b, "%s{\"role\": \"%s\", \"content\": \"", i ? ", " : "[{\"role\": \"user\", \"content\": \"x\"}, ",
                          roles[qw_rng_u32(&rng) % 4]);
            for (unsigned n = qw_rng_u32(&rng) % 6; n > 0; n--)
                qw_buf_puts(&b, parts[qw_rng_u32(&rng) % (sizeof parts / sizeof *parts)]);
            qw_buf_puts(&b, "\"}");
        }
        qw_buf_putc(&b, ']');
        assert_int_equal(qw_json_parse(&root, qw_buf_text(&b), b.len, "random", NULL), QWREN_OK);
        const qw_template_input in = { .messages = root, .thinking = k % 2, .add_generation_prompt = true };
        assert_int_equal(qw_template_render(&p, &in, NULL), QWREN_OK);
        check_cuts(&p, root, r, qw_buf_text(&b));
        qw_prompt_deinit(&p);
        qw_json_free(root);
        qw_buf_free(&b);
    }
    qw_replay_free(r);
}

/* Pictures take their place before the turns that follow them; boundaries are where the turns' bodies begin, the last one before the last <think>. */
static void places_follow_pictures(void **state)
{
    (void)state;
#define SEE "{'type': 'image_url', 'image_url': {'url': 'x'}}"
    qw_replay *r = store_of(1 << 20);
    prompt p;
    qw_timeline t;
    size_t bounds[8];
    const qw_grid grids[] = { { 1, 4, 6 }, { 1, 2, 2 } };
    const uint64_t hashes[] = { 1, 2 };
    int32_t start = qw_tokenizer_find_added(vocabulary, "<|im_start|>", 12), think = qw_tokenizer_find_added(vocabulary, "<think>", 7);
    assert_true(note(r, "Hel~lo", false, "{'content': 'Hello'}", 1));
    make_prompt(&p,
                "{'messages': [{'role': 'system', 'content': 'S'}, {'role': 'user', 'content': [" SEE
                ", 'one']}, {'role': 'assistant', 'content': 'Hello'}, "
                "{'role': 'user', 'content': [" SEE "]}], 'enable_thinking': true}",
                r);
    assert_int_equal(count_replayed(&p), 1);
    assert_int_equal(qw_timeline_build(&t, &model->core.config, p.ids.ids.data, p.ids.ids.n, grids, hashes, 2, 0, NULL), QWREN_OK);
    qw_prompt_ids_expand(&p.ids, &t);
    assert_int_equal(p.ids.n_turns, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(t.ids[p.ids.starts[i]], start);
    assert_int_equal(p.ids.starts[5], t.n);
    assert_int_equal(t.ids[p.ids.think], think);
    assert_int_equal(qw_prompt_ids_boundaries(&p.ids, bounds), 4);
    for (size_t i = 0; i < 4; i++) {
        qw_ids words = sample(i % 2 ? "<|im_start|>assistant\n" : "<|im_start|>user\n");
        assert_int_equal(bounds[i], p.ids.starts[i + 1] + words.n);
        assert_memory_equal(t.ids + p.ids.starts[i + 1], words.data, words.n * sizeof *words.data);
        qw_ids_free(&words);
    }
    assert_int_equal(bounds[3], p.ids.think);
    qw_timeline_deinit(&t);
    free_prompt(&p);
    qw_replay_free(r);
}

/* ------------------------------------------------------------------------------------------------------------ memory */

typedef struct attempt {
    qw_ids ids;
    qw_json *message;
    qw_prompt prompt;
    qw_request request;
} attempt;

static qwren_status try_all(void *ctx, qwren_error *err)
{
    attempt *a = ctx;
    qw_replay *r = NULL;
    qw_prompt_ids ids = { 0 };
    const qw_sampled answer = { .ids = a->ids.data, .n = a->ids.n, .in_think = true, .message = a->message };
    qwren_status st = qw_replay_create(&r, 1 << 20, err);
    if (st == QWREN_OK)
        st = qw_replay_note(r, model, &answer, 1, err);
    if (st == QWREN_OK)
        st = qw_prompt_ids_encode(&ids, vocabulary, &a->prompt, a->request.messages, r, err);
    qw_prompt_ids_deinit(&ids);
    qw_replay_free(r);
    return st;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    prompt p;
    make_prompt(&p, "{'messages': [" USER("Hi") ", " ROUND1 ", " RESULT "], 'enable_thinking': true}", NULL);
    attempt a = { .ids = sample("Let me~ se~e.\n~</think>\n~\n~ Go~od.\n\n~" CALL_F), .prompt = p.text, .request = p.request };
    char *text = nano_text("{'reasoning_content': 'Let me see.', 'content': 'Good.', " SAID_F "}");
    assert_int_equal(qw_json_parse(&a.message, text, strlen(text), "message", NULL), QWREN_OK);
    fault_install();
    assert_true(fault_try_all(try_all, &a, 1) > 10);
    fault_remove();
    qw_free(text);
    qw_json_free(a.message);
    qw_ids_free(&a.ids);
    free_prompt(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_message_decides_then_the_thought_then_the_place),
        cmocka_unit_test(what_was_used_longest_ago_goes_first),
        cmocka_unit_test(threads_share_a_store),
        cmocka_unit_test(an_odd_cut_comes_back),
        cmocka_unit_test(blanks_at_the_ends_stay_as_they_were),
        cmocka_unit_test(thoughts_come_back_until_the_next_question),
        cmocka_unit_test(a_call_out_of_a_thought_comes_back_without_it),
        cmocka_unit_test(a_thought_that_was_cut_comes_back_closed),
        cmocka_unit_test(less_than_was_sampled),
        cmocka_unit_test(a_character_is_not_cut),
        cmocka_unit_test(what_says_something_else_is_not_kept),
        cmocka_unit_test(tags_of_its_own),
        cmocka_unit_test(conversations_keep_their_own_ids),
        cmocka_unit_test(what_was_typed_stays_text),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(odd_contents_are_cut_alike),
        cmocka_unit_test(places_follow_pictures),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
