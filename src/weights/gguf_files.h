/* Which GGUF files a model is: the parts of a split one, and the file of the image tower beside it. */
#ifndef QW_WEIGHTS_GGUF_FILES_H
#define QW_WEIGHTS_GGUF_FILES_H

#include "base/status.h"

/* Whether `path` is to be opened as GGUF: a file named *.gguf, or a folder that holds such files and no config.json. */
bool qw_gguf_is_model(const char *path);

/* The files that `path` means. `mmproj` (may be NULL) is the file of the image tower as the user gave it; without it the one *mmproj*.gguf
 * beside the model is taken. All texts come from the heap. Give back with qw_gguf_files_deinit(), after a failure too. */
typedef struct qw_gguf_files {
    char **parts; /* [n_parts], in order; the first has the settings, the tokenizer among them */
    size_t n_parts;
    char *mmproj; /* NULL: none */
} qw_gguf_files;
qwren_status qw_gguf_files_find(qw_gguf_files *out, const char *path, const char *mmproj, qwren_error *err);
void qw_gguf_files_deinit(qw_gguf_files *f);

#endif
