/* A model with a session that answers: what run and chat share. */
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include "images.h"
#include "render.h"
#include "request.h"

typedef struct cli_engine {
    const cli_args *args;
    qwren_model *model;
    qwren_model *draft; /* --draft-model, or NULL */
    qwren_session *session;
    cli_settings settings;
    cli_images images; /* those of the command line, or of a chat's commands */
    cli_render render;
} cli_engine;

/* 0, or 2 after a complaint about options that do not go together. */
int cli_engine_check(const cli_args *a);
/* Reads --tools, opens the model, takes the memory. cli_engine_close() may be called either way. */
qwren_status cli_engine_open(cli_engine *e, const cli_args *a, qwren_error *err);
void cli_engine_close(cli_engine *e);

/* Answers a request; the answer is printed as it grows, unless --json or --jsonl wait for its end. */
qwren_status cli_engine_answer(cli_engine *e, const char *request, qwren_result **out, qwren_error *err);
/* Tells on stderr that an answer is not whole, and what could be done; and --stats. */
void cli_engine_report(const cli_engine *e, const qwren_result *r);

#endif
