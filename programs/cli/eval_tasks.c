/* qwren eval tasks: the examination of qwren-nano. A model answers its requests, or a file of answers is judged. Tested by tests/cli/eval.sh. */
#include "base/alloc.h"
#include "base/file.h"
#include "eval.h"
#include "eval_score.h"
#include "help.h"
#include "images.h"
#include "interrupt.h"
#include "models.h"
#include "output.h"
#include "progress.h"

#include <string.h>

typedef struct exam {
    const cli_args *args;
    cli_rows requests, wanted, answers;
    qwren_model *model;
    qwren_session *session;
    cli_score score;
    size_t n_failed;     /* requests that were not answered at all */
    qwren_error failure; /* of the first */
} exam;

/* ---- the papers */

static qwren_status read_file(cli_rows *out, const char *dir, const char *name, size_t limit, qwren_error *err)
{
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir), "a path");
    qwren_status st = cli_rows_read(out, path, limit, err);
    qw_free(path);
    return st;
}

static qwren_status read_papers(exam *e, const char *dir, qwren_error *err)
{
    const char *answers = cli_text(e->args, OPT_ANSWERS, NULL);
    size_t limit = (size_t)cli_number(e->args, OPT_LIMIT, 0);
    QW_TRY(read_file(&e->wanted, dir, "expected.jsonl", limit, err));
    if (answers)
        return cli_rows_read(&e->answers, answers, 0, err);
    QW_TRY(read_file(&e->requests, dir, "requests.jsonl", limit, err));
    if (e->requests.n != e->wanted.n)
        return qw_fail(err, QWREN_E_FORMAT, "%s: %zu requests, but %zu wanted answers: the files do not belong together", dir,
                       e->requests.n, e->wanted.n);
    return QWREN_OK;
}

/* ---- answering */

static bool go_on(void *ctx, const qwren_event *event)
{
    (void)ctx, (void)event;
    return !cli_interrupted();
}

static qwren_status ask(exam *e, const qw_json *request, qw_json **answer, qwren_error *err)
{
    qwren_chat_options opt = qwren_chat_options_default();
    qwren_result *result = NULL;
    cli_images none = { 0 };
    qw_buf text = QW_BUF_INIT;
    opt.greedy = true;
    opt.on_event = go_on;
    opt.load_image = cli_images_load;
    opt.load_ctx = &none;
    qw_json_dump(&text, request);
    qwren_status st = qw_buf_status(&text, err);
    if (st == QWREN_OK)
        st = qwren_chat(e->session, qw_buf_text(&text), &opt, &result, err);
    if (st == QWREN_OK)
        st = qw_json_parse(answer, qwren_result_json(result), strlen(qwren_result_json(result)), "the answer", err);
    qwren_result_free(result);
    qw_buf_free(&text);
    return st;
}

/* What a model cannot answer at all counts as wrong; a lack of memory ends the examination. */
static qwren_status answer_one(exam *e, size_t i, qw_json **answer, qwren_error *err)
{
    qwren_error failure = { 0 };
    *answer = NULL;
    qwren_status st = ask(e, e->requests.rows[i], answer, &failure);
    if (st == QWREN_E_MEMORY)
        return qw_fail(err, st, "%s", failure.text);
    if (st != QWREN_OK && e->n_failed++ == 0)
        e->failure = failure;
    return cli_interrupted() ? qw_fail(err, QWREN_E_CANCELLED, "stopped after %zu of %zu requests", i, e->requests.n) : QWREN_OK;
}

/* ---- judging */

static void show_wrong(const exam *e, const qw_json *answer, const qw_json *wanted)
{
    const char *kind = qw_json_string(qw_json_get(wanted, "kind"), NULL), *id = cli_row_id(wanted);
    size_t n_wrong = 0;
    qw_buf text = QW_BUF_INIT;
    for (size_t i = 0; i < e->score.n; i++)
        if (kind && strcmp(e->score.counts[i].kind, kind) == 0)
            n_wrong += e->score.counts[i].all - e->score.counts[i].right;
    if (n_wrong > (size_t)cli_number(e->args, OPT_WRONG, 0))
        return;
    qw_json_dump(&text, qw_json_get(answer, "content"));
    qw_buf_putc(&text, ' ');
    qw_json_dump(&text, qw_json_get(answer, "tool_calls"));
    qw_buf_puts(&text, ", wanted ");
    qw_json_dump(&text, qw_json_get(wanted, "content"));
    qw_buf_putc(&text, ' ');
    qw_json_dump(&text, qw_json_get(wanted, "tool_calls"));
    cli_progress_clear();
    cli_tell("%s: %s\n", id ? id : "?", qw_buf_text(&text));
    qw_buf_free(&text);
}

static qwren_status judge(exam *e, const qw_json *answer, const qw_json *wanted, qwren_error *err)
{
    bool right = answer && cli_is_right(answer, wanted);
    QW_TRY(cli_score_add(&e->score, wanted, right, err));
    if (!right)
        show_wrong(e, answer, wanted);
    return QWREN_OK;
}

static qwren_status examine(exam *e, qwren_error *err)
{
    for (size_t i = 0; i < e->requests.n; i++) {
        qw_json *answer = NULL;
        if (!cli_progress(NULL, "requests", i, e->requests.n))
            return qw_fail(err, QWREN_E_CANCELLED, "stopped after %zu of %zu requests", i, e->requests.n);
        qwren_status st = answer_one(e, i, &answer, err);
        if (st == QWREN_OK)
            st = judge(e, answer, e->wanted.rows[i], err);
        qw_json_free(answer);
        QW_TRY(st);
    }
    cli_progress(NULL, "requests", e->requests.n, e->requests.n);
    return QWREN_OK;
}

/* Answers with ids may be a part; without, there is one for each request. */
static qwren_status judge_file(exam *e, qwren_error *err)
{
    bool named = cli_row_id(e->answers.rows[0]) != NULL;
    if (!named && e->answers.n != e->wanted.n)
        return qw_fail(err, QWREN_E_FORMAT, "%zu answers to %zu requests; give one for each, or answers with the \"id\" of theirs",
                       e->answers.n, e->wanted.n);
    for (size_t i = 0; i < e->answers.n; i++) {
        const char *id = cli_row_id(e->answers.rows[i]);
        const qw_json *wanted = !named ? e->wanted.rows[i] : id ? cli_rows_find(&e->wanted, id) : NULL;
        if (!wanted)
            return qw_fail(err, QWREN_E_FORMAT, "answer %zu: no request has its \"id\"", i + 1);
        QW_TRY(judge(e, e->answers.rows[i], wanted, err));
    }
    return QWREN_OK;
}

/* ---- the way */

static qwren_status open_model(exam *e, const char *word, qwren_error *err)
{
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = (size_t)cli_number(e->args, OPT_CTX, 0);
    QW_TRY(cli_model_open_word(e->args, word, MODEL_WHOLE, &e->model, err));
    return qwren_session_create(&e->session, e->model, &opt, err);
}

/* dir NULL: the bundled examination. */
static qwren_status read_exam(exam *e, const char *dir, qwren_error *err)
{
    char *bundled = NULL;
    if (!dir)
        QW_TRY(cli_exam_path(&bundled, err));
    qwren_status st = read_papers(e, dir ? dir : bundled, err);
    qw_free(bundled);
    return st;
}

static qwren_status run(exam *e, const char *model, const char *dir, qwren_error *err)
{
    QW_TRY(read_exam(e, dir, err));
    if (!model)
        return judge_file(e, err);
    QW_TRY(open_model(e, model, err));
    return examine(e, err);
}

int cli_eval_tasks(const cli_args *a, const char *const *words, size_t n_words)
{
    exam e = { .args = a };
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    bool file = cli_has(a, OPT_ANSWERS);
    size_t n_models = file ? 0 : 1; /* words before the folder */
    if (n_words < n_models || n_words > n_models + 1)
        return cli_usage(a->verb, file ? "with --answers, tasks takes the folder of the examination at most"
                                       : "tasks takes a model, and the folder of the examination at most");
    qwren_status st = run(&e, file ? NULL : words[0], n_words > n_models ? words[n_models] : NULL, &err);
    cli_progress_clear();
    if (st == QWREN_OK)
        (cli_has(a, OPT_JSON) ? cli_score_json : cli_score_table)(&out, &e.score);
    if (st == QWREN_OK && e.n_failed)
        cli_notice("%zu requests could not be answered and count as wrong; the first: %s", e.n_failed, e.failure.text);
    qwren_session_free(e.session);
    qwren_model_close(e.model);
    cli_score_free(&e.score);
    cli_rows_free(&e.requests);
    cli_rows_free(&e.wanted);
    cli_rows_free(&e.answers);
    return st == QWREN_OK ? cli_print_taken(&out) : cli_fail(&err);
}
