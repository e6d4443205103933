/*
 * qwren.h - Qwen 3.5 on your own device.
 *
 * The one public header of libqwren. It is plain C17 (and compiles as C++), needs nothing but <stddef.h>, <stdint.h> and
 * <stdbool.h>, and is meant to be read from top to bottom:
 *
 *   1  errors and versions     5  images                             9  quantise: a smaller checkpoint
 *   2  allocator and log       6  prompts and parsing               10  evaluate: how good is it
 *   3  models                  7  sessions: tokens in, logits out   11  doctor: is it what it claims to be
 *   4  tokenizer               8  chat: a conversation in, an answer out
 *
 * A whole program:
 *
 *   qwren_error err;  qwren_model *m;  qwren_session *s;  qwren_result *r;
 *   if (qwren_model_open(&m, "models/qwren-nano", NULL, &err) ||
 *       qwren_session_create(&s, m, NULL, &err) ||
 *       qwren_chat(s, "{\"messages\":[{\"role\":\"user\",\"content\":\"What is 17 + 25?\"}]}", NULL, &r, &err)) {
 *       fprintf(stderr, "%s\n", err.text);
 *       return 1;
 *   }
 *   puts(qwren_result_content(r));
 *   qwren_result_free(r);  qwren_session_free(s);  qwren_model_close(m);
 *
 * Rules that hold everywhere (a comment below names only what goes beyond them)
 *   Results    Functions that can fail return a qwren_status: 0 is success, everything else is negative. The trailing
 *              `qwren_error *err` may be NULL; when it is given and the call fails it holds one sentence: what, where, what to do.
 *              On failure every output pointer is set to NULL (or 0) and nothing has to be freed.
 *   Ownership  What a *_create, *_open, *_decode or qwren_chat call hands out belongs to the caller, who gives it back with
 *              the *_free or *_close function named beside it. Memory returned through `char **` or `int32_t **` is given
 *              back with qwren_free(). A `const` pointer returned by a getter belongs to its object and lives as long as it.
 *   Threads    A model, a tokenizer and an image are read-only once made: any number of threads may use them at once. A session
 *              or a parser is used by one thread at a time. Different sessions on one model may run at the same time. The
 *              thread that calls computes, too: it needs 512 KB of stack (musl gives 128 to those that do not ask).
 *   Options    Option structs carry their own size so that later versions can add fields: fill them with the *_default()
 *              function, then change what you need. A NULL options pointer means the defaults.
 *   NULL       Allowed where a comment says so. A NULL path, request or text with a length is QWREN_E_ARGUMENT; other NULL objects are the
 *              caller's mistake.
 *   Text       All strings are UTF-8. A length argument of SIZE_MAX means "up to the terminating NUL".
 *   Quiet      The library never prints, never exits and never opens a network connection.
 */
#ifndef QWREN_H
#define QWREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(QWREN_STATIC)
#  define QWREN_API
#elif defined(__GNUC__)
#  define QWREN_API __attribute__((visibility("default")))
#else
#  define QWREN_API
#endif

/* --------------------------------------------------------------------------------------------- 1  errors and versions */

#define QWREN_VERSION_MAJOR 0
#define QWREN_VERSION_MINOR 1
#define QWREN_VERSION_PATCH 0

/* "0.1.0": the version of the library that is running, which may differ from the header's. */
QWREN_API const char *qwren_version(void);

/* X(name, value, short text). One list gives the enum, the names and the texts. */
#define QWREN_STATUS_LIST(X)                                                   \
    X(OK,            0, "success")                                             \
    X(E_ARGUMENT,   -1, "an argument is wrong")                                \
    X(E_IO,         -2, "a file could not be read or written")                 \
    X(E_FORMAT,     -3, "a file or text is damaged or not what it claims")     \
    X(E_UNSUPPORTED,-4, "valid, but this build or version does not support it")\
    X(E_MEMORY,     -5, "not enough memory")                                   \
    X(E_LIMIT,      -6, "a limit is exceeded (context, pixels, sizes)")        \
    X(E_TEMPLATE,   -7, "the conversation cannot be rendered as a prompt")     \
    X(E_CANCELLED,  -8, "cancelled by the caller")                             \
    X(E_INTERNAL,   -9, "a bug in qwren: please report it")

typedef enum qwren_status {
#define QWREN_STATUS_ENUM(name, value, text) QWREN_##name = value,
    QWREN_STATUS_LIST(QWREN_STATUS_ENUM)
#undef QWREN_STATUS_ENUM
} qwren_status;

typedef struct qwren_error {
    qwren_status code;
    char text[512]; /* one sentence without the program's name and without a newline; always terminated */
} qwren_error;

QWREN_API const char *qwren_status_name(qwren_status code); /* "E_FORMAT"; "E_UNKNOWN" for a number not in the list */
QWREN_API const char *qwren_status_text(qwren_status code); /* the short text of the list */

/* ----------------------------------------------------------------------------------------------- 2  allocator and log */

/* All heap memory of the library comes from here. Process-wide: set it before any other call, never while
 * objects are alive. realloc follows C's rules. NULL restores malloc/realloc/free. Image codecs use their own libraries' heap. */
typedef struct qwren_allocator {
    void *(*alloc)(void *ctx, size_t size);
    void *(*realloc)(void *ctx, void *p, size_t size);
    void (*free)(void *ctx, void *p);
    void *ctx;
} qwren_allocator;
QWREN_API void qwren_set_allocator(const qwren_allocator *a);

/* Gives back memory that the library returned through `char **`, `int32_t **` or `float **`. NULL is allowed. */
QWREN_API void qwren_free(void *p);

typedef enum qwren_log_level { QWREN_LOG_DEBUG, QWREN_LOG_INFO, QWREN_LOG_WARN } qwren_log_level;
/* Where notices go (a template with an unknown hash, an ignored config key); NULL, the default, drops them. Process-wide;
 * the function may be called from any thread. `text` has no newline and is valid only during the call. */
QWREN_API void qwren_set_log(void (*fn)(void *ctx, qwren_log_level level, const char *text), void *ctx);

/* ---------------------------------------------------------------------------------------------------------- 3  models */

typedef struct qwren_model qwren_model;         /* weights + tokenizer of one checkpoint, shared, read-only */
typedef struct qwren_tokenizer qwren_tokenizer; /* the text side of a checkpoint: vocabulary, special tokens, template kind */
typedef struct qwren_session qwren_session;     /* one timeline of tokens on a model: KV cache and recurrent states */
typedef struct qwren_image qwren_image;         /* decoded 8-bit RGB pixels */
typedef struct qwren_parser qwren_parser;       /* output text -> reasoning, content, tool calls, as it grows */
typedef struct qwren_result qwren_result;       /* a finished answer */

/* Progress of long work: done of total (bytes, layers, tokens; `what` says which). Return false to cancel (QWREN_E_CANCELLED). Called on the thread that
 * made the call, never by two threads at once. */
typedef bool (*qwren_progress_fn)(void *ctx, const char *what, uint64_t done, uint64_t total);

/* What activations are to the products with weights. The same bits for any number of threads, any cut of a prompt into calls, a prefix that was kept or is computed anew,
 * and any sessions that are computed together: in all three. */
typedef enum qwren_arithmetic {
    QWREN_ARITHMETIC_DEFAULT,       /* eight bits, outliers fifteen, where weights are codes; bf16 or float where they are floats: the fastest */
    QWREN_ARITHMETIC_DETERMINISTIC, /* the same without bf16: also the same bits on every processor with AVX2, AVX-512 or NEON */
    QWREN_ARITHMETIC_EXACT          /* float everywhere: slow, for measuring what the others cost */
} qwren_arithmetic;

typedef struct qwren_model_options {
    size_t struct_size;
    int n_threads;              /* worker threads of this model's pool; 0 = the number of physical cores this process may use */
    bool config_only;           /* read and check headers and shapes, allow inspection and preprocessing, but no sessions */
    qwren_progress_fn progress; /* may be NULL */
    void *progress_ctx;
    bool no_tokenizer;          /* leave the text side alone: ids in, logits out; qwren_chat is refused */
    const char *mmproj;         /* GGUF: the file of the image tower, or "none" for a model without; NULL: the one *mmproj*.gguf beside the model */
    bool lock_memory;           /* the weights must stay in memory and are never paged out (mlock); QWREN_E_LIMIT when the system does not allow it */
    qwren_arithmetic arithmetic;
    double yarn_factor;         /* more positions than the training had, by YaRN, so many times: 1 to 4; 0 = as the files say. Answers to short texts lose a little */
    size_t cache_bytes;         /* what the prefix cache that all sessions of the model share may hold beside what they use themselves, for each type of keys and values: a
                                 * beginning that one of them has computed is not computed again by any. 0 = a quarter of the memory that is free, at most 1 GB; 1 = nothing is kept */
    const char *cache_dir;      /* folder where the prefix cache is kept between runs; made when it is not there. Any number of processes and models may share one, and what they
                                 * find damaged in it they do without. What a chat computed is written when it ends, everything else when its session is freed.
                                 * NULL: nowhere. States are not kept there when cache_bytes has no room for one, which is told to the log */
    uint64_t cache_dir_bytes;   /* what the pieces of the prefix cache in it may take together, whatever models they are of; what was not used for the longest time goes first. 0 = 4 GB. Beside
                                 * them lie sampled answers, in a file of at most 34 MB (32 MiB) for each vocabulary */
} qwren_model_options;
QWREN_API qwren_model_options qwren_model_options_default(void);

/* Maps the checkpoint at `path`: a directory (config.json, *.safetensors, tokenizer.json, ...) as Hugging Face or MLX write it, or a GGUF file of architecture
 * qwen35, of a split model any part, or a directory with it. Headers, shapes and config are checked against
 * each other before any use; weights are read when first touched. On success *out must be closed with qwren_model_close(), after
 * all of its sessions. On failure *out is NULL and *err names the file and what was wrong with it. */
QWREN_API qwren_status qwren_model_open(qwren_model **out, const char *path, const qwren_model_options *opt, qwren_error *err);
QWREN_API void qwren_model_close(qwren_model *m); /* NULL is allowed */

/* A made-up model in memory, for measuring without files: the published shape "0.8B", "2B", "4B" or "9B" with its image tower and draft head, weights drawn at random (the
 * same ones each time) in the formats that qwren_quantize() would choose for the recipe (NULL: "6bit"), or "bf16". What it computes means nothing, but takes the
 * time and memory of a real one. It has no tokenizer, as with no_tokenizer. `path` of its info is "random SHAPE". Close with qwren_model_close(). */
QWREN_API qwren_status qwren_model_random(qwren_model **out, const char *shape, const char *recipe, const qwren_model_options *opt, qwren_error *err);

/* The model's tokenizer; belongs to the model. NULL when it was opened with no_tokenizer, or with config_only and has none. */
QWREN_API const qwren_tokenizer *qwren_model_tokenizer(const qwren_model *m);

typedef struct qwren_model_info {
    const char *path, *architecture;   /* as opened; "Qwen3_5ForConditionalGeneration" */
    const char *size_name;             /* "0.8B", "2B", "4B", "9B" when the shape is one of the published ones, else "custom" */
    /* text */
    int n_layers, n_attention_layers, n_delta_layers, hidden_size, intermediate_size;
    int n_heads, n_kv_heads, head_dim, rotary_dim;
    int linear_key_heads, linear_value_heads, linear_key_dim, linear_value_dim, conv_kernel;
    int vocab_size, max_positions;
    bool tied_embeddings, has_mtp, has_vision;
    /* vision; 0 when absent */
    int vision_depth, vision_hidden, vision_heads, vision_intermediate, patch_size, merge_size, temporal_patch_size;
    int64_t min_pixels, max_pixels;
    /* totals over all tensors of the files; a matrix of codes is one tensor, with its scales and biases */
    size_t n_tensors;
    uint64_t n_parameters, n_bytes, n_parameters_text, n_parameters_vision, n_parameters_mtp;
    /* how the numbers are stored */
    const char *format;                /* "Hugging Face", "MLX" or "GGUF" */
    const char *recipe;                /* by which `qwren quantize` made the files; NULL when it did not */
    uint64_t n_bytes_text, n_bytes_vision, n_bytes_mtp;
    double bits_per_weight, bits_per_weight_text, bits_per_weight_vision, bits_per_weight_mtp; /* scales included; 0 of nothing */
    /* positions: max_positions are these, times YaRN's factor (1: without) */
    int trained_positions;
    double yarn_factor;
} qwren_model_info;
QWREN_API const qwren_model_info *qwren_model_get_info(const qwren_model *m);

typedef struct qwren_tensor_info {
    const char *name;  /* as in the file */
    const char *type;  /* "BF16", "F32", ...; "AFFINE6", "MXFP4", "Q6_K", ... of codes */
    const char *part;  /* "text", "vision", "mtp" or "other" */
    const char *file;  /* base name of the file that holds it */
    int n_dims;
    size_t shape[5];   /* outermost first, in weights */
    size_t n_bytes;    /* scales and biases included */
    double bits_per_weight;   /* likewise */
    int bits, group;          /* of MLX's codes: their width, and how many share a scale; 0 otherwise */
    const char *recipe_class; /* what `qwren quantize` took it for ("attention.q"); NULL when it did not make the files */
} qwren_tensor_info;
/* Tensor i of n_tensors, in file order. False when i is out of range. Strings belong to the model. */
QWREN_API bool qwren_model_get_tensor(const qwren_model *m, size_t i, qwren_tensor_info *out);

/* What keys and values are kept as: memory and time of long contexts against precision. */
typedef enum qwren_kv_type {
    QWREN_KV_DEFAULT, /* F16, or F32 when the model's arithmetic is exact */
    QWREN_KV_F16,
    QWREN_KV_F32,
    QWREN_KV_Q8,      /* eight bits and a scale for each head of a token */
    QWREN_KV_BF16,
    QWREN_KV_Q4       /* four bits and a 16-bit scale for each 32 values; keys are turned first, so that large ones among them cost the others little */
} qwren_kv_type;

/* "f16" and so on; NULL for a number that is none of them. They are numbered from 0 on without gaps. */
QWREN_API const char *qwren_kv_type_name(qwren_kv_type type);

/* Memory of one session of n_ctx tokens in bytes: keys and values, which grow with n_ctx; states, which do not; scratch (with 8 bytes a
 * token). The handle itself is not counted. What a session takes is in memory when it is touched: caches as the timeline grows. */
typedef struct qwren_memory_info {
    uint64_t kv_bytes, state_bytes, scratch_bytes, total_bytes;
    uint64_t spec_bytes; /* what guessing ahead takes besides, when the session does (qwren_spec; without a draft model): not in the total */
} qwren_memory_info;
QWREN_API qwren_status qwren_model_get_memory(const qwren_model *m, size_t n_ctx, qwren_kv_type kv_type, qwren_memory_info *out, qwren_error *err);

/* ------------------------------------------------------------------------------------------------------- 4  tokenizer */

/* Opens the tokenizer of a directory that may hold nothing else (tokenizer.json; tokenizer_config.json, chat_template.jinja and
 * config.json are read when present), or of a GGUF file. Close with qwren_tokenizer_close(). */
QWREN_API qwren_status qwren_tokenizer_open(qwren_tokenizer **out, const char *path, qwren_error *err);
QWREN_API void qwren_tokenizer_close(qwren_tokenizer *t);

typedef enum qwren_special {
    QWREN_SPECIAL_ALL,  /* every added token in the text becomes its id (Hugging Face's default) */
    QWREN_SPECIAL_SOME, /* special ones are plain text; added but not special ones (<think>, <tool_call>, ...) still match */
    QWREN_SPECIAL_NONE  /* nothing matches: for text of users and tools */
} qwren_special;

/* Text -> ids, exactly as the reference (NFC, split, byte-level BPE; ill-formed UTF-8 becomes U+FFFD). No BOS or EOS is added.
 * *ids [*n_ids] is given back with qwren_free(). O(n log n) in the length for any text. */
QWREN_API qwren_status qwren_tokenize(const qwren_tokenizer *t, const char *text, size_t len, qwren_special mode,
                                      int32_t **ids, size_t *n_ids, qwren_error *err);

/* Ids -> text. Ill-formed sequences become U+FFFD; ids without a token are an error. `skip_special` leaves out special tokens. */
QWREN_API qwren_status qwren_detokenize(const qwren_tokenizer *t, const int32_t *ids, size_t n_ids, bool skip_special,
                                        char **text, size_t *len, qwren_error *err);

/* Id of an added token such as "<|im_end|>", or -1. */
QWREN_API int32_t qwren_token_id(const qwren_tokenizer *t, const char *added_token);
/* Number of ids that have a token (below it: valid; the embedding may have more rows). */
QWREN_API int32_t qwren_token_count(const qwren_tokenizer *t);
/* Whether this checkpoint thinks when the request does not say: read from its own chat template. */
QWREN_API bool qwren_thinks_by_default(const qwren_tokenizer *t);

/* ---------------------------------------------------------------------------------------------------------- 5  images */

typedef struct qwren_image_limits {
    size_t struct_size;
    uint64_t max_file_bytes; /* default 64 MiB */
    uint64_t max_pixels;     /* width x height after decoding; default 100,000,000 */
} qwren_image_limits;
QWREN_API qwren_image_limits qwren_image_limits_default(void);

/* PNG, JPEG or WebP bytes -> 8-bit RGB: EXIF orientation applied, transparency laid on white, first frame only. Headers
 * are checked against the limits before pixels are decoded. Free with qwren_image_free(). */
QWREN_API qwren_status qwren_image_decode(qwren_image **out, const void *bytes, size_t n_bytes, const qwren_image_limits *limits, qwren_error *err);
/* The same from a file. */
QWREN_API qwren_status qwren_image_open(qwren_image **out, const char *path, const qwren_image_limits *limits, qwren_error *err);
/* From pixels the caller has: rows of width x 3 bytes, `stride` bytes apart (0 = packed). The pixels are copied. */
QWREN_API qwren_status qwren_image_from_rgb(qwren_image **out, const uint8_t *rgb, int width, int height, size_t stride, qwren_error *err);
QWREN_API void qwren_image_free(qwren_image *img);
QWREN_API int qwren_image_width(const qwren_image *img);
QWREN_API int qwren_image_height(const qwren_image *img);
/* Packed rows of width x 3 bytes, top to bottom. */
QWREN_API const uint8_t *qwren_image_pixels(const qwren_image *img);

/* What the tower would see: *patches [grid[0]*grid[1]*grid[2], C*T*P*P] (channel, time, y, x within a row), values in [-1, 1], rows in 2x2
 * merge order; grid = time, height, width in patches. Give back with qwren_free(). */
QWREN_API qwren_status qwren_image_preprocess(const qwren_model *m, const qwren_image *img, float **patches, size_t *n_rows,
                                              size_t *row_len, int grid[3], qwren_error *err);

/* What the decoder sees in place of the picture's tokens: *rows [n_rows, row_len], out of the image tower. Give back with qwren_free(). A large picture takes minutes:
 * `progress` (may be NULL) is asked often whether to go on, with the tower's steps. */
QWREN_API qwren_status qwren_image_encode(const qwren_model *m, const qwren_image *img, qwren_progress_fn progress, void *progress_ctx,
                                          float **rows, size_t *n_rows, size_t *row_len, qwren_error *err);

/* --------------------------------------------------------------------------------------------- 6  prompts and parsing */

/* A *request* is a JSON object as OpenAI's chat completions take it: messages, tools, tool_choice, chat_template_kwargs
 * {enable_thinking, add_vision_id}, enable_thinking, add_generation_prompt, and (for qwren_chat) max_tokens, temperature, top_p, top_k,
 * min_p, presence_penalty, frequency_penalty, repetition_penalty, seed, stop, logit_bias. Unknown fields are ignored. */

typedef struct qwren_render_options {
    size_t struct_size;
    bool strict;           /* the official template's bytes and errors; otherwise any history that has a meaning is rendered */
    int thinks_by_default; /* 1 or 0; -1 = as the tokenizer's checkpoint (or not thinking, when none is given) */
} qwren_render_options;
QWREN_API qwren_render_options qwren_render_options_default(void);

/* Request -> prompt text, each image as one <|vision_start|><|image_pad|><|vision_end|>. `t` may be NULL. The text is NUL-terminated
 * and given back with qwren_free(). */
QWREN_API qwren_status qwren_render(const qwren_tokenizer *t, const char *request, size_t len, const qwren_render_options *opt,
                                    char **prompt, size_t *prompt_len, qwren_error *err);

typedef struct qwren_parser_options {
    size_t struct_size;
    bool thinking;           /* the prompt ended inside an open <think> block */
    bool keep_markup;        /* reasoning_format "none": everything is content */
    const char *tools;       /* JSON array of tools, or NULL: calls are recognised only if there are any */
    const char *tool_choice; /* "auto" (default), "none", "required" */
} qwren_parser_options;
QWREN_API qwren_parser_options qwren_parser_options_default(void);

typedef enum qwren_event_kind {
    QWREN_EVENT_PREFILL,   /* done of total prompt tokens are computed */
    QWREN_EVENT_REASONING, /* text was added to the thought */
    QWREN_EVENT_CONTENT,   /* text was added to the answer */
    QWREN_EVENT_TOOL_CALL  /* a whole call: name and arguments */
} qwren_event_kind;

typedef struct qwren_event {
    qwren_event_kind kind;
    const char *text;      /* REASONING, CONTENT: whole UTF-8 characters, NUL-terminated, valid during the call */
    size_t len;
    size_t index;          /* TOOL_CALL: counts from 0 */
    const char *call_id, *name, *arguments; /* TOOL_CALL: arguments is a JSON object as text */
    size_t done, total;    /* PREFILL */
} qwren_event;
/* Return false to stop: a parser ignores the rest, qwren_chat ends with finish reason "cancelled". */
typedef bool (*qwren_event_fn)(void *ctx, const qwren_event *ev);

/* A parser for text. Feed it pieces cut anywhere; the deltas' concatenation equals the final result. Free with qwren_parser_free(). */
QWREN_API qwren_status qwren_parser_create(qwren_parser **out, const qwren_parser_options *opt, qwren_event_fn fn, void *ctx, qwren_error *err);
QWREN_API qwren_status qwren_parser_push(qwren_parser *p, const char *text, size_t len, qwren_error *err);
/* Ends the output. `finish` is why the engine stopped ("stop", "length", ...). *json: {"reasoning_content","content","tool_calls","finish_reason"};
 * give back with qwren_free(). */
QWREN_API qwren_status qwren_parser_finish(qwren_parser *p, const char *finish, char **json, qwren_error *err);
QWREN_API void qwren_parser_free(qwren_parser *p);

/* --------------------------------------------------------------------------------- 7  sessions: tokens in, logits out */

/* Guessing ahead, for qwren_chat: tokens are drafted and verified together in one pass, which takes little longer than a single token. What comes out is the same text, to the token
 * and for any seed, as without. It takes memory (qwren_memory_info.spec_bytes). */
typedef enum qwren_spec {
    QWREN_SPEC_DEFAULT, /* OFF */
    QWREN_SPEC_OFF,
    QWREN_SPEC_AUTO,    /* by all that follow; measures what drafts cost and how often they are right, and drafts only where that is faster */
    QWREN_SPEC_MTP,     /* always by the model's own prediction head; E_ARGUMENT when it has none */
    QWREN_SPEC_LOOKUP,  /* whenever the text repeats what stands before it: summaries, edited texts, code */
    QWREN_SPEC_MODEL    /* always by draft_model */
} qwren_spec;

typedef struct qwren_session_options {
    size_t struct_size;
    size_t n_ctx; /* room in tokens; 0 = the smaller of the model's maximum and 32768 */
    qwren_kv_type kv_type;
    bool allow_overcommit; /* n_ctx may be more than this machine's memory holds, and is so when it is 0: memory is taken as the timeline grows */
    qwren_spec spec;
    int max_drafts;                 /* tokens drafted at a time: 1 to 15; 0 = up to 4, of what is looked up 15 */
    const qwren_model *draft_model; /* with AUTO or MODEL: a smaller model with the same tokens, which must outlive the session; E_ARGUMENT when it has others. May be NULL */
} qwren_session_options;
QWREN_API qwren_session_options qwren_session_options_default(void);

/* States and scratch are taken here, in one block beside its handle; memory for keys and values comes as the timeline grows, 512 tokens at a time. The model must outlive the
 * session. E_MEMORY when n_ctx tokens, what guesses ahead (`spec`) and the weights would not fit into the memory that is available now, within the limits of this process's control groups: the
 * message says what is needed, what there is, and what would fit. E_LIMIT when the model does not take so many positions. */
QWREN_API qwren_status qwren_session_create(qwren_session **out, const qwren_model *m, const qwren_session_options *opt, qwren_error *err);
QWREN_API void qwren_session_free(qwren_session *s);
QWREN_API void qwren_session_reset(qwren_session *s);              /* back to an empty timeline; the one that is left stays in the prefix cache */
QWREN_API size_t qwren_session_length(const qwren_session *s);     /* tokens so far, image tokens included */
QWREN_API size_t qwren_session_capacity(const qwren_session *s);

/* Appends tokens. Each <|image_pad|> among ids stands for the next image of `images` and is expanded to its number of image tokens; the
 * number of pads must equal n_images. When all_logits is not NULL it receives float [n_expanded, vocab_size] (given back with
 * qwren_free()) and *n_rows the number of rows; otherwise only the last position's logits are computed. On failure (context full,
 * no memory) the session holds what it held before, and perhaps a beginning of the tokens: qwren_session_length() tells. */
QWREN_API qwren_status qwren_session_eval(qwren_session *s, const int32_t *ids, size_t n_ids, const qwren_image *const *images, size_t n_images,
                                          float **all_logits, size_t *n_rows, qwren_error *err);
/* One more token for each of n different sessions on one model: ids[i] behind what sessions[i] holds. Together they take hardly longer than one while the weights' way
 * from memory is what lasts; results are those of each alone. With n = 1 this is the decode step, which allocates only where a session needs its next 512 tokens' memory, or keeps a state to come back to. On failure no session has changed.
 * E_ARGUMENT: an id that is not in the vocabulary, sessions of different models, or the same one twice. E_LIMIT: a session is full. */
QWREN_API qwren_status qwren_session_step_many(qwren_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err);
/* Back to the first n tokens (n <= length): to the nearest state that the prefix cache has kept before, from where the tokens up to n are computed again. Afterwards everything is as
 * if no more had ever been there, to the bit; qwren_session_logits() is NULL until a token is computed, unless n is the length. E_ARGUMENT: n is more than the
 * length, or a picture would have to be computed again, whose pixels are gone: the session is as it was. E_MEMORY: it holds a shorter beginning. */
QWREN_API qwren_status qwren_session_rewind(qwren_session *s, size_t n, qwren_error *err);
/* A second session that stands where this one does and goes its own way: what lies before is shared, its own memory is for states and scratch. Free it as any other. s is not changed, but used. */
QWREN_API qwren_status qwren_session_fork(qwren_session **out, qwren_session *s, qwren_error *err);
/* Makes the file at `path` hold the session: its tokens, keys and values, states, and the states between turns to which it can go back (docs/session-file.md). A file that holds a beginning of it already,
 * of an earlier save, is appended to. Whatever happens to this process meanwhile, the file holds what the last complete save left. E_ARGUMENT: the file is of another model, or of the
 * same one with other arithmetic or kv_type. E_IO: it cannot be written, or another process is saving to it. E_FORMAT: it is something else. */
QWREN_API qwren_status qwren_session_save(qwren_session *s, const char *path, qwren_error *err);
/* The session becomes what the file holds, with all of its tokens: none is computed again. The logits are NULL until a token is computed. E_ARGUMENT: it is of another model, which the message names.
 * E_LIMIT: the session has no room for so many tokens. E_FORMAT, E_UNSUPPORTED: it is damaged in its beginning, or of a newer version. The session is as it was then. */
QWREN_API qwren_status qwren_session_load(qwren_session *s, const char *path, qwren_error *err);
/* What is in a file of a session, without its model: *json (qwren_free()) is {"model", "tokens", "pictures": [{"begin", "tokens", "hash"}], "states": [{"tokens", "kind"}], "bytes", "used_bytes"}. */
QWREN_API qwren_status qwren_session_inspect(const char *path, char **json, qwren_error *err);
/* For measuring: the session becomes n tokens long with copies of the keys and values that its first 512 tokens have; it has a multiple of 512. What is computed behind them takes the
 * time and memory that it would take behind n tokens, and means nothing. E_ARGUMENT, E_LIMIT, E_MEMORY: the session is as it was. */
QWREN_API qwren_status qwren_session_stretch(qwren_session *s, size_t n, qwren_error *err);
/* For measuring guessing ahead: the seconds of one pass that verifies n tokens, 1 to 16, behind what the session holds, and of one draft of the prediction head (NAN without one).
 * Nothing of it stays, but the logits are NULL until a token is computed. E_ARGUMENT: the session is empty or does not guess ahead, another n. E_LIMIT: it has no room for n tokens. */
QWREN_API qwren_status qwren_session_measure_ahead(qwren_session *s, size_t n, double *pass_s, double *draft_s, qwren_error *err);
/* Logits after the last token, float [vocab_size]; NULL when the session is empty, or went back to an earlier length and nothing was
 * computed since. Valid until the next eval, chat, reset or free. */
QWREN_API const float *qwren_session_logits(const qwren_session *s);

/* -------------------------------------------------------------------------- 8  chat: a conversation in, an answer out */

/* Turns an image_url of a request into an image. data: URLs never come here, the library decodes them itself. Free the image is the library's. */
typedef qwren_status (*qwren_image_loader)(void *ctx, const char *url, qwren_image **out, qwren_error *err);

/* What becomes of a conversation that is longer than the context. A request says it by "overflow": "error", "drop-oldest-turns" or "shift". */
typedef enum qwren_overflow {
    QWREN_OVERFLOW_ERROR,             /* E_LIMIT when the prompt does not fit; an answer ends with "length" when the context is full */
    QWREN_OVERFLOW_DROP_OLDEST_TURNS, /* the oldest questions, each with all that answers it, are left out until the rest fits with room for an answer: max_tokens, or a
                                       * quarter of the context, half of it at most. The system block and the last question stay: E_LIMIT when they alone do not fit. What goes
                                       * goes in steps of about a quarter of the context, so that a conversation that grows is not computed anew each time */
    QWREN_OVERFLOW_SHIFT              /* an answer goes on when the context is full: half of the tokens behind the system block are forgotten. A prompt must fit */
} qwren_overflow;

typedef struct qwren_chat_options {
    size_t struct_size;
    qwren_event_fn on_event;       /* may be NULL */
    void *event_ctx;
    qwren_image_loader load_image; /* NULL: only data: URLs are accepted */
    void *load_ctx;
    bool strict;                   /* as in qwren_render_options; answers that come back are tokenised as anything else */
    bool no_loop_guard;            /* the guard ends a thought or answer that repeats itself; on by default */
    bool greedy;                   /* the most likely text (temperature 0, without the model card's penalties) unless the request says otherwise */
    qwren_overflow overflow;       /* unless the request says otherwise */
} qwren_chat_options;
QWREN_API qwren_chat_options qwren_chat_options_default(void);

/* Renders, tokenises, computes what the session does not hold yet, samples, parses. The session's timeline afterwards ends with the answer, so
 * that a request which continues this conversation starts from there: an answer that comes back in its history is the tokens that were sampled, however a client may
 * have spelt its calls again. Sampling values absent from the request come from the checkpoint's
 * generation_config.json, then from the model card. Free *out with qwren_result_free(). */
QWREN_API qwren_status qwren_chat(qwren_session *s, const char *request, const qwren_chat_options *opt, qwren_result **out, qwren_error *err);

/* Why not more of a prompt was reused. */
typedef enum qwren_reuse {
    QWREN_REUSE_ALL,     /* all that was known: what was computed is new */
    QWREN_REUSE_FIRST,   /* nothing that begins alike was computed before */
    QWREN_REUSE_CHANGED, /* a message is not what was computed before */
    QWREN_REUSE_THOUGHT, /* an answer stands without its thought now, since another question came */
    QWREN_REUSE_FAR,     /* more was known, but no state is kept nearer to its end */
    QWREN_REUSE_EVICTED  /* a state that was nearer was dropped for lack of room */
} qwren_reuse;

#define QWREN_DRAFT_PLACES 4
/* Drafts of one kind. */
typedef struct qwren_draft_stats {
    size_t drafted, accepted;                   /* verified, and found right */
    size_t checked_at[QWREN_DRAFT_PLACES],      /* of a pass's first four drafts: those whose forerunners were all right, */
        accepted_at[QWREN_DRAFT_PLACES];        /* and which were right themselves */
} qwren_draft_stats;

typedef struct qwren_stats {
    size_t prompt_tokens, reused_tokens, image_tokens, completion_tokens, reasoning_tokens;
    double image_s, prefill_s, decode_s, first_token_s, total_s;
    size_t computed_tokens;  /* of the prompt: those that were not reused; fewer when it was cancelled */
    size_t dropped_messages; /* left out of the prompt, the oldest behind the system messages */
    size_t shifted_tokens;   /* forgotten while the answer was written */
    qwren_reuse reuse;
    char reuse_reason[192];  /* the same as a sentence that names the message: "message 3 is not what was computed before" */
    size_t decode_passes;    /* of the model while the answer was written: one for each token without guessing ahead; 0: the session does not */
    double saved_s;          /* by guessing ahead, against passes of one token at their median; negative: lost. The speed-up is (decode_s + saved_s) / decode_s */
    qwren_draft_stats mtp, lookup, draft_model;
    size_t seen_tokens;      /* of image_tokens, those of pictures that had to go through the image tower; the others were known from before */
} qwren_stats;

QWREN_API const char *qwren_result_reasoning(const qwren_result *r);     /* NULL when there is none */
QWREN_API const char *qwren_result_content(const qwren_result *r);       /* NULL when there is none */
QWREN_API const char *qwren_result_finish_reason(const qwren_result *r); /* "stop", "length", "tool_calls", "loop", "cancelled" */
QWREN_API const char *qwren_result_json(const qwren_result *r);          /* {"reasoning_content","content","tool_calls","finish_reason","usage"} */
QWREN_API const qwren_stats *qwren_result_stats(const qwren_result *r);
QWREN_API void qwren_result_free(qwren_result *r);

/* ---------------------------------------------------------------------------------- 9  quantise: a smaller checkpoint */

typedef struct qwren_quantize_options {
    size_t struct_size;
    const char *recipe;         /* "6bit" (the default), "6bit-plain", "5bit", "4bit", "8bit", "auto"; NULL: the default, or a body of `bits` */
    int bits, group;            /* width (2, 3, 4, 5, 6, 8) and group (32, 64, 128) of the body; 0 = as the recipe says */
    double bpw;                 /* recipe "auto": bits per weight of the text model, scales included */
    const char *calibration;    /* JSON lines, each {"messages": [...]} or {"text": "..."}; NULL = the set that is built in, "none" = without */
    size_t calibration_tokens;  /* at most so many tokens of it; 0 = what the model's size is worth. No more than fit in 512 MB: 65536 at hidden size 1024 */
    int vision_bits, mtp_bits;  /* image tower and prediction head: 8 or 16; 0 = 16 and 8 */
    int n_threads;              /* 0 = physical cores */
    bool fresh;                 /* throw away what an interrupted run left; by default a run with the same source and options goes on from there */
    bool force;                 /* a DST that qwren made may be replaced, at the very end, with all that lies in it */
    qwren_progress_fn progress; /* may be NULL: "samples" (tokens), "sensitivity" (for auto), "weights", "check" (layers), each done of total */
    void *progress_ctx;
} qwren_quantize_options;
QWREN_API qwren_quantize_options qwren_quantize_options_default(void);

/* Makes the folder DST, a checkpoint that mlx-lm, mlx-vlm and qwren load, from SRC, a Hugging Face directory of bf16, f16 or f32, which is only read. DST must
 * not exist, or be empty; it appears when it is complete. Memory: at most 2 GB, whatever the model's size. The same bytes for any number of threads.
 *
 * All work is done in DST.partial, which is no model. When the call ends early, or the program, it stays, once a tensor is whole, and the next call
 * with the same source and options goes on from there to the same bytes. One call at a time, of this program or another, works on a DST.partial: it holds
 * a lock there. Calls for different DST may run at once; each has its own model and threads.
 *
 *   E_CANCELLED    `progress` said no; DST.partial stays, if a tensor was whole
 *   E_ARGUMENT     an option, a recipe or a pair of them that does not exist; DST is SRC or inside of it; a calibration without a line that can be used
 *   E_IO           SRC cannot be read, or DST not be written (no room); DST is there and `force` is not set, or was not made by qwren; DST.partial is
 *                  held by another call, holds work with other options or of another source and `fresh` is not set, or is none of qwren's
 *   E_UNSUPPORTED  SRC is a model that qwren cannot run, or holds codes already: it is in MLX's or GGUF's layout
 *   E_FORMAT       SRC is damaged: its headers contradict each other, or a weight is no finite number; or a line of the calibration is
 *   E_LIMIT        a picture of the calibration is too large
 * With `force` the DST that was there is untouched until the last step, which exchanges the two. */
QWREN_API qwren_status qwren_quantize(const char *src, const char *dst, const qwren_quantize_options *opt, qwren_error *err);

/* What that would do, from the headers alone, within a moment and on the calling thread; nothing is written. *json: {"recipe", "bits_per_weight" (of the text
 * model, scales included), "source_bytes", "bytes" (of all tensors), "tensors": [{"name", "class", "shape" (outermost first), "bits", "group" or "type",
 * "bytes", "note"}, ...]}; bits 0: stays in float, of that type. Give back with qwren_free(). Errors as above; E_ARGUMENT for recipe "auto", which
 * measures before it decides. */
QWREN_API qwren_status qwren_quantize_plan(const char *src, const qwren_quantize_options *opt, char **json, qwren_error *err);

/* Recipe i by name, and a sentence about it; NULL behind the last. `about` may be NULL. Both texts are constants. "auto" is not among them: it has no fixed
 * bits. */
QWREN_API const char *qwren_quantize_recipe(size_t i, const char **about);

/* --------------------------------------------------------------------------------------- 10  evaluate: how good is it */

typedef struct qwren_eval_options {
    size_t struct_size;
    size_t n_ctx;                  /* perplexity: tokens of a window; 0 = 2048, or the model's maximum if that is less */
    size_t stride;                 /* perplexity: how far the next window is moved on; 0 = half a window */
    qwren_image_loader load_image; /* comparison: called on the calling thread; NULL, only data: URLs are accepted */
    void *load_ctx;
    size_t max_lines;              /* comparison: only so many of the lines, spread evenly; 0 = all */
    qwren_progress_fn progress;    /* may be NULL: "tokens" or "lines", done of total */
    void *progress_ctx;
    qwren_kv_type kv_type;         /* of the model's caches; comparison: of the models', not of the base's */
} qwren_eval_options;
QWREN_API qwren_eval_options qwren_eval_options_default(void);

/* How well the model foresees a text. */
typedef struct qwren_perplexity {
    size_t n_tokens;      /* scored: all but the first */
    size_t n_bytes;       /* of the text that they spell, which is in NFC */
    double nats;          /* mean of -log p */
    double nats_error;    /* half of its 95 % confidence interval, a window's tokens counted as one draw; NAN for a single window */
    double perplexity;    /* e to the power of nats */
    double bits_per_byte; /* comparable between tokenizers */
} qwren_perplexity;
/* text [len] (SIZE_MAX: up to the NUL) in windows of n_ctx tokens, each moved on by `stride`; what an earlier window has scored is context for the next one.
 * The text is plain: no added token in it is one. Memory: a session for n_ctx tokens (rounded up to a power of two), and 4 bytes a token of the text. The
 * model is only read, and other calls may use it at the same time. After a failure *out is all zeros.
 * E_ARGUMENT: fewer than two tokens, a window or stride that does not exist, a model opened with config_only or no_tokenizer. E_FORMAT: the text is no
 * UTF-8, or the model's logits are no numbers, its weights are damaged. E_CANCELLED. */
QWREN_API qwren_status qwren_eval_perplexity(const qwren_model *m, const char *text, size_t len, const qwren_eval_options *opt,
                                             qwren_perplexity *out, qwren_error *err);

/* What the next-token distributions of one model are to those of another, over n_tokens positions. KL divergence is base || other in nats. */
typedef struct qwren_divergence {
    size_t n_tokens;              /* 0: everything else is NAN */
    double mean, mean_error;      /* mean divergence, and half of its 95 % confidence interval, a line's tokens counted as one draw; NAN for a single line */
    double median, p90, p99, max; /* of the divergence */
    double top1;                  /* share of positions with the same likeliest token */
    double top5;                  /* share of base's five likeliest tokens that are among the other's five */
    double top_dp;                /* mean difference of the probability of base's likeliest token */
} qwren_divergence;
typedef struct qwren_comparison {
    qwren_divergence all, text, pictures; /* of all lines; of those without pictures; of those with */
    qwren_divergence answers;             /* of all lines, but only where the assistant's last message is written */
    size_t n_lines;
} qwren_comparison;
/* Compares models with `base` on the same tokens, base's, in one pass. `lines` are chat requests that end with the assistant's answer, or {"text": ...}, one a
 * line, len bytes of them (SIZE_MAX: up to the NUL); NULL = a set that is built in, without its lines with pictures when base has no image tower, and len is
 * ignored. Pictures are cut as base cuts them, and a model without an image tower sees them through base's. Positions inside a picture do not count.
 * out [n_models] is the caller's; after a failure all of it is zeros. models [n_models] and base are only read, and other calls may use them at the same
 * time; the same model may stand there twice, or be base. Memory: for each model a session for the longest line, and less than 100 bytes a position.
 * E_ARGUMENT: no models, no lines, a line that is no sample, models with other tokens or shapes than base's, one opened with config_only, base without its
 * tokenizer. E_TEMPLATE: a conversation that has no prompt. E_LIMIT: a line longer than a model takes. E_FORMAT: a line that is no JSON, or logits that are no
 * numbers. E_CANCELLED. The sentence names the line. */
QWREN_API qwren_status qwren_eval_compare(const qwren_model *base, const qwren_model *const *models, size_t n_models, const char *lines, size_t len,
                                          const qwren_eval_options *opt, qwren_comparison *out, qwren_error *err);

/* ----------------------------------------------------------------------------- 11  doctor: is it what it claims to be */

typedef struct qwren_doctor_options {
    size_t struct_size;
    int n_threads;              /* 0 = the number of physical cores this process may use */
    bool estimate_only;         /* memory and speed alone, from the headers: no weight is read */
    const char *mmproj;         /* as in qwren_model_options */
    qwren_progress_fn progress; /* may be NULL: "values" (bytes), "layers", "speed", each done of total */
    void *progress_ctx;
} qwren_doctor_options;
QWREN_API qwren_doctor_options qwren_doctor_options_default(void);

/* Examines the model at `path`: every tensor's shape and width against the config, every value, what `qwren quantize` wrote down about it (checksums, and
 * vectors behind each layer, which are computed anew), the memory it needs and the speed to expect on this machine, which is measured with made-up data. What
 * is wrong with a model is in the report and no failure of this call; failures are E_IO (nothing is at `path`), E_ARGUMENT, E_MEMORY and E_CANCELLED. It has
 * threads of its own, and nothing is written. Speed takes the machine for some seconds: several calls at once spoil each other's figures. "_s" is seconds.
 * *report is one line of JSON; give back with qwren_free():
 *   path, format, size, recipe, tensors, weights, bytes: what it is; null where that could not be read
 *   healthy   true: there are no findings
 *   checks    [{name, result: "good" | "bad" | "skipped", findings: number of them, text: what was looked at, or why not}]
 *   findings  [{check, tensor (a name without prefix; null: no single one), text: a sentence}]
 *   reference null, or {tokens, steps: [{layer (null: embeddings), difference: from the stored vectors, drift: of these from the source's}],
 *             logits_difference, logits_kld}; differences are relative, root mean square over root mean square
 *   memory    null, or {machine_bytes, available_bytes (both null: not known), weights_bytes, sessions: [{n_ctx, session_bytes, total_bytes, fits}]}
 *   speed     null, or {threads, prefill_tokens_per_s, decode_tokens_per_s, read_bytes_per_s, busy: other programs took a part of the processors and
 *             without them it is faster, context: tokens that both figures are for, formats: [{type, group, weights, bytes, decode_s, prefill_s: what they
 *             cost a token}], mixing_decode_s, mixing_prefill_s: the same of attention and DeltaNet} */
QWREN_API qwren_status qwren_doctor(const char *path, const qwren_doctor_options *opt, char **report, qwren_error *err);

/* ------------------------------------------------------------------------ 12  the machine, and what a token asks of it */

typedef struct qwren_cpu_info {
    char name[64];         /* "AMD EPYC"; "" when the system does not say */
    char level[16];        /* the kernels that are used: "avx512"; the environment variable QWREN_CPU names another */
    char levels[96];       /* all that this machine can run, the better ones last: "portable avx2 avx512" */
    char features[192];    /* extensions that kernels care for: "avx fma avx2" */
    int n_cores;           /* physical cores that this process may use: the default number of threads */
    int n_logical;         /* processors that the system runs */
    size_t cache_bytes[3]; /* data caches of levels 1 to 3 as a core sees them, shared or not; 0 = none, or not known */
} qwren_cpu_info;
/* E_ARGUMENT when QWREN_CPU names a level that does not exist or that this machine cannot run; *out is all zeros then. */
QWREN_API qwren_status qwren_get_cpu_info(qwren_cpu_info *out, qwren_error *err);

/* What the machine can do at most with the instructions of its level, measured with all threads at once. */
typedef struct qwren_machine_speed {
    int n_threads;
    double read_bytes_per_s;            /* from a buffer much larger than the caches */
    double dot_ops_per_s;               /* products of bytes in registers; a multiply-add is two operations */
    double float_ops_per_s;             /* of floats, or of bf16 where the level has that */
    char dot_name[32], float_name[32];  /* the instructions: "vpdpbusd, 512 bits" */
} qwren_machine_speed;
/* Takes about half a second. n_threads 0 = n_cores. buffer_bytes: what is read over and over; 0 or more than that: 1 GB, less where the machine has not four times as much
 * left, 32 MB at least. E_MEMORY, E_ARGUMENT. */
QWREN_API qwren_status qwren_measure_machine(int n_threads, size_t buffer_bytes, qwren_machine_speed *out, qwren_error *err);

/* What one token asks of the machine, by the model's shape: what must be moved at least to decode it, what must be multiplied when it is part of a prompt. */
typedef struct qwren_token_cost {
    uint64_t weight_bytes; /* layers and head read once, one row of the embeddings */
    uint64_t state_bytes;  /* DeltaNet's states, read and written */
    uint64_t cache_bytes;  /* keys and values of `depth` tokens read, of one written */
    uint64_t layer_ops;    /* of the layers' matrices; a multiply-add is two */
    uint64_t head_ops;     /* of the head, which a prompt meets once */
    bool is_float;         /* most weights are floats, so that their products are held against float_ops_per_s */
    uint64_t last_ops;     /* of layer_ops, those that the last token of a prompt alone goes through, in the last layer */
} qwren_token_cost;
/* For a token behind `depth` others. E_LIMIT when the model takes no more than that. */
QWREN_API qwren_status qwren_model_get_token_cost(const qwren_model *m, size_t depth, qwren_kv_type kv_type, qwren_token_cost *out, qwren_error *err);
/* Operations of the image tower for a picture of so many patches (rows of qwren_image_preprocess()), attention included; 0 without a tower. */
QWREN_API uint64_t qwren_model_get_image_ops(const qwren_model *m, size_t n_patches);

/* Where the time of a model's computations goes: while it is on, every operation adds up how long its caller waited. on = true begins anew, false ends it and clears the
 * sums. For one thread: no other may compute with the model meanwhile. */
QWREN_API void qwren_model_profile(qwren_model *m, bool on);
typedef struct qwren_profile_entry { const char *name; double seconds; uint64_t calls; } qwren_profile_entry;
/* Kind i of operation; false behind the last. Kinds that did not occur have 0 calls. The name is a constant. */
QWREN_API bool qwren_model_get_profile(const qwren_model *m, size_t i, qwren_profile_entry *out);

#ifdef __cplusplus
}
#endif
#endif
