/* The pictures that a conversation names: from their URLs to pixels. */
#ifndef QW_API_MEDIA_H
#define QW_API_MEDIA_H

#include "base/status.h"

/* One image from the url of an image part: a data: URL is decoded here, everything else goes to the program's loader. `index` counts the
 * request's images from 1, for messages. */
qwren_status qw_media_load(qwren_image **out, const char *url, size_t index, qwren_image_loader load, void *load_ctx, qwren_error *err);

#endif
