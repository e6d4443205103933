/* qwren_eval_perplexity and qwren_eval_compare against what the logits of qwren_session_eval say, computed here again in the plainest way. */
#include "support/nano.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/eval.h"
#include "base/alloc.h"
#include "support/fault.h"

static qwren_model *model, *other; /* other: the same checkpoint, opened again */

static int open_models(void **state)
{
    (void)state;
    model = nano_open(1);
    other = nano_open(2);
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    qwren_model_close(model);
    qwren_model_close(other);
    return 0;
}

static size_t vocab(void) { return (size_t)qwren_model_get_info(model)->vocab_size; }

static const char TEXT[] = "apple: 17, boat: 25, chair: 33, door: 48. The value of boat is 25.\n17 + 25 = 42";

/* -log p of ids[at] after ids [first, at). */
static double surprise(const int32_t *ids, size_t first, size_t at)
{
    qwren_session *s = nano_session(model, 0);
    assert_int_equal(qwren_session_eval(s, ids + first, at - first, NULL, 0, NULL, NULL, NULL), QWREN_OK);
    const float *logits = qwren_session_logits(s);
    double most = -INFINITY, sum = 0;
    size_t n = (size_t)qwren_token_count(qwren_model_tokenizer(model));
    for (size_t i = 0; i < n; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - most);
    double nats = most + log(sum) - (double)logits[ids[at]];
    qwren_session_free(s);
    return nats;
}

static void near(const char *what, double got, double want, double most)
{
    if (!(fabs(got - want) <= most))
        fail_msg("%s: %.12g, expected %.12g", what, got, want);
}

static void check_perplexity(const int32_t *ids, size_t n, size_t n_ctx, size_t stride, double tolerance)
{
    qwren_perplexity p;
    qwren_error err;
    double sum = 0;
    qwren_eval_options opt = qwren_eval_options_default();
    opt.n_ctx = n_ctx, opt.stride = stride;
    if (qwren_eval_perplexity(model, TEXT, SIZE_MAX, &opt, &p, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    for (size_t at = 1, end = n_ctx; at < n; at++) {
        if (at >= end)
            end += stride;
        size_t last = end < n ? end : n;
        sum += surprise(ids, last > n_ctx ? last - n_ctx : 0, at);
    }
    assert_int_equal(p.n_tokens, n - 1);
    near("nats", p.nats, sum / (double)(n - 1), tolerance);
    near("perplexity", p.perplexity, exp(p.nats), 1e-9);
    near("bits per byte", p.bits_per_byte, sum / log(2) / (double)p.n_bytes, 10 * tolerance);
    assert_true(p.n_bytes < strlen(TEXT) && p.n_bytes + 12 > strlen(TEXT));
    assert_int_equal(isnan(p.nats_error), n <= n_ctx);
}

static void perplexity_is_the_mean_surprise(void **state)
{
    (void)state;
    int32_t *ids = NULL;
    size_t n = 0;
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(model), TEXT, SIZE_MAX, QWREN_SPECIAL_NONE, &ids, &n, NULL), QWREN_OK);
    assert_true(n > QW_READER_ROWS + 4);
    check_perplexity(ids, n, n, n / 2, 1e-4);
    check_perplexity(ids, n, 16, 8, 1e-4);
    check_perplexity(ids, n, 2, 1, 1e-4);
    qwren_free(ids);
}

static void refuses_perplexity(const char *text, size_t n_ctx, size_t stride, const char *word)
{
    qwren_perplexity p;
    qwren_error err = { 0 };
    qwren_eval_options opt = qwren_eval_options_default();
    opt.n_ctx = n_ctx, opt.stride = stride;
    assert_int_equal(qwren_eval_perplexity(model, text, SIZE_MAX, &opt, &p, &err), QWREN_E_ARGUMENT);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not hold '%s'", err.text, word);
}

static void perplexity_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    refuses_perplexity("", 0, 0, "at least two");
    refuses_perplexity("a", 0, 0, "at least two");
    refuses_perplexity(NULL, 0, 0, "NULL");
    refuses_perplexity(TEXT, 1, 0, "window");
    refuses_perplexity(TEXT, 100000000, 0, "window");
    refuses_perplexity(TEXT, 16, 16, "stride");

    qwren_perplexity p;
    qwren_error err = { 0 };
    assert_int_equal(qwren_eval_perplexity(model, "caf\xe9 au lait", SIZE_MAX, NULL, &p, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "UTF-8"));
}

/* However a letter with an accent is written, the tokens are the same, and so are all figures. */
static void bytes_are_those_of_nfc(void **state)
{
    (void)state;
    qwren_perplexity composed, apart;
    assert_int_equal(qwren_eval_perplexity(model, "un caf\xc3\xa9 noir", SIZE_MAX, NULL, &composed, NULL), QWREN_OK);
    assert_int_equal(qwren_eval_perplexity(model, "un cafe\xcc\x81 noir", SIZE_MAX, NULL, &apart, NULL), QWREN_OK);
    assert_int_equal(composed.n_bytes, apart.n_bytes);
    assert_true(composed.bits_per_byte == apart.bits_per_byte);
}

/* ---- comparison */

#define HELLO                                                                                                               \
  "{\"messages\": [{\"role\": \"user\", \"content\": \"What is 3 + 4?\"}, {\"role\": \"assistant\", \"content\": \"7\"}], " \
  "\"enable_thinking\": false}\n"
#define PLAIN "{\"text\": \"The value of boat is 25.\"}\n"
#define ASKED "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}\n"

static char *picture_line(void)
{
    char *url = nano_data_url(PICTURE);
    char *line = nano_text("{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}, "
                           "{'type': 'text', 'text': 'What is this?'}]}, {'role': 'assistant', 'content': 'Two shapes.'}]}\n",
                           url);
    qw_free(url);
    return line;
}

static qwren_comparison compare(const qwren_model *with, const char *lines)
{
    qwren_comparison c;
    qwren_error err;
    if (qwren_eval_compare(model, &with, 1, lines, SIZE_MAX, NULL, &c, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return c;
}

/* Tokens of lines, as the library reads them. */
static size_t count_ids(const char *lines, size_t *n_answer)
{
    const char *line = NULL;
    size_t left = strlen(lines), len = 0, number = 0, n = 0;
    *n_answer = 0;
    while (qw_sample_next(&lines, &left, &line, &len, &number)) {
        qw_sample s;
        assert_int_equal(qw_sample_read(&s, model, line, len, "line", NULL, NULL, NULL), QWREN_OK);
        n += s.ids.n - (s.n_context < s.ids.n);
        *n_answer += s.ids.n - s.n_context;
        n -= 2 * s.n_images; /* before a picture nothing is foreseen, and a picture foresees nothing */
        qw_sample_deinit(&s);
    }
    return n;
}

static void a_model_is_equal_to_itself(void **state)
{
    (void)state;
    size_t n_answer = 0;
    char *picture = picture_line();
    char *lines = nano_text("%s%s%s%s", HELLO, PLAIN, ASKED, picture);
    size_t n = count_ids(lines, &n_answer);
    qwren_comparison c = compare(other, lines);
    assert_int_equal(c.n_lines, 4);
    assert_int_equal(c.all.n_tokens, n);
    assert_int_equal(c.answers.n_tokens, n_answer);
    assert_int_equal(c.text.n_tokens + c.pictures.n_tokens, n);
    assert_true(c.pictures.n_tokens > 5);
    assert_true(c.all.mean == 0 && c.all.max == 0 && c.all.top_dp == 0 && c.all.top1 == 1 && c.all.top5 == 1);
    assert_true(isnan(c.pictures.mean_error) && c.all.mean_error == 0);
    qw_free(lines);
    qw_free(picture);
}

/* The bundled model with one norm's weight changed, by a folder of its own. */
static qwren_model *open_changed(void)
{
    qwren_model *m = nano_open(1);
    for (size_t i = 0; i < (size_t)m->core.config.text.hidden_size; i++)
        ((float *)m->core.text.norm)[i] *= i % 3 ? 1.0F : 1.3F;
    return m;
}

static double by_hand(qwren_model *changed, const char *text, double *top_dp)
{
    int32_t *ids = NULL;
    size_t n = 0, rows = 0, n_tokens = (size_t)qwren_token_count(qwren_model_tokenizer(model));
    float *p = NULL, *q = NULL;
    double sum = 0;
    qwren_session *a = nano_session(model, 0), *b = nano_session(changed, 0);
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(model), text, SIZE_MAX, QWREN_SPECIAL_NONE, &ids, &n, NULL), QWREN_OK);
    assert_int_equal(qwren_session_eval(a, ids, n, NULL, 0, &p, &rows, NULL), QWREN_OK);
    assert_int_equal(qwren_session_eval(b, ids, n, NULL, 0, &q, &rows, NULL), QWREN_OK);
    *top_dp = 0;
    for (size_t r = 0; r < rows; r++) {
        double zp = 0, zq = 0, best = -1, dp = 0;
        for (size_t i = 0; i < n_tokens; i++) {
            zp += exp((double)p[r * vocab() + i]);
            zq += exp((double)q[r * vocab() + i]);
        }
        for (size_t i = 0; i < n_tokens; i++) {
            double x = exp((double)p[r * vocab() + i]) / zp, y = exp((double)q[r * vocab() + i]) / zq;
            sum += x * log(x / y);
            dp = x > best ? fabs(x - y) : dp;
            best = fmax(best, x);
        }
        *top_dp += dp / (double)rows;
    }
    qwren_free(p);
    qwren_free(q);
    qwren_free(ids);
    qwren_session_free(a);
    qwren_session_free(b);
    return sum / (double)rows;
}

static void a_difference_is_measured(void **state)
{
    (void)state;
    double top_dp = 0;
    qwren_model *changed = open_changed();
    char *line =
        nano_text("{'text': 'apple: 17, boat: 25, chair: 33, door: 48, egg: 59, fish: 61. What is the value of boat? It is 25, and 33.'}");
    const char *text = "apple: 17, boat: 25, chair: 33, door: 48, egg: 59, fish: 61. What is the value of boat? It is 25, and 33.";
    double want = by_hand(changed, text, &top_dp);
    qwren_comparison c = compare(changed, line);
    assert_true(want > 1e-4);
    near("mean", c.text.mean, want, 1e-4 * want);
    near("top_dp", c.text.top_dp, top_dp, 1e-4 * top_dp);
    assert_true(c.text.median <= c.text.p90 && c.text.p90 <= c.text.p99 && c.text.p99 <= c.text.max);
    assert_int_equal(c.answers.n_tokens, 0);

    /* several models at once are the same as each alone */
    const qwren_model *both[] = { other, changed };
    qwren_comparison two[2];
    assert_int_equal(qwren_eval_compare(model, both, 2, line, SIZE_MAX, NULL, two, NULL), QWREN_OK);
    assert_true(two[0].all.max == 0 && two[1].all.mean == c.all.mean);
    qw_free(line);
    qwren_model_close(changed);
}

/* Files of some makers hold the text model alone. */
static void a_model_without_a_tower_sees_through_the_bases(void **state)
{
    (void)state;
    char *picture = picture_line();
    qwren_model *blind = nano_open(1);
    blind->core.has_vision = false;
    qwren_comparison c = compare(blind, picture);
    assert_true(c.pictures.n_tokens > 5 && c.all.max == 0);
    qwren_model_close(blind);
    qw_free(picture);
}

static void lines_can_be_a_part(void **state)
{
    (void)state;
    qwren_comparison c;
    const qwren_model *with = other;
    qwren_eval_options opt = qwren_eval_options_default();
    const char *lines = "rubbish\n" PLAIN "rubbish\nrubbish\n" HELLO "rubbish\n";
    opt.max_lines = 2;
    assert_int_equal(qwren_eval_compare(model, &with, 1, lines, SIZE_MAX, &opt, &c, NULL), QWREN_OK);
    assert_int_equal(c.n_lines, 2);
    assert_true(c.answers.n_tokens > 0 && c.answers.n_tokens < c.all.n_tokens);
    opt.max_lines = 7;
    assert_int_equal(qwren_eval_compare(model, &with, 1, PLAIN HELLO, SIZE_MAX, &opt, &c, NULL), QWREN_OK);
    assert_int_equal(c.n_lines, 2);
}

static bool stop_at_second(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    assert_string_equal(what, "lines");
    assert_true(done <= total && total == 3);
    *(uint64_t *)ctx = done;
    return done < 1;
}

static void comparison_can_be_cancelled(void **state)
{
    (void)state;
    uint64_t done = 0;
    qwren_comparison c;
    qwren_error err;
    const qwren_model *with = other;
    qwren_eval_options opt = qwren_eval_options_default();
    opt.progress = stop_at_second;
    opt.progress_ctx = &done;
    assert_int_equal(qwren_eval_compare(model, &with, 1, HELLO PLAIN "\n" ASKED, SIZE_MAX, &opt, &c, &err), QWREN_E_CANCELLED);
    assert_int_equal(done, 1);
    assert_int_equal(c.n_lines, 0);
}

static void refuses_lines(const qwren_model *with, const char *lines, qwren_status status, const char *word)
{
    qwren_comparison c;
    qwren_error err = { 0 };
    assert_int_equal(qwren_eval_compare(model, &with, 1, lines, SIZE_MAX, NULL, &c, &err), status);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not hold '%s'", err.text, word);
}

static void comparison_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    qwren_comparison c;
    refuses_lines(other, "\n \n", QWREN_E_ARGUMENT, "no lines");
    refuses_lines(other, PLAIN "rubbish\n", QWREN_E_FORMAT, "line 2");
    assert_int_equal(qwren_eval_compare(model, NULL, 0, PLAIN, SIZE_MAX, NULL, &c, NULL), QWREN_E_ARGUMENT);
    qwren_model *changed = open_changed();
    ((float *)changed->core.text.norm)[0] = NAN;
    refuses_lines(changed, PLAIN, QWREN_E_FORMAT, "no numbers");
    qwren_model_close(changed);
}

static void another_model_is_refused(void **state)
{
    (void)state;
    qwren_model *tiny = tiny_open(1);
    refuses_lines(tiny, PLAIN, QWREN_E_ARGUMENT, "other tokens");
    qwren_model_close(tiny);
}

/* The built-in lines have pictures; a base that cannot see is compared on the others. */
static void a_blind_base_leaves_pictures_out(void **state)
{
    (void)state;
    qwren_comparison c;
    qwren_error err;
    qwren_eval_options opt = qwren_eval_options_default();
    const qwren_model *with = other;
    qwren_model *blind = nano_open(1);
    blind->core.has_vision = false;
    opt.max_lines = 4;
    if (qwren_eval_compare(blind, &with, 1, NULL, 0, &opt, &c, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(c.n_lines, 4);
    assert_true(c.all.n_tokens > 0 && c.pictures.n_tokens == 0 && isnan(c.pictures.mean));
    qwren_model_close(blind);
}

/* ---- memory */

static qwren_status compare_all(void *ctx, qwren_error *err)
{
    qwren_comparison c;
    const qwren_model *with = other;
    qwren_status st = qwren_eval_compare(model, &with, 1, ctx, SIZE_MAX, NULL, &c, err);
    assert_int_equal(c.n_lines, st == QWREN_OK ? 1 : 0);
    assert_true(st == QWREN_OK || !(c.all.n_tokens | c.text.n_tokens | c.pictures.n_tokens | c.answers.n_tokens));
    return st;
}

static qwren_status score_all(void *ctx, qwren_error *err)
{
    qwren_perplexity p;
    qwren_eval_options opt = qwren_eval_options_default();
    opt.n_ctx = 16;
    qwren_status st = qwren_eval_perplexity(model, ctx, SIZE_MAX, &opt, &p, err);
    assert_true(st == QWREN_OK || (p.n_tokens == 0 && p.n_bytes == 0 && p.nats == 0));
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char hello[] = HELLO, plain[] = "{\"text\": \"a\"}", text[] = "17 + 25 = 42";
    fault_install();
    assert_true(fault_try_all(compare_all, plain, 1) > 10);
    assert_true(fault_try_all(compare_all, hello, 7) > 5);
    assert_true(fault_try_all(score_all, text, 1) > 5);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexity_is_the_mean_surprise),
        cmocka_unit_test(perplexity_refuses_what_it_cannot_do),
        cmocka_unit_test(bytes_are_those_of_nfc),
        cmocka_unit_test(a_blind_base_leaves_pictures_out),
        cmocka_unit_test(a_model_is_equal_to_itself),
        cmocka_unit_test(a_difference_is_measured),
        cmocka_unit_test(a_model_without_a_tower_sees_through_the_bases),
        cmocka_unit_test(lines_can_be_a_part),
        cmocka_unit_test(comparison_can_be_cancelled),
        cmocka_unit_test(comparison_refuses_what_it_cannot_do),
        cmocka_unit_test(another_model_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
