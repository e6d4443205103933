/* qwren session: sessions in files. Saving and loading answer as run does (run.c). Tested by tests/cli/session.sh. */
#include "base/alloc.h"
#include "base/json.h"
#include "engine.h"
#include "models.h"
#include "output.h"
#include "help.h"
#include "table.h"
#include "verbs.h"

#include <string.h>

/* ---- info */

static void put_states(qw_buf *out, const qw_json *states)
{
    cli_put_row(out, "states");
    for (size_t i = 0; i < qw_json_size(states); i++) {
        const qw_json *state = qw_json_at(states, i);
        qw_buf_printf(out, "%s%lld (%s)", i ? ", " : "", (long long)qw_json_int(qw_json_get(state, "tokens"), 0),
                      qw_json_string(qw_json_get(state, "kind"), NULL));
    }
    qw_buf_putc(out, '\n');
}

static void put_pictures(qw_buf *out, const qw_json *pictures)
{
    for (size_t i = 0; i < qw_json_size(pictures); i++) {
        const qw_json *p = qw_json_at(pictures, i);
        cli_put_row(out, i ? "" : "pictures");
        qw_buf_printf(out, "%lld tokens from token %lld on, %s\n", (long long)qw_json_int(qw_json_get(p, "tokens"), 0),
                      (long long)qw_json_int(qw_json_get(p, "begin"), 0), qw_json_string(qw_json_get(p, "hash"), NULL));
    }
}

static void put_info(qw_buf *out, const qw_json *info)
{
    const int64_t bytes = qw_json_int(qw_json_get(info, "bytes"), 0);
    cli_put_row(out, "model");
    qw_buf_printf(out, "%s\n", qw_json_string(qw_json_get(info, "model"), NULL));
    cli_put_row(out, "tokens");
    qw_buf_printf(out, "%lld\n", (long long)qw_json_int(qw_json_get(info, "tokens"), 0));
    put_pictures(out, qw_json_get(info, "pictures"));
    put_states(out, qw_json_get(info, "states"));
    cli_put_row(out, "file");
    cli_put_short(out, (double)bytes, "B");
    qw_buf_puts(out, ", of use ");
    cli_put_short(out, (double)qw_json_int(qw_json_get(info, "used_bytes"), bytes), "B");
    qw_buf_putc(out, '\n');
}

static qwren_status describe(qw_buf *out, const cli_args *a, const char *file, qwren_error *err)
{
    char *json;
    qw_json *info = NULL;
    QW_TRY(qwren_session_inspect(file, &json, err));
    qwren_status st = qw_json_parse(&info, json, strlen(json), file, err);
    if (st == QWREN_OK && cli_has(a, OPT_JSON))
        qw_buf_printf(out, "%s\n", json);
    else if (st == QWREN_OK)
        put_info(out, info);
    qw_json_free(info);
    qwren_free(json);
    return st;
}

static int show(const cli_args *a, const char *file)
{
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    if (describe(&out, a, file, &err) != QWREN_OK) {
        qw_buf_free(&out);
        return cli_fail(&err);
    }
    return cli_print_taken(&out);
}

/* ---- fork */

static qwren_status copy(const cli_args *a, qwren_session *s, const char *file, const char *to, qwren_error *err)
{
    QW_TRY(qwren_session_load(s, file, err));
    if (cli_has(a, OPT_TOKENS))
        QW_TRY(qwren_session_rewind(s, (size_t)cli_number(a, OPT_TOKENS, 0), err));
    return qwren_session_save(s, to, err);
}

static int make_fork(const cli_args *a, const char *file, const char *to)
{
    qwren_error err;
    qwren_model *m = NULL;
    qwren_session *s = NULL;
    const qwren_session_options opt = cli_session_options(a);
    if (strcmp(file, to) == 0)
        return cli_usage(a->verb, "a fork needs a name of its own, '%s' is that of the session", to);
    qwren_status st = cli_model_open(a, MODEL_WHOLE, &m, &err);
    if (st == QWREN_OK)
        st = qwren_session_create(&s, m, &opt, &err);
    if (st == QWREN_OK)
        st = copy(a, s, file, to, &err);
    qwren_session_free(s);
    qwren_model_close(m);
    return st == QWREN_OK ? 0 : cli_fail(&err);
}

/* ---- the verb */

int cli_session(const cli_args *a)
{
    const char *what = a->n_words ? a->words[0] : "", *file = a->n_words > 1 ? a->words[1] : NULL;
    const bool saves = strcmp(what, "save") == 0, loads = strcmp(what, "load") == 0, forks = strcmp(what, "fork") == 0;
    if (!saves && !loads && !forks && strcmp(what, "info") != 0)
        return cli_usage(a->verb, a->n_words ? "'%s' is none of save, load, info, fork" : "save, load, info or fork is missing%s", what);
    if (!file)
        return cli_usage(a->verb, "the name of the session file is missing");
    cli_args rest = *a;
    rest.words += 2;
    rest.n_words -= 2;
    if (saves || loads)
        return cli_run_in(&rest, file, saves ? file : NULL);
    if (forks && !rest.n_words)
        return cli_usage(a->verb, "the name of the new session file is missing");
    if (!forks && rest.n_words)
        return cli_usage(a->verb, "'%s' is one word too many", rest.words[0]);
    return forks ? make_fork(a, file, rest.words[0]) : show(a, file);
}
