/* The pictures of one request on their way to the decoder: decoded pixels -> the tower's size -> rows. Private to src/api. */
#ifndef QW_API_PICTURES_H
#define QW_API_PICTURES_H

#include "api/model.h"
#include "model/merge.h"

/* Arrays of [room], of which n are set: the first ones, unless qw_pictures_put() fills them in another order; grids and hashes are laid out
 * as qw_timeline_build() wants them. */
typedef struct qw_pictures {
    const qwren_model *model;
    size_t n, room;
    qw_pixels *pixels; /* resized to the grid; gone once the rows are there */
    qw_grid *grids;
    uint64_t *hashes; /* of what the tower would see */
    float **rows;     /* NULL until qw_pictures_see() */
    size_t n_tokens;  /* of all so far */
} qw_pictures;

/* Room for n pictures. qw_pictures_deinit() may be called after a failure, and on a zeroed struct. */
qwren_status qw_pictures_init(qw_pictures *p, const qwren_model *m, size_t n, qwren_error *err);
void qw_pictures_deinit(qw_pictures *p);

/* The next picture. It is brought to the tower's size at once, so that a request with many large ones holds one of them at a time; the
 * image may be freed then. */
qwren_status qw_pictures_add(qw_pictures *p, const qwren_image *image, qwren_error *err);
/* The same for picture i, which is not set. */
qwren_status qw_pictures_put(qw_pictures *p, size_t i, const qwren_image *image, qwren_error *err);
bool qw_pictures_has(const qw_pictures *p, size_t i);
size_t qw_pictures_count(const qw_pictures *p, size_t i); /* its tokens; 0 when it is not set */
/* Pictures [first, end) are not of the request after all, set or not; those behind move up, and there is less room. */
void qw_pictures_remove(qw_pictures *p, size_t first, size_t end);
/* The tower's rows for a span of the timeline; a picture that was seen before costs nothing. `trace` (may be NULL) is asked between the
 * tower's layers; E_CANCELLED when it says no. */
qwren_status qw_pictures_see(qw_pictures *p, qw_image_span *span, const qw_vision_trace *trace, qwren_error *err);

#endif
