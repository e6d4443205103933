/* Pictures: those of the command line by number, those of a request by path or file: URL. */
#ifndef CLI_IMAGES_H
#define CLI_IMAGES_H

#include "base/buf.h"

/* A list of pictures, each a path to open when it is asked for, or pixels that are kept. */
typedef struct cli_picture {
    const char *path;  /* borrowed; NULL when kept */
    qwren_image *kept; /* owned */
} cli_picture;
typedef struct cli_images {
    cli_picture *list;
    size_t n;
} cli_images;

qwren_status cli_images_add_path(cli_images *images, const char *path, qwren_error *err);
qwren_status cli_images_add_file(cli_images *images, const char *path, qwren_error *err); /* opened and kept */
void cli_images_truncate(cli_images *images, size_t n);
void cli_images_free(cli_images *images);

/* Appends the URL that stands for picture i in a request. */
void cli_images_url(qw_buf *out, size_t i);
/* A qwren_image_loader; ctx is a cli_images. */
qwren_status cli_images_load(void *ctx, const char *url, qwren_image **out, qwren_error *err);

#endif
