/* Opening a model for answers, and answering (engine.h). Tested by tests/cli/run.sh and chat.sh. */
#include "engine.h"

#include "models.h"
#include "output.h"

#include <string.h>

static qwren_spec spec_of(const cli_args *a)
{
    const char *spec = cli_text(a, OPT_SPEC, "auto");
    return strcmp(spec, "mtp") == 0      ? QWREN_SPEC_MTP
           : strcmp(spec, "lookup") == 0 ? QWREN_SPEC_LOOKUP
           : strcmp(spec, "off") == 0    ? QWREN_SPEC_OFF
                                         : QWREN_SPEC_AUTO;
}

/* The session, and the model that drafts for it. */
static qwren_status open_session(cli_engine *e, qwren_error *err)
{
    const cli_args *a = e->args;
    qwren_session_options opt = cli_session_options(a);
    const char *draft = cli_text(a, OPT_DRAFT_MODEL, NULL);
    opt.spec = spec_of(a);
    opt.max_drafts = (int)cli_number(a, OPT_DRAFT, 0);
    if (draft)
        QW_TRY(cli_model_open_word(a, draft, MODEL_DRAFT, &e->draft, err));
    opt.draft_model = e->draft;
    return cli_session_create(a, e->model, &opt, &e->session, err);
}

int cli_engine_check(const cli_args *a)
{
    if (cli_has(a, OPT_CACHE_DIR) && cli_has(a, OPT_CACHE_MEM) && cli_number(a, OPT_CACHE_MEM, 0) == 0)
        return cli_usage(a->verb, "--cache-dir keeps what --cache-mem has room for, and 0 is no room");
    return 0;
}

qwren_status cli_engine_open(cli_engine *e, const cli_args *a, qwren_error *err)
{
    *e = (cli_engine){ .args = a };
    cli_render_init(&e->render, a);
    QW_TRY(cli_settings_init(&e->settings, a, err));
    QW_TRY(cli_model_open(a, MODEL_WHOLE, &e->model, err));
    return open_session(e, err);
}

void cli_engine_close(cli_engine *e)
{
    qwren_session_free(e->session);
    qwren_model_close(e->model);
    qwren_model_close(e->draft);
    cli_images_free(&e->images);
    cli_settings_deinit(&e->settings);
    *e = (cli_engine){ 0 };
}

qwren_status cli_engine_answer(cli_engine *e, const char *request, qwren_result **out, qwren_error *err)
{
    qwren_chat_options opt = qwren_chat_options_default();
    opt.on_event = cli_render_event;
    opt.event_ctx = &e->render;
    opt.load_image = cli_images_load;
    opt.load_ctx = &e->images;
    opt.no_loop_guard = cli_has(e->args, OPT_NO_LOOP_GUARD);
    opt.greedy = cli_has(e->args, OPT_GREEDY);
    qwren_status st = qwren_chat(e->session, request, &opt, out, err);
    cli_render_end(&e->render);
    return st;
}

/* Never silent: what the model was not told, or no longer knows. */
static void report_overflow(const cli_engine *e, const qwren_stats *s)
{
    const size_t room = qwren_session_capacity(e->session);
    if (s->dropped_messages)
        cli_notice("the oldest messages were left out, %zu of them: with all the conversation is longer than the context of %zu tokens",
                   s->dropped_messages, room);
    if (s->shifted_tokens)
        cli_notice("%zu tokens were forgotten while the answer was written: the context of %zu tokens was full", s->shifted_tokens, room);
}

static void report_end(const cli_engine *e, const qwren_result *r)
{
    const char *reason = qwren_result_finish_reason(r);
    bool thinking = qwren_result_reasoning(r) && !qwren_result_content(r);
    const char *what =
        thinking && qwren_result_stats(r)->reasoning_tokens + 1 >= qwren_result_stats(r)->completion_tokens ? "the thought" : "the answer";
    size_t length = qwren_session_length(e->session), room = qwren_session_capacity(e->session);
    if (strcmp(reason, "loop") == 0)
        cli_notice("%s repeated itself and was ended; --no-loop-guard lets it go on", what);
    else if (strcmp(reason, "length") == 0 && length + 1 >= room)
        cli_notice("%s was cut: the context of %zu tokens is full; --ctx N gives more room", what, room);
    else if (strcmp(reason, "length") == 0)
        cli_notice("%s was cut after %zu tokens; -n N allows more", what, qwren_result_stats(r)->completion_tokens);
}

void cli_engine_report(const cli_engine *e, const qwren_result *r)
{
    report_overflow(e, qwren_result_stats(r));
    report_end(e, r);
    if (cli_has(e->args, OPT_STATS))
        cli_render_stats(qwren_result_stats(r));
}
