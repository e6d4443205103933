/* All options of all verbs: what the parser accepts, what --help and the man pages say. An order of use: the help shows them in this order. */
#include "args.h"

#define R (1u << VERB_RUN | S) /* a session answers as run does */
#define S (1u << VERB_SESSION)
#define C (1u << VERB_CHAT)
#define I (1u << VERB_INSPECT)
#define T (1u << VERB_TOKENIZE)
#define D (1u << VERB_DETOKENIZE)
#define P (1u << VERB_TEMPLATE)
#define O (1u << VERB_PARSE)
#define L (1u << VERB_LOGITS)
#define X (1u << VERB_PREPROCESS)
#define E (1u << VERB_EVAL)
#define M (1u << VERB_DOCTOR)
#define Q (1u << VERB_QUANTIZE)
#define B (1u << VERB_BENCH)
#define H (1u << VERB_HELP)

#define FLAG CLI_FLAG, 0, 0, NULL
#define TEXT CLI_TEXT, 0, 0, NULL
#define EXACT_MAX 9007199254740992.0 /* 2^53: every whole number up to here is a double */

/* clang-format off */
const cli_option cli_options[] = {
    { OPT_MODEL, R | C | I | M | L | X | B, 'm', "model", "PATH", TEXT,
      "The model: the folder of a checkpoint as Hugging Face or MLX write it, a GGUF file or a folder with it, or the name of a bundled model. "
      "Without it: $QWREN_MODEL, then the bundled qwren-nano." },
    { OPT_MODEL, T | D | P, 'm', "model", "PATH", TEXT,
      "The model: a folder, which may hold nothing but a tokenizer, or a GGUF file. Without it: $QWREN_MODEL, then the bundled qwren-nano." },
    { OPT_MMPROJ, R | C | I | M | L | X | B, 0, "mmproj", "FILE", TEXT,
      "GGUF: the file of the image tower, or none for a model without. Without it the one *mmproj*.gguf beside the model, if there is one." },

    /* what is asked */
    { OPT_IMAGE, R, 0, "image", "FILE", TEXT, "A picture (PNG, JPEG or WebP) that goes before the prompt. May be given several times." },
    { OPT_IMAGE, L, 0, "image", "FILE", TEXT, "The picture of the next <|image_pad|> among the ids. May be given several times." },
    { OPT_SYSTEM, R | C, 0, "system", "TEXT", TEXT, "The system prompt." },
    { OPT_REQUEST, R, 0, "request", "FILE", TEXT,
      "Answer the chat request (JSON as OpenAI's chat completions take it) in FILE; - is standard input. What the request says goes before the "
      "options." },
    { OPT_JSONL, R, 0, "jsonl", NULL, FLAG,
      "Answer one chat request per line of FILE or standard input, one line of JSON each; a request's \"id\" comes back. A line that fails gives "
      "{\"error\": ...}." },
    { OPT_JSONL, T, 0, "jsonl", NULL, FLAG,
      "One {\"text\", \"mode\"} per line, mode being \"all\" (or absent), \"no_special\" or \"none\"; one {\"ids\"} or {\"error\"} for each." },
    { OPT_JSONL, D, 0, "jsonl", NULL, FLAG, "One {\"ids\"} per line; one {\"text\"} or {\"error\"} for each." },
    { OPT_JSONL, P, 0, "jsonl", NULL, FLAG,
      "One {\"messages\", \"tools\", \"flags\", \"variant\"} per line, rendered strictly; one {\"text\"} or {\"error\"} for each. The variant "
      "\"4b\" thinks by default, \"0.8b\" does not; without one the model decides. A line without \"flags\" is a plain request." },
    { OPT_JSONL, O, 0, "jsonl", NULL, FLAG,
      "One {\"chunks\", \"thinking\", \"tools\", \"tool_choice\", \"finish\", \"reasoning_format\"} per line; one result or {\"error\"} for "
      "each. \"tools\" is a list, or the word \"TOOLS\" for those of --tools." },
    { OPT_TOOLS, R | C | O, 0, "tools", "FILE", TEXT,
      "The tools that may be called: a JSON list of {\"type\": \"function\", \"function\": {...}}." },
    { OPT_TOOL_CHOICE, R | C, 0, "tool-choice", "auto|none|required", CLI_CHOICE, 0, 0, "tool_choice",
      "Whether tools may or must be called. required: the answer begins with a call." },
    { OPT_TOOL_CHOICE, O, 0, "tool-choice", "auto|none|required", CLI_CHOICE, 0, 0, NULL, "none: calls stay text." },
    { OPT_IDS, L, 0, "ids", "FILE", TEXT, "The token ids: a JSON list, or numbers with blanks between them; - is standard input." },

    { OPT_TEXT, E, 0, "text", "FILE", TEXT, "kld: compare on the text in FILE, cut at line ends into pieces of at most 2048 bytes." },
    { OPT_REQUESTS, E, 0, "requests", "FILE", TEXT,
      "kld: compare on the chat requests in FILE, one a line, each ending with the assistant's answer, and {\"text\": ...}." },
    { OPT_ANSWERS, E, 0, "answers", "FILE", TEXT,
      "kld: the answers of the requests, with their \"id\"; requests without one are left out. tasks: judge the answers in FILE (in the order of the "
      "requests, or with their \"id\") rather than a model's." },

    /* what is measured */
    { OPT_RANDOM, B, 0, "random", "0.8B|2B|4B|9B|tiny", CLI_CHOICE, 0, 0, NULL,
      "Measure a made-up model with the shape of a published one: no file is needed. tiny is none of them, for tests." },
    { OPT_RECIPE, B, 0, "recipe", "6bit|5bit|4bit|8bit|6bit-plain|bf16", CLI_CHOICE, 0, 0, NULL,
      "--random: the bits of its weights, as qwren quantize gives them; 6bit is the default." },
    { OPT_PROMPTS, B, 'p', "prompt", "N,...", CLI_WHOLES, 0, INT32_MAX, NULL, "Read prompts of so many tokens; without it 512. 0: none." },
    { OPT_DECODE, B, 'n', "decode", "N", CLI_WHOLE, 0, INT32_MAX, NULL, "Decode N tokens; without it 64. 0: none." },
    { OPT_DEPTHS, B, 'd', "depth", "N,...", CLI_WHOLES, 0, INT32_MAX, NULL, "Decode behind so many tokens, which are computed first; without it 0." },
    { OPT_BATCHES, B, 'b', "batch", "N,...", CLI_WHOLES, 1, 256, NULL, "Decode so many sequences at once, at the first depth; without it 1." },
    { OPT_IMAGE_SIZES, B, 0, "image-size", "N,...", CLI_WHOLES, 16, 8192, NULL, "Look at square pictures of so many pixels a side; without it none." },
    { OPT_REPEAT, B, 'r', "repeat", "N", CLI_WHOLE, 1, 100, NULL, "Measure everything N times, after once to warm up; without it 5. Medians are told, and how far the others are from them." },
    { OPT_PROFILE, B, 0, "profile", NULL, FLAG, "Tell as well how many milliseconds each kind of operation takes, and what is left of the time." },

    /* how it is made smaller */
    { OPT_RECIPE, Q, 0, "recipe", "NAME", TEXT,
      "How many bits each kind of tensor gets: 6bit (the default), 6bit-plain, 5bit, 4bit, 8bit, or auto. --list-recipes explains them." },
    { OPT_BITS, Q, 0, "bits", "2|3|4|5|6|8", CLI_CHOICE, 0, 0, NULL, "Bits of a weight of the body; what the recipe thinks critical keeps more." },
    { OPT_GROUP, Q, 0, "group", "32|64|128", CLI_CHOICE, 0, 0, NULL, "So many weights share a scale; without it as the recipe says." },
    { OPT_BPW, Q, 0, "bpw", "X", CLI_REAL, 2, 9, NULL,
      "Measure what each tensor's bits are worth, and spend X bits per weight of the text model, scales included (recipe auto)." },
    { OPT_CALIBRATE, Q, 0, "calibrate", "FILE|none", TEXT,
      "Texts to fit the codes to: {\"messages\": [...]} or {\"text\": ...}, one a line. Without it a set that is built in; none: only the weights are "
      "looked at." },
    { OPT_CALIBRATE_TOKENS, Q, 0, "calibrate-tokens", "N", CLI_WHOLE, 1, INT32_MAX, NULL,
      "Use at most N tokens of them; without it so many as the model's size is worth." },
    { OPT_VISION_BITS, Q, 0, "vision-bits", "8|16", CLI_CHOICE, 0, 0, NULL, "Bits of the image tower; 16, the default: it stays as it is." },
    { OPT_MTP_BITS, Q, 0, "mtp-bits", "8|16", CLI_CHOICE, 0, 0, NULL, "Bits of the draft head; 8 is the default." },
    { OPT_FORCE, Q, 0, "force", NULL, FLAG, "Replace a DST that qwren made, and all that lies in it. It stays until the new one is whole." },
    { OPT_NO_RESUME, Q, 0, "no-resume", NULL, FLAG, "Throw away what an unfinished run left in DST.partial, and begin anew." },
    { OPT_DRY_RUN, Q, 0, "dry-run", NULL, FLAG, "Tell what each tensor would become, and the bytes of it all; nothing is written." },
    { OPT_LIST_RECIPES, Q, 0, "list-recipes", NULL, FLAG, "Explain the recipes." },

    /* how it is answered */
    { OPT_THINK, R | C, 0, "think", NULL, FLAG, "Think before the answer." },
    { OPT_NO_THINK, R | C, 0, "no-think", NULL, FLAG, "Answer at once. With neither of the two the checkpoint's own template decides." },
    { OPT_NO_THINK, O, 0, "no-think", NULL, FLAG, "The prompt did not end inside an open <think>." },
    { OPT_MAX_TOKENS, R | C, 'n', "max-tokens", "N", CLI_WHOLE, 1, INT32_MAX, "max_tokens",
      "At most N tokens of thought and answer; without it, as many as the context has room for." },
    { OPT_GREEDY, R | C, 0, "greedy", NULL, FLAG, "Always take the likeliest token (temperature 0, unless a temperature is given)." },
    { OPT_SAMPLING, R | C, 0, "temperature", "X", CLI_REAL, 0, 100, "temperature",
      "Randomness; 0 is greedy. Sampling values that are not given come from the checkpoint, then from the model card." },
    { OPT_SAMPLING, R | C, 0, "top-p", "X", CLI_REAL, 0, 1, "top_p", "Choose among the likeliest tokens whose probabilities reach X." },
    { OPT_SAMPLING, R | C, 0, "top-k", "N", CLI_WHOLE, 0, INT32_MAX, "top_k", "Choose among the N likeliest tokens; 0 is all." },
    { OPT_SAMPLING, R | C, 0, "min-p", "X", CLI_REAL, 0, 1, "min_p", "Drop tokens that are less likely than X times the likeliest." },
    { OPT_SAMPLING, R | C, 0, "presence-penalty", "X", CLI_REAL, -100, 100, "presence_penalty",
      "Lower the logits of tokens that occurred." },
    { OPT_SAMPLING, R | C, 0, "frequency-penalty", "X", CLI_REAL, -100, 100, "frequency_penalty", "The same for each time they occurred." },
    { OPT_SAMPLING, R | C, 0, "repetition-penalty", "X", CLI_REAL, 0.01, 100, "repetition_penalty",
      "Divide the positive logits of tokens that occurred by X, multiply the negative ones." },
    { OPT_SAMPLING, R | C, 0, "seed", "N", CLI_WHOLE, -EXACT_MAX, EXACT_MAX, "seed", "The same seed gives the same text." },
    { OPT_STOP, R | C, 0, "stop", "TEXT", CLI_LITERAL, 0, 0, NULL, "End the answer before TEXT. May be given several times." },
    { OPT_LOGIT_BIAS, R | C, 0, "logit-bias", "ID:X", CLI_BIAS, 0, 0, NULL, "Add X to the logit of token ID. May be given several times." },
    { OPT_OVERFLOW, R | C, 0, "overflow", "error|drop-oldest-turns|shift", CLI_CHOICE, 0, 0, "overflow",
      "What becomes of a conversation that is longer than the context. error, the default: it is refused, and an answer ends where the context does. drop-oldest-turns: the "
      "oldest questions with their answers are left out, which is told. shift: an answer goes on, half of what is behind the system prompt is forgotten." },
    { OPT_NO_LOOP_GUARD, R | C, 0, "no-loop-guard", NULL, FLAG, "Let an answer that repeats itself go on." },

    /* what is shown */
    { OPT_JSON, R, 0, "json", NULL, FLAG,
      "Print the whole result as one line of JSON: reasoning_content, content, tool_calls, finish_reason, usage." },
    { OPT_JSON, I | M | E | Q | B, 0, "json", NULL, FLAG, "Print one line of JSON." },
    { OPT_LIMIT, E, 0, "limit", "N", CLI_WHOLE, 1, INT32_MAX, NULL, "kld, tasks: take only N of the lines, spread over the file." },
    { OPT_WRONG, E, 0, "wrong", "N", CLI_WHOLE, 1, INT32_MAX, NULL, "tasks: show N wrong answers of each kind on standard error." },
    { OPT_THOUGHTS, R | C, 0, "thoughts", "auto|always|never", CLI_CHOICE, 0, 0, NULL,
      "Whether thoughts are printed; auto, the default: to a terminal." },
    { OPT_COLOR, R | C, 0, "color", "auto|always|never", CLI_CHOICE, 0, 0, NULL,
      "Whether thoughts are dimmed rather than put between <think> and </think>; auto, the default: on a terminal, unless $NO_COLOR is set." },
    { OPT_STATS, R | C, 0, "stats", NULL, FLAG, "Tell tokens, seconds and speed on standard error." },
    { OPT_ESTIMATE_ONLY, M, 0, "estimate-only", NULL, FLAG, "Tell memory and speed alone, from the headers; no weight is read." },
    { OPT_CSV, B, 0, "csv", NULL, FLAG, "Print a line for each measurement, values with commas between, under a line of their names." },
    { OPT_CPU, I, 0, "cpu", NULL, FLAG, "Show the processor instead: the kernels that are used ($QWREN_CPU), those there are, cores, caches. No model is opened." },
    { OPT_TENSORS, I, 0, "tensors", NULL, FLAG, "List the tensors as well." },
    { OPT_NO_SPECIAL, T, 0, "no-special", NULL, FLAG, "Special tokens such as <|im_end|> in the text are plain text." },
    { OPT_NO_ADDED, T, 0, "no-added", NULL, FLAG, "So are added tokens that are not special, such as <think>." },
    { OPT_SKIP_SPECIAL, D, 0, "skip-special", NULL, FLAG, "Leave special tokens out." },
    { OPT_STRICT, P, 0, "strict", NULL, FLAG,
      "The official template's bytes and errors. Without it any history that has a meaning is rendered: late system messages, no user message." },
    { OPT_FINISH, O, 0, "finish", "REASON", CLI_LITERAL, 0, 0, NULL,
      "Why the engine stopped: stop, the default, or anything else (length, ...) for an output that was cut." },
    { OPT_OUTPUT, L | X, 'o', "output", "FILE", TEXT, "The .npy file to write; it appears when it is complete. - is standard output." },
    { OPT_OUTPUT, H, 'o', "output", "FILE", TEXT, "Write the man page to FILE; - is standard output." },
    { OPT_MAN, H, 0, "man", NULL, FLAG, "Print the man page instead, as troff source." },

    /* with what */
    { OPT_CTX, R | C | L, 0, "ctx", "N", CLI_WHOLE, 1, INT32_MAX, NULL,
      "Room for N tokens; without it the smaller of the model's maximum and 32768." },
    { OPT_CTX, I, 0, "ctx", "N", CLI_WHOLE, 1, INT32_MAX, NULL,
      "Tell the memory of a session of N tokens; without it the smaller of the model's maximum and 32768." },
    { OPT_CTX, E, 0, "ctx", "N", CLI_WHOLE, 2, INT32_MAX, NULL,
      "perplexity: windows of N tokens; without it 2048. tasks: room for N tokens." },
    { OPT_OVERCOMMIT, R | C | L | B, 0, "overcommit", NULL, FLAG,
      "Begin with a context that this machine's memory does not hold when it is full: it is taken as the context fills." },
    { OPT_YARN, R | C | I | L | E | B, 0, "yarn", "X", CLI_REAL, 1, 4, NULL,
      "X times the positions that the model was trained on, by YaRN: 4 makes 1M of 256K. Without it as the model's files say, which is off in published models: "
      "short texts are answered a little worse with it. 1: off." },
    { OPT_STRIDE, E, 0, "stride", "N", CLI_WHOLE, 1, INT32_MAX, NULL,
      "perplexity: move each window on by N tokens; without it half a window. Tokens that an earlier window scored are context." },
    { OPT_CACHE_MEM, R | C, 0, "cache-mem", "MB", CLI_WHOLE, 0, 1 << 30, NULL,
      "Keep what was computed of conversations, to go on from there, in up to so many million bytes; without it a quarter of the free memory, at most 1 GB. 0: nothing, and --cache-dir has no use." },
    { OPT_CACHE_DIR, R | C, 0, "cache-dir", "DIR", TEXT,
      "Keep what was computed of conversations also in this folder, for later runs, which go on from there. Any number of processes and models may use it at once. What was not used for "
      "the longest time goes first." },
    { OPT_CACHE_DIR_MEM, R | C, 0, "cache-dir-mem", "MB", CLI_WHOLE, 1, 1 << 30, NULL, "What the files in that folder may take together, in million bytes; without it 4000." },
    { OPT_SESSION, R & ~S, 0, "session", "FILE", TEXT,
      "Begin with the session that FILE holds, if it is there, and save it to FILE afterwards: a prompt that begins as that one did is not computed again. See qwren session." },
    { OPT_TOKENS, S, 0, "tokens", "N", CLI_WHOLE, 1, INT32_MAX, NULL, "fork: only the first N tokens." },
    { OPT_MLOCK, R | C, 0, "mlock", NULL, FLAG, "Keep the weights in memory: the system may not page them out." },
    { OPT_DETERMINISTIC, R | C | L | E | B, 0, "deterministic", NULL, FLAG,
      "The same numbers on every processor with AVX2, AVX-512 or NEON. For any number of threads, and whatever else is computed, they are the same anyway." },
    { OPT_EXACT, R | C | L | E | B, 0, "exact", NULL, FLAG, "Compute with float activations: slower, for measuring what the faster way costs." },
    { OPT_BASE_EXACT, E, 0, "base-exact", NULL, FLAG,
      "kld: the base alone computes with float activations, so that the figures hold what the others' arithmetic costs; the base may be among them." },
    { OPT_KV_TYPE, R | C | L | E | B, 0, "kv", "f16|bf16|q8|q4|f32", CLI_CHOICE, 0, 0, NULL,
      "Keep keys and values so; without it f16, or f32 with --exact. q8 takes half the memory, q4 little more than a quarter. eval kld: the base keeps its own." },
    { OPT_KV_TYPE, R | C | L | B, 0, "kv-type", "f16|bf16|q8|q4|f32", CLI_CHOICE, 0, 0, NULL, NULL },
    { OPT_SPEC, R | C, 0, "spec", "auto|mtp|lookup|off", CLI_CHOICE, 0, 0, NULL,
      "Guess ahead: draft tokens and verify them together. The text is the same. auto, the default, measures and drafts where that is faster; mtp: always by the "
      "model's prediction head; lookup: where the text repeats what stands before it." },
    { OPT_SPEC, B, 0, "spec", NULL, FLAG,
      "Measure guessing ahead instead: what verifying and drafting cost, and, for a model that can chat, how fast and how well it answers the bundled tasks without and with it, "
      "in turns." },
    { OPT_DRAFT, R | C, 0, "draft", "N", CLI_WHOLE, 1, 15, NULL, "Draft at most N tokens at a time; without it 4, or 15 of what stands in the prompt." },
    { OPT_DRAFT_MODEL, R | C, 0, "draft-model", "PATH", TEXT,
      "A smaller model with the same tokens, which drafts for this one. With --spec mtp or lookup it is not used." },
    { OPT_THREADS, R | C | M | L | E | Q | B, 't', "threads", "N", CLI_WHOLE, 1, 1024, NULL, "Compute with N threads; without it one per physical core." },
    { OPT_QUIET, R | C | T | D | P | L | X | I | M | E | Q | B, 'q', "quiet", NULL, FLAG, "No notices and no progress; errors are still told." },
    { OPT_HELP, R | C | I | M | T | D | P | O | L | X | E | Q | B | H, 'h', "help", NULL, FLAG, "Explain the verb and leave." },
};
/* clang-format on */

const size_t cli_n_options = sizeof cli_options / sizeof *cli_options;
