/* qwren: the program. A row per verb; its options stand in options.c, its work in a file of its own. Tested by tests/cli. */
#include "help.h"
#include "models.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

#define ANSWERED "0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."
#define DONE "0 done, 1 failed, 2 wrong usage."

/* clang-format off */
const cli_verb cli_verbs[VERB_COUNT] = {
    [VERB_RUN] = {
        "run", "answer one prompt, with pictures if there are any",
        { "[OPTION]... PROMPT|-", "[OPTION]... --request FILE", "[OPTION]... --jsonl [FILE]" },
        "Answers on standard output, word by word. A prompt of - is read from standard input. Thoughts are shown on a terminal, dimmed; in a "
        "pipe there is the answer alone. Tool calls are printed a line each: call NAME ARGUMENTS.\n"
        "\n"
        "The first Ctrl-C ends the answer and keeps what there is, the second ends the program.\n"
        "\n"
        "  qwren run --image cat.jpg \"What is this animal doing?\"\n"
        "  git diff | qwren run --no-think --system \"Write a commit message.\" -\n"
        "  qwren run --jsonl requests.jsonl > answers.jsonl",
        ANSWERED, 1, cli_run },
    [VERB_CHAT] = {
        "chat", "talk with a model",
        { "[OPTION]..." },
        "Reads messages line by line and answers each; the model remembers the conversation. On a terminal lines can be edited, and the arrow "
        "keys bring back old ones. A backslash at its end joins a line with the next one.\n"
        "\n"
        "  /image FILE    add a picture to the next message\n"
        "  /think on|off  think before answers, or not\n"
        "  /system TEXT   set the system prompt\n"
        "  /result TEXT   hand in what a called tool gave\n"
        "  /stats         tokens, seconds, speed, room used\n"
        "  /reset         begin a new conversation\n"
        "  /help          list the commands\n"
        "  /quit          leave; so does Ctrl-D\n"
        "\n"
        "Ctrl-C stops an answer without leaving. Answers go to standard output, everything else to standard error, so that a script can talk as "
        "well; its mistakes are told, do not end the chat, and make the exit status 1.",
        DONE, 0, cli_chat_run },
    [VERB_SESSION] = {
        "session", "keep a session in a file, and go on from it",
        { "save [OPTION]... FILE PROMPT|-", "load [OPTION]... FILE PROMPT|-", "info [--json] FILE", "fork [--tokens N] [OPTION]... FILE NEW" },
        "A session file holds the tokens of a conversation with all that was computed of them: keys and values, states, the states between turns, and which pictures were seen. Whoever "
        "goes on from it computes new tokens only, and gets the same answer, to the bit, as if the program had never stopped.\n"
        "\n"
        "  save  answer as qwren run does, from FILE if it is there, and save to FILE\n"
        "  load  the same from FILE, which stays as it is\n"
        "  info  show what is in FILE; needs no model\n"
        "  fork  make the session file NEW that begins as FILE does\n"
        "\n"
        "Saving again appends what is new. A program that dies while it saves leaves what was saved before, and damage is noticed. A file belongs to one model, "
        "arithmetic and type of keys and values; to others it says whose it is. docs/session-file.md gives every byte.\n"
        "\n"
        "  qwren session save tools.qwren --request agent.json -n 1\n"
        "  qwren session load tools.qwren --request agent-with-question.json --stats\n"
        "  qwren session fork tools.qwren other.qwren",
        ANSWERED, 3, cli_session },
    [VERB_INSPECT] = {
        "inspect", "show what a model is: architecture, tensors, bytes, memory",
        { "[OPTION]... [MODEL]", "--cpu [--json]" },
        "Reads the headers of a checkpoint, checks them against its configuration, and tells what is in it: architecture, parameters, bits a weight, and how much "
        "memory a session needs. With --tensors a line for each tensor: its type and how many weights share a scale, bits a weight and bytes with the scales, and "
        "what qwren quantize took it for. A matrix of codes is one tensor.",
        DONE, 1, cli_inspect },
    [VERB_DOCTOR] = {
        "doctor", "examine a model: damage, memory, expected speed",
        { "[OPTION]... [MODEL]" },
        "Tells whether a model is what it claims to be: every tensor's shape and width of codes against the configuration, every value (finite, not all zero), "
        "the tokenizer. A model that qwren quantize made is compared with what was written down then: a checksum of each tensor, and the numbers behind each "
        "layer for a short text; the first bad layer and tensor are named. Of other models it says what could not be compared.\n"
        "\n"
        "Then, from the headers alone, the memory that the weights and a session need, and the tokens a second to expect for a prompt and for an answer on this "
        "machine: its own matrix products are timed on made-up weights of the same formats and shapes, so a large model need not be read for it. Other work on the "
        "machine makes the real figures smaller.",
        "0 healthy, 1 with findings or failed, 2 wrong usage, 130 stopped by Ctrl-C.", 1, cli_doctor },
    [VERB_QUANTIZE] = {
        "quantize", "make a smaller checkpoint with fewer bits per weight",
        { "[OPTION]... SRC DST", "--dry-run [OPTION]... SRC", "--list-recipes" },
        "Reads SRC, a checkpoint of bf16, f16 or f32 weights as Hugging Face publishes it (or a bundled one's name), and makes the folder DST, which "
        "qwren, mlx-lm and mlx-vlm load: weights of 2 to 8 bits, tokenizer, settings, image tower, and the draft head in DST/mtp. What was done to each "
        "tensor stands in DST/qwren/recipe.json.\n"
        "\n"
        "Everything is written to DST.partial, which is no model yet and is renamed to DST at the end. Stopped by Ctrl-C, or by anything else, "
        "the same command goes on from there and gives the same bytes. SRC is only read.\n"
        "\n"
        "  qwren quantize models/2b models/2b-6bit\n"
        "  qwren quantize --recipe 4bit --calibrate texts.jsonl models/2b models/2b-4bit\n"
        "  qwren quantize --bpw 4.5 models/2b models/2b-auto\n"
        "  qwren quantize --dry-run --bits 5 models/2b",
        ANSWERED, 2, cli_quantize },
    [VERB_TOKENIZE] = {
        "tokenize", "text to token ids",
        { "[OPTION]... [FILE]", "[OPTION]... --jsonl [FILE]" },
        "Prints the ids of the text in FILE or standard input as a JSON list. Nothing is added to the text.",
        DONE, 1, cli_tokenize },
    [VERB_DETOKENIZE] = {
        "detokenize", "token ids to text",
        { "[OPTION]... [FILE]", "[OPTION]... --jsonl [FILE]" },
        "Prints the text of the ids in FILE or standard input, which are a JSON list or numbers with blanks or commas between them. No line "
        "break is added.",
        DONE, 1, cli_detokenize },
    [VERB_TEMPLATE] = {
        "template", "a chat request to the text of its prompt",
        { "[OPTION]... FILE|-", "[OPTION]... --jsonl [FILE]" },
        "Prints the prompt that the model would read for a chat request: JSON as OpenAI's chat completions take it, with messages, tools, "
        "chat_template_kwargs, add_generation_prompt. Pictures are one <|image_pad|> each.",
        DONE, 1, cli_template },
    [VERB_PARSE] = {
        "parse", "a model's raw output to thought, answer and tool calls",
        { "[OPTION]... [FILE]", "[OPTION]... --jsonl [FILE]" },
        "Reads what a model wrote, from FILE or standard input, and prints one line of JSON: reasoning_content, content, tool_calls, "
        "finish_reason. Calls are recognised when tools are given; their arguments get the types of the tools' schemas.",
        DONE, 1, cli_parse },
    [VERB_LOGITS] = {
        "logits", "the logits after each token, as .npy",
        { "[OPTION]... --ids FILE -o OUT.npy" },
        "Writes float32 [tokens, vocabulary]. Each <|image_pad|> among the ids stands for the next --image, and becomes as many rows as the "
        "picture has tokens.",
        ANSWERED, 0, cli_logits },
    [VERB_PREPROCESS] = {
        "preprocess", "a picture to the patches that the model sees, as .npy",
        { "[OPTION]... IMAGE -o OUT.npy" },
        "Writes float32 [patches, channels x frames x height x width] with values from -1 to 1, and prints the grid: time, height and width in "
        "patches. With -o - the grid goes to standard error.",
        ANSWERED, 1, cli_preprocess },
    [VERB_EVAL] = {
        "eval", "measure how good a model is, or how near to another",
        { "[OPTION]... perplexity MODEL FILE", "[OPTION]... kld BASE MODEL...", "[OPTION]... tasks MODEL [DIR]" },
        "perplexity tells how well a model foresees a text: nats per token, e to the power of them, and bits per byte.\n"
        "\n"
        "kld tells what was lost when BASE was made smaller: the divergence of each MODEL's next-token distributions from those of BASE, how often both have "
        "the same likeliest token, and the share of the five likeliest that they have in common. Text, requests with pictures, and answers alone are "
        "told separately. Without --text or --requests a set is used that is built in.\n"
        "\n"
        "tasks lets the model answer the examination in DIR greedily, and prints how many answers of each kind are right. DIR holds requests.jsonl, a chat request "
        "a line, and expected.jsonl, by the same \"id\"s the wanted kind, content and tool_calls; without it the examination of qwren-nano is used.\n"
        "\n"
        "  qwren eval perplexity models/2b-6bit book.txt\n"
        "  qwren eval kld models/2b models/2b-6bit models/2b-4bit\n"
        "  qwren eval tasks qwren-nano",
        ANSWERED, 64, cli_eval },
    [VERB_BENCH] = {
        "bench", "measure how fast a model is here, and how near to the machine's limit",
        { "[OPTION]... [MODEL]", "--random 0.8B|2B|4B|9B [OPTION]..." },
        "Measures prompts, decoding, pictures, loading and memory, and beside them the machine: the bytes a second that its memory gives to all threads, and the "
        "operations a second of its dot products in registers. What a token must move and multiply at least follows from the model's shape, so that each figure is "
        "told as a share of what is possible. Ids are drawn at random; no text is read or written.\n"
        "\n"
        "Every test runs once to warm up. Decoding at a depth goes on from one repetition to the next, so that they are a little deeper each. Energy is told where "
        "the processor's counters (RAPL) can be read, or a battery is being discharged.\n"
        "\n"
        "  qwren bench --random 0.8B\n"
        "  qwren bench --random 2B --recipe 4bit -p 128,512,2048 -d 0,4096,32768\n"
        "  qwren bench -b 1,2,4,8 --image-size 448,1024 models/2b-6bit",
        ANSWERED, 1, cli_bench },
    [VERB_HELP] = {
        "help", "explain the program or one of its verbs",
        { "[OPTION]... [VERB]" },
        "Prints what 'qwren VERB --help' prints, or the list of verbs. With --man it makes the page that 'man qwren-VERB' shows when qwren is "
        "installed.",
        DONE, 1, cli_help },
};
/* clang-format on */

static int print_version(void)
{
    qw_buf text = QW_BUF_INIT;
    qw_buf_printf(&text, "qwren %s\n", qwren_version());
    return cli_print_taken(&text);
}

static int print_help(const cli_verb *verb)
{
    qw_buf text = QW_BUF_INIT;
    if (verb)
        cli_help_verb(&text, verb);
    else
        cli_help_program(&text);
    return cli_print_taken(&text);
}

static int run_verb(const cli_verb *verb, int argc, char **argv)
{
    cli_args a;
    int status = cli_args_parse(&a, verb, argc, argv);
    if (status == 0) {
        cli_quiet(cli_has(&a, OPT_QUIET));
        status = a.help ? print_help(verb) : verb->run(&a);
    }
    cli_args_deinit(&a);
    return status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(NULL, "a verb is missing: run, chat, inspect, ...");
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0)
        return print_version();
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_help(NULL);
    if (word[0] == '-')
        return cli_usage(NULL, "an option stands where a verb should: '%s'", word);
    const cli_verb *verb = cli_verb_find(word);
    return verb ? run_verb(verb, argc - 2, argv + 2) : 2;
}

int main(int argc, char **argv)
{
    cli_output_begin();
    cli_program_is(argc ? argv[0] : "");
    return cli_output_end(dispatch(argc, argv));
}
