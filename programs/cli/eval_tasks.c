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

#include <stdlib.h>
#include <string.h>

typedef struct exam {
    const cli_args *args;
    cli_rows wanted, given;    /* given: requests, or answers */
    const qw_json **wanted_of; /* for each of given; owned */
    qwren_model *model;
    qwren_session *session;
    cli_score score;
    qwren_error failure; /* of the first request that was not answered at all */
} exam;

/* ---- the papers */

static qwren_status read_file(cli_rows *out, const char *dir, const char *name, qwren_error *err)
{
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir), "a path");
    qwren_status st = cli_rows_read(out, path, err);
    qw_free(path);
    return st;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(cli_row_id(*(const qw_json *const *)a), cli_row_id(*(const qw_json *const *)b));
}

/* *sorted = the rows by id, which every one has, and no two the same. Free with qw_free(), also after a failure. */
static qwren_status sort_rows(const cli_rows *r, const char *what, const qw_json ***sorted, qwren_error *err)
{
    *sorted = qw_calloc(r->n, sizeof **sorted);
    if (!*sorted)
        return qw_fail_memory(err, r->n * sizeof **sorted, "the lines of a file");
    for (size_t i = 0; i < r->n; i++) {
        (*sorted)[i] = r->rows[i];
        if (!cli_row_id(r->rows[i]))
            return qw_fail(err, QWREN_E_FORMAT, "%s %zu has no \"id\", but others have; give all or none", what, i + 1);
    }
    qsort(*sorted, r->n, sizeof **sorted, compare_ids);
    for (size_t i = 1; i < r->n; i++)
        if (compare_ids(&(*sorted)[i - 1], &(*sorted)[i]) == 0)
            return qw_fail(err, QWREN_E_FORMAT, "two of the %ss have the id \"%s\"", what, cli_row_id((*sorted)[i]));
    return QWREN_OK;
}

static bool has_ids(const cli_rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (cli_row_id(r->rows[i]))
            return true;
    return false;
}

static qwren_status match_ids(exam *e, const char *what, qwren_error *err)
{
    const qw_json **wanted = NULL, **given = NULL;
    qwren_status st = sort_rows(&e->wanted, "wanted answer", &wanted, err);
    if (st == QWREN_OK)
        st = sort_rows(&e->given, what, &given, err);
    for (size_t i = 0; st == QWREN_OK && i < e->given.n; i++) {
        const qw_json *row = e->given.rows[i];
        const qw_json **found = bsearch(&row, wanted, e->wanted.n, sizeof *wanted, compare_ids);
        if (!found)
            st = qw_fail(err, QWREN_E_FORMAT, "%s %zu: there is no wanted answer with its id \"%s\"", what, i + 1, cli_row_id(row));
        else
            e->wanted_of[i] = *found;
    }
    qw_free(wanted);
    qw_free(given);
    return st;
}

/* What is wanted of each row: by id, or line by line where there are none. */
static qwren_status match(exam *e, const char *what, bool part, qwren_error *err)
{
    e->wanted_of = qw_calloc(e->given.n, sizeof *e->wanted_of);
    if (!e->wanted_of)
        return qw_fail_memory(err, e->given.n * sizeof *e->wanted_of, "the lines of a file");
    bool named = has_ids(&e->given) && (!part || has_ids(&e->wanted));
    if (e->given.n != e->wanted.n && !(named && part))
        return qw_fail(err, QWREN_E_FORMAT, "%zu %ss, but %zu wanted answers: the files do not belong together%s", e->given.n, what,
                       e->wanted.n, part ? "; a part needs the \"id\" of each" : "");
    if (named)
        return match_ids(e, what, err);
    for (size_t i = 0; i < e->given.n; i++)
        e->wanted_of[i] = e->wanted.rows[i];
    return QWREN_OK;
}

static qwren_status read_papers(exam *e, const char *dir, qwren_error *err)
{
    const char *answers = cli_text(e->args, OPT_ANSWERS, NULL);
    QW_TRY(read_file(&e->wanted, dir, "expected.jsonl", err));
    if (answers)
        QW_TRY(cli_rows_read(&e->given, answers, err));
    else
        QW_TRY(read_file(&e->given, dir, "requests.jsonl", err));
    QW_TRY(match(e, answers ? "answer" : "request", answers != NULL, err));
    e->score.n_missing = e->wanted.n - e->given.n;
    return QWREN_OK;
}

/* Whether row i is taken: with a limit, so many, spread evenly. */
static bool is_taken(const exam *e, size_t i)
{
    size_t n = e->given.n, most = (size_t)cli_number(e->args, OPT_LIMIT, 0);
    if (!most || most >= n)
        return true;
    size_t part = i * most / n; /* the middles of equal parts; the middle may belong to this part or the next */
    return i == (2 * part + 1) * n / (2 * most) || i == (2 * part + 3) * n / (2 * most);
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
    qwren_status st = ask(e, e->given.rows[i], answer, &failure);
    e->score.n_asked++;
    if (st == QWREN_E_MEMORY)
        return qw_fail(err, st, "%s", failure.text);
    if (st != QWREN_OK && e->score.n_failed++ == 0) {
        e->failure = failure;
        e->score.failure = e->failure.text;
    }
    return cli_interrupted() ? qw_fail(err, QWREN_E_CANCELLED, "stopped after %zu of %zu requests", i, e->given.n) : QWREN_OK;
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
    for (size_t i = 0; i < e->given.n; i++) {
        qw_json *answer = NULL;
        bool blind = !qwren_model_get_info(e->model)->has_vision && cli_is_picture(e->wanted_of[i]);
        if (!is_taken(e, i) || blind) {
            e->score.n_unseen += is_taken(e, i);
            continue;
        }
        if (!cli_progress(NULL, "requests", i, e->given.n))
            return qw_fail(err, QWREN_E_CANCELLED, "stopped after %zu of %zu requests", i, e->given.n);
        qwren_status st = answer_one(e, i, &answer, err);
        if (st == QWREN_OK)
            st = judge(e, answer, e->wanted_of[i], err);
        qw_json_free(answer);
        QW_TRY(st);
    }
    cli_progress(NULL, "requests", e->given.n, e->given.n);
    return QWREN_OK;
}

static qwren_status judge_file(exam *e, qwren_error *err)
{
    for (size_t i = 0; i < e->given.n; i++)
        if (is_taken(e, i))
            QW_TRY(judge(e, e->given.rows[i], e->wanted_of[i], err));
    return QWREN_OK;
}

/* ---- the way */

static qwren_status open_model(exam *e, const char *word, qwren_error *err)
{
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = (size_t)cli_number(e->args, OPT_CTX, 0);
    opt.kv_type = cli_kv_type(e->args);
    opt.spec = QWREN_SPEC_AUTO; /* as run and chat answer: the text is the same */
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
    bool none = st == QWREN_OK && !file && e.score.n_failed == e.score.n_asked;
    if (none)
        qw_fail(&err, QWREN_E_ARGUMENT, "not one of the requests could be answered; the first: %s",
                e.score.failure ? e.score.failure : "it has a picture, and the model has no image tower");
    qwren_session_free(e.session);
    qwren_model_close(e.model);
    cli_score_free(&e.score);
    cli_rows_free(&e.wanted);
    cli_rows_free(&e.given);
    qw_free(e.wanted_of);
    int status = st == QWREN_OK ? cli_print_taken(&out) : 0;
    return st != QWREN_OK || none ? cli_fail(&err) : status;
}
